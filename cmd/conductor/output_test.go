package main

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"
)

func TestOutput(t *testing.T) {
	data := []map[string]any{{"name": "r1-u01", "locked": true}, {"name": "yes", "locked": false}}
	v := view{
		data: data, names: []string{"r1-u01", "yes"}, header: []string{"NAME", "HOLDER"},
		rows: [][]string{{"r1-u01", "c1\x1b[31m\nx"}, {"yes", ""}},
	}
	for _, c := range []struct {
		format string
		bare   bool
		want   string
	}{
		{"table", false, "NAME    HOLDER\nr1-u01  c1 [31m x\nyes     -\n"},
		{"table", true, "r1-u01  c1 [31m x\nyes     -\n"},
		{"name", false, "r1-u01\nyes\n"},
		{"json", false, "[\n  {\n    \"locked\": true,\n    \"name\": \"r1-u01\"\n  },\n  {\n    \"locked\": false,\n    \"name\": \"yes\"\n  }\n]\n"},
		{"yaml", false, "- locked: true\n  name: r1-u01\n- locked: false\n  name: \"yes\"\n"},
	} {
		var b bytes.Buffer
		o := output{w: &b, format: choice{value: c.format}, noHeader: c.bare}
		if err := o.show(v); err != nil {
			t.Fatal(err)
		}
		if b.String() != c.want {
			t.Errorf("%s: got\n%s\nwant\n%s", c.format, &b, c.want)
		}
	}
}

func TestOutputIsNoHTML(t *testing.T) {
	for format, want := range map[string]string{"json": "{\n  \"a\": \">= 1 & <2\"\n}\n", "yaml": "a: \">= 1 & <2\"\n"} {
		var b bytes.Buffer
		o := output{w: &b, format: choice{value: format}}
		if err := o.show(view{data: map[string]string{"a": ">= 1 & <2"}}); err != nil || b.String() != want {
			t.Errorf("%s: got %q, %v, want %q", format, &b, err, want)
		}
	}
	for raw, want := range map[string]string{
		`{"ram":"\u003e= 4096","n":12345678901234567890}`: `{"n":12345678901234567890,"ram":">= 4096"}`,
		`"\u003e= 1"`: `">= 1"`, `null`: `null`, `{}`: `{}`,
	} {
		if got := string(plain(json.RawMessage(raw))); got != want {
			t.Errorf("%s: got %s, want %s", raw, got, want)
		}
	}
}

func TestShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 1500 * time.Millisecond: "1s", 61 * time.Second: "1m01s", 3 * time.Hour: "3h00m", 72 * time.Hour: "3d",
	} {
		if got := short(d); got != want {
			t.Errorf("%s: got %s, want %s", d, got, want)
		}
	}
}
