package node

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestUnmask(t *testing.T) {
	const stored = `{"address": "10.0.0.1", "password": "s3cret", "url": "https://root:pw@bmc/x",
		"deep": {"snmp_community": "public", "empty_password": ""}, "token": {"id": 7},
		"users": [{"name": "a", "password": "pa"}, {"name": "b", "password": "pb"}, {"name": "b", "password": "pc"}]}`
	tests := []struct {
		name, input, want string
		bad               string // the path that the error names
	}{
		{"what was seen comes back", "", stored, ""},
		{"one value is new", `{"address": "10.0.0.2", "password": "******"}`, `{"address": "10.0.0.2", "password": "s3cret"}`, ""},
		{"a secret is new", `{"password": "n3w"}`, `{"password": "n3w"}`, ""},
		{"a whole object is masked", `{"token": "******"}`, `{"token": {"id": 7}}`, ""},
		{"a URL", `{"url": "https://root:******@bmc/x"}`, `{"url": "https://root:pw@bmc/x"}`, ""},
		{"a URL that is another", `{"url": "https://root:******@other/x"}`, "", "driver_info/url"},
		{"a secret that never was", `{"ipmi_password": "******"}`, "", "driver_info/ipmi_password"},
		{"a secret that is empty", `{"deep": {"empty_password": "******"}}`, "", "driver_info/deep/empty_password"},
		{"moved below another name", `{"deeper": {"snmp_community": "******"}}`, "", "driver_info/deeper/snmp_community"},
		{"no secret's name", `{"address": "******"}`, `{"address": "******"}`, ""},
		{"a shorter list", `{"users": [{"name": "a", "password": "******"}]}`, `{"users": [{"name": "a", "password": "pa"}]}`, ""},
		{"a list in another order", `{"users": [{"name": "x"}, {"name": "a", "password": "******"}]}`, `{"users": [{"name": "x"}, {"name": "a", "password": "pa"}]}`, ""},
		{"two that look alike, in place", `{"users": [1, {"name": "b", "password": "******"}]}`, `{"users": [1, {"name": "b", "password": "pb"}]}`, ""},
		{"two that look alike, elsewhere", `{"users": [{"name": "b", "password": "******"}]}`, "", "driver_info/users/0/password"},
		{"nobody in a list", `{"users": [{"name": "z", "password": "******"}]}`, "", "driver_info/users/0/password"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			old := &Node{DriverInfo: object(t, stored)}
			n := old.Masked()
			if tt.input != "" {
				n.DriverInfo = object(t, tt.input)
			}
			err := n.Unmask(old)
			if tt.bad != "" {
				bad, ok := errors.AsType[*ValidationError](err)
				if !ok || len(bad.Fields) != 1 || bad.Fields[0].Field != tt.bad {
					t.Errorf("error %v, want one for %s", err, tt.bad)
				}
				if strings.Contains(err.Error(), "s3cret") {
					t.Errorf("the error tells the secret: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(object(t, tt.want), n.DriverInfo); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			if diff := cmp.Diff(object(t, stored), old.DriverInfo); diff != "" {
				t.Errorf("the stored one has changed: %s", diff)
			}
		})
	}
}

func TestUnmaskImageURL(t *testing.T) {
	old := &Node{InstanceInfo: Object{"image_url": "http://x/y?sig=1"}}
	n := old.Masked()
	if err := n.Unmask(old); err != nil || n.InstanceInfo["image_url"] != "http://x/y?sig=1" {
		t.Errorf("%v, %v", n.InstanceInfo["image_url"], err)
	}
	if err := n.Masked().Unmask(&Node{}); !errors.Is(err, ErrInvalid) {
		t.Errorf("a mask of nothing: %v", err)
	}
}

func TestUnmaskVolumeTarget(t *testing.T) {
	old := &VolumeTarget{Properties: Object{"auth_password": "pw", "target_lun": json.Number("1")}}
	v := old.Masked()
	v.Properties["target_lun"] = json.Number("2")
	if err := v.Unmask(old); err != nil || v.Properties["auth_password"] != "pw" || v.Properties.Text("target_lun") != "2" {
		t.Errorf("%v, %v", v.Properties["target_lun"], err)
	}
}

func object(t *testing.T, text string) Object {
	t.Helper()
	var o Object
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestInputList(t *testing.T) {
	for _, tt := range []struct{ input, bad string }{
		{`[]`, ""},
		{`[{"op": "add"}, 7, null]`, ""},
		{``, "empty"},
		{`null`, "JSON list"},
		{`{}`, "JSON list"},
		{`"x"`, "JSON list"},
		{`[1`, "not valid JSON"},
		{`[] []`, "not valid JSON"},
		{`[{"op": 1, "op": 2}]`, "occurs twice"},
		{strings.Repeat("[", 65) + strings.Repeat("]", 65), "nested too deep"},
	} {
		_, err := InputList([]byte(tt.input))
		if (err == nil) != (tt.bad == "") || err != nil && !strings.Contains(err.Error(), tt.bad) {
			t.Errorf("%q: %v, want %q", tt.input, err, tt.bad)
		}
	}
}
