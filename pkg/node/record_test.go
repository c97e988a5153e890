package node

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"pgregory.net/rapid"
)

// fill gives every field of a record a value that is not its zero.
func fillRecord(r Record) { fillFields(reflect.ValueOf(r).Elem()) }

func fillFields(v reflect.Value) {
	for _, f := range reflect.VisibleFields(v.Type()) {
		if !f.Anonymous {
			fillValue(v.FieldByIndex(f.Index), f.Name)
		}
	}
}

func fillValue(v reflect.Value, name string) {
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.Date(2026, 1, 2, 3, 4, 5, 6000000, time.UTC)))
		return
	case Object:
		v.Set(reflect.ValueOf(Object{name: map[string]any{"list": []any{"a", json.Number("12345678901234567890"), true, nil}}}))
		return
	case *Writer:
		v.Set(reflect.ValueOf(&Writer{Ticket: "c1-7", Token: 1<<53 + 1}))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(name)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int64:
		v.SetInt(42)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.String {
			v.Set(reflect.ValueOf([]string{"HW_CPU_X86_VMX", "CUSTOM_A"}))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fillFields(v.Index(i))
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fillValue(v.Elem(), name)
	default:
		panic("no value for " + name)
	}
}

func allKinds() []Record {
	return []Record{
		&Node{}, &Port{}, &Portgroup{}, &VolumeConnector{}, &VolumeTarget{},
		&Allocation{}, &DeployTemplate{}, &Runbook{}, &Chassis{},
	}
}

// TestCloneIsDeep fills every field, clones, and looks for shared memory.
func TestCloneIsDeep(t *testing.T) {
	for _, r := range allKinds() {
		fillRecord(r)
		c := r.copy()
		if diff := cmp.Diff(r, c); diff != "" {
			t.Errorf("%s: %s", r.Kind(), diff)
		}
		shared(t, string(r.Kind()), reflect.ValueOf(r), reflect.ValueOf(c))
	}
	if (*Node)(nil).Clone() != nil || (*Port)(nil).Clone() != nil || (*Portgroup)(nil).Clone() != nil ||
		(*VolumeConnector)(nil).Clone() != nil || (*VolumeTarget)(nil).Clone() != nil || (*Records)(nil).Clone() != nil ||
		(*Allocation)(nil).Clone() != nil || (*DeployTemplate)(nil).Clone() != nil || (*Runbook)(nil).Clone() != nil ||
		(*Chassis)(nil).Clone() != nil {
		t.Error("nil does not clone to nil")
	}
}

func shared(t *testing.T, path string, a, b reflect.Value) {
	t.Helper()
	switch a.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice:
		if a.Pointer() == b.Pointer() && !a.IsNil() {
			t.Errorf("%s is shared", path)
		}
	case reflect.Interface:
		if !a.IsNil() {
			shared(t, path, a.Elem(), b.Elem())
		}
		return
	}
	switch a.Kind() {
	case reflect.Pointer:
		if !a.IsNil() {
			shared(t, path, a.Elem(), b.Elem())
		}
	case reflect.Struct:
		if a.Type() == reflect.TypeFor[time.Time]() {
			return
		}
		for i := range a.NumField() {
			shared(t, path+"."+a.Type().Field(i).Name, a.Field(i), b.Field(i))
		}
	case reflect.Map:
		for _, k := range a.MapKeys() {
			shared(t, path+"."+k.String(), a.MapIndex(k), b.MapIndex(k))
		}
	case reflect.Slice:
		for i := range a.Len() {
			shared(t, fmt.Sprint(path, i), a.Index(i), b.Index(i))
		}
	}
}

// TestRoundTrip writes and reads each kind with every field set and with none.
func TestRoundTrip(t *testing.T) {
	k := Keys{Root: "/r/"}
	for _, full := range []bool{true, false} {
		for _, r := range allKinds() {
			if full {
				fillRecord(r)
			}
			r.place("n1", uuid.NewString())
			r.meta().Revision = 7
			value, err := encode(r)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(value, "\n") {
				t.Errorf("%s: more than one line: %s", r.Kind(), value)
			}
			key := k.of(r)
			got, corrupt := k.decode(&mvccpb.KeyValue{Key: []byte(key), Value: []byte(value), ModRevision: 7})
			if corrupt != nil {
				t.Fatal(corrupt)
			}
			if diff := cmp.Diff(r, got, cmp.Transformer("empty", func(o Object) map[string]any {
				if o == nil {
					return map[string]any{}
				}
				return o
			})); diff != "" {
				t.Errorf("%s: %s", r.Kind(), diff)
			}
			again, err := encode(got)
			if err != nil || again != value {
				t.Errorf("%s: written again: got %s, want %s", r.Kind(), again, value)
			}
		}
	}
}

func TestWireForm(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	n := &Node{
		UUID: "1be26c0b-03f2-4d2e-ae87-c02d7f33c123", Name: "n1", Driver: "redfish", ProvisionState: StateEnroll,
		DriverInfo: Object{"redfish_address": "https://bmc/?a=1&b=<2>"}, Meta: Meta{CreatedAt: at, WrittenBy: &Writer{"t-1", 9}, Revision: 4},
	}
	want := `{"uuid":"1be26c0b-03f2-4d2e-ae87-c02d7f33c123","name":"n1","driver":"redfish","provision_state":"enroll",` +
		`"maintenance":false,"driver_info":{"redfish_address":"https://bmc/?a=1&b=<2>"},"driver_internal_info":{},` +
		`"instance_info":{},"properties":{},"extra":{},"created_at":"2026-01-02T03:04:05Z","written_by":{"ticket":"t-1","token":9}}`
	if got, err := encode(n); err != nil || got != want {
		t.Errorf("got  %s %v\nwant %s", got, err, want)
	}
}

func TestObjectRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := Object(rapid.MapOf(rapid.String(), rapid.Custom(anyValue)).Draw(t, "object"))
		data, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		var back Object
		if err := json.Unmarshal(data, &back); err != nil {
			t.Fatal(err)
		}
		again, err := json.Marshal(back.Clone())
		if err != nil || !bytes.Equal(data, again) {
			t.Fatalf("got %s %v, want %s", again, err, data)
		}
	})
}

func anyValue(t *rapid.T) any {
	switch rapid.IntRange(0, 4).Draw(t, "kind") {
	case 0:
		return rapid.String().Draw(t, "text")
	case 1:
		return rapid.Int64().Draw(t, "number")
	case 2:
		return rapid.Bool().Draw(t, "bool")
	case 3:
		return rapid.SliceOfN(rapid.Custom(anyValue), 0, 3).Draw(t, "list")
	}
	return rapid.MapOfN(rapid.String(), rapid.Custom(anyValue), 0, 3).Draw(t, "map")
}

func TestObjectText(t *testing.T) {
	var o Object
	if err := json.Unmarshal([]byte(`{"port":623,"host":"h","on":true,"none":null,"deep":{}}`), &o); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"port": "623", "host": "h", "on": "true", "none": "", "deep": "", "missing": ""} {
		if got := o.Text(key); got != want {
			t.Errorf("%s: got %q, want %q", key, got, want)
		}
	}
}

const pearl = "s3cr3t-pearl"

func secretNode() *Node {
	return &Node{
		UUID: ID(uuid.NewString()), Name: "n1", Driver: "redfish", ProvisionState: StateActive,
		DriverInfo: Object{
			"ipmi_password": pearl, "redfish_password": pearl, "redfish_username": "admin", "snmp_community": pearl,
			"snmp_auth_key": pearl, "snmp_priv_key": pearl, "ipmi_hex_kg_key": pearl, "ipmi_k_g": pearl, "k_g": pearl,
			"kg_key": pearl, "IPMI_K_G": pearl, "ipmi_kg": pearl, "ipmi-k-g": pearl, "api_token": pearl,
			"redfish_address": "https://admin:" + pearl + "@bmc.example/redfish",
			"nested":          map[string]any{"list": []any{map[string]any{"Admin_Password": pearl}}, "typed": map[string]string{"password": pearl}},
			"pins":            map[string]any{"secret": map[string]any{"a": pearl}}, "empty_password": "",
			"disk_group": "g", "weight_kg": "30", "link_gateway": "x",
		},
		DriverInternalInfo: Object{"agent_secret_token": pearl, "agent_url": "http://a"},
		InstanceInfo:       Object{"image_url": "http://swift/" + pearl, "configdrive": pearl, "image_pull_secret": pearl, "root_gb": 10},
		DeployStep:         Object{"step": "x", "args": map[string]any{"password": pearl}},
	}
}

func TestMaskedHidesEverySecret(t *testing.T) {
	n := secretNode()
	target := &VolumeTarget{UUID: "u", Properties: Object{"auth_password": pearl, "target_iqn": "iqn"}}
	for _, v := range []any{n.Masked(), target.Masked()} {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(data, []byte(pearl)) {
			t.Errorf("secret in %s", data)
		}
	}
	m := n.Masked()
	if m.DriverInfo["redfish_username"] != "admin" || m.DriverInfo["redfish_password"] != "******" ||
		m.DriverInfo["empty_password"] != "" || m.DriverInfo["redfish_address"] != "https://admin:******@bmc.example/redfish" ||
		m.DriverInfo["disk_group"] != "g" || m.DriverInfo["weight_kg"] != "30" || m.DriverInfo["link_gateway"] != "x" ||
		m.InstanceInfo["root_gb"] != 10 || target.Masked().Properties["target_iqn"] != "iqn" {
		t.Errorf("masked too much: %v %v", m.DriverInfo, m.InstanceInfo)
	}
	if n.DriverInfo["ipmi_password"] != pearl || target.Properties["auth_password"] != pearl {
		t.Error("the original was masked")
	}
	if (*Node)(nil).Masked() != nil || (*VolumeTarget)(nil).Masked() != nil || Object(nil).Masked() != nil {
		t.Error("nil does not mask to nil")
	}
}

// TestNothingPrintsSecrets tries the ways in which a record gets into a log.
func TestNothingPrintsSecrets(t *testing.T) {
	n := secretNode()
	target := &VolumeTarget{UUID: "u", Properties: Object{"auth_password": pearl}}
	rs := &Records{Node: n, VolumeTargets: []*VolumeTarget{target}}
	c, err := Keys{Root: "/r/"}.Create(n.Clone())
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	for _, v := range []any{n, *n, target, *target, rs, n.DriverInfo, target.Properties, c, &c} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
			fmt.Fprintf(&b, verb+"\n", v)
		}
		slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "v", v)
		slog.New(slog.NewTextHandler(&b, nil)).Info("x", "v", v)
	}
	if strings.Contains(b.String(), pearl) {
		for line := range strings.Lines(b.String()) {
			if strings.Contains(line, pearl) {
				t.Errorf("secret in %s", line)
			}
		}
	}
	if !strings.Contains(b.String(), string(n.UUID)) || !strings.Contains(b.String(), `"provision_state":"active"`) {
		t.Errorf("the log does not say which node: %s", b.String())
	}
}
