package node

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// byReflection reads and writes an object as encoding/json alone does.
func byReflection(data []byte) (Object, string, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var m map[string]any
	if err := d.Decode(&m); err != nil {
		return nil, "", err
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(m); err != nil {
		return nil, "", err
	}
	return m, strings.TrimSuffix(b.String(), "\n"), nil
}

// FuzzObject compares how objects are read and written here with encoding/json.
func FuzzObject(f *testing.F) {
	for _, seed := range append(fuzzSeeds,
		` { "a" : [ 1 , -0.5e+10 , true , false , null , "x\ny" , "\ud83d\ude00" , "é" , {} , [] ] } `, `{"a":01}`, `{"a":1.}`, `{"a":-}`, `{"a":1e}`, `{"a":tru}`,
		`{"a":"`+"\x01"+`"}`, `{"a":"`+"\xff"+`"}`, `{"a":"\x"}`, `{"a":"\ud800"}`, `{"a":1}x`, `{"a":1,}`, `{,}`, `{"a"}`, `{"a":}`, `{"a":[1,]}`, `{"a":[`, `{"<&>":"\u2028"}`,
		`{"a":{"b":1},"a":{"c":2}}`, `{"A":1,"a":2}`, `{"":""}`, strings.Repeat(`{"a":`, 2000)+"1"+strings.Repeat("}", 2000),
	) {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if !json.Valid(data) {
			if m, ok := scanObject(data); ok {
				t.Fatalf("%q is no JSON, and was read as %v", data, m)
			}
			return
		}
		want, text, err := byReflection(data)
		var got Object
		if gotErr := json.Unmarshal(data, &got); (gotErr == nil) != (err == nil) {
			t.Fatalf("%q: %v, want %v", data, gotErr, err)
		}
		if err != nil || want == nil {
			return
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: -want +got\n%s", data, diff)
		}
		if data, err := got.AppendJSON([]byte("x")); err != nil || string(data) != "x"+text {
			t.Errorf("%v: wrote %s, want %s", err, data, text)
		}
	})
}

// FuzzRecord compares how a record is read here with encoding/json.
func FuzzRecord(f *testing.F) {
	for _, seed := range append(fuzzSeeds, `{"Name":"x"}`, `{"name":null,"driver_info":null,"secure_boot":null}`, `{"name":"a","name":"b","NAME":"c"}`,
		`{"written_by":{"token":1},"written_by":{"ticket":"t"}}`, `{"traits":["a"],"traits":null,"created_at":"2026-01-02T03:04:05Z"}`) {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, r := range []Record{&Node{}, &Port{}, &VolumeTarget{}} {
			want := reflect.New(reflect.TypeOf(r).Elem()).Interface().(Record)
			if !scanRecord(data, r) {
				continue
			}
			if err := json.Unmarshal(data, want); err != nil {
				t.Fatalf("%q was read, and should be: %v", data, err)
			}
			if diff := cmp.Diff(want, r); diff != "" {
				t.Errorf("%q: -want +got\n%s", data, diff)
			}
		}
	})
}

func TestOrdinaryRecordsAreScanned(t *testing.T) {
	s := newStore(t)
	rs := family(t, s, 1)
	for _, r := range append(rs.children(), rs.Node) {
		text, err := encode(r)
		if err != nil {
			t.Fatal(err)
		}
		if !scanRecord([]byte(text), blank(r.Kind())) {
			t.Errorf("left to encoding/json: %s", text)
		}
	}
}

func TestAppendJSON(t *testing.T) {
	o := Object{
		"object": Object{"a": 1}, "nil object": Object(nil), "nil map": map[string]any(nil), "nil list": []any(nil), "strings": []string{"<"}, "float": 1.5,
		"int": -7, "int64": int64(7), "number": json.Number("1.50"), "empty number": json.Number(""), "bool": true, "text": "a\"b\\c<&>\u2028\x7fé", "null": nil,
	}
	const want = `{"bool":true,"empty number":0,"float":1.5,"int":-7,"int64":7,"nil list":null,"nil map":null,"nil object":{},"null":null,` +
		`"number":1.50,"object":{"a":1},"strings":["<"],"text":"a\"b\\c<&>\u2028` + "\x7f" + `é"}`
	if got, err := o.AppendJSON(nil); err != nil || string(got) != want {
		t.Errorf("%v\n%s, want\n%s", err, got, want)
	}
	for _, bad := range []any{json.Number("x"), json.Number("1x"), func() {}, make(chan int)} {
		if got, err := (Object{"a": []any{map[string]any{"b": bad}}}).AppendJSON(nil); err == nil {
			t.Errorf("%v was written as %s", bad, got)
		}
	}
}
