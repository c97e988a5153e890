package node

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

func TestDecodeInput(t *testing.T) {
	for _, tt := range []struct {
		name, input string
		want        string
	}{
		{"good", `{"name":"n1","driver":"d","driver_info":{"a":1},"traits":["A"],"automated_clean":null} `, ""},
		{"unknown", `{"nmae":"n1","Driver":"d"}`, `unknown field "Driver"; unknown field "nmae"`},
		{
			"types", `{"name":1,"driver_info":[],"maintenance":"yes","traits":"A","secure_boot":0,"created_at":"x","written_by":1}`,
			`created_at: must be a time such as 2026-01-02T15:04:05Z; driver_info: must be a JSON object; ` +
				`maintenance: must be true or false; name: must be text; secure_boot: must be true or false; ` +
				`traits: must be a list; written_by: must be a JSON object`,
		},
		{"trailing", `{"name":"n1"} {}`, `not valid JSON at byte 15: invalid character '{' after top-level value`},
		{"cut off", `{"name":`, `not valid JSON at byte 8: unexpected end of JSON input`},
		{"list", `[]`, `must be a JSON object`},
		{"null", `null`, `must be a JSON object`},
		{"empty", ` `, `the value is empty; it must be a JSON object`},
		{"twice", `{"name":"n1","driver":"d","name":"n2"}`, `name: the name "name" occurs twice in one object`},
		{
			"twice within", `{"name":"n1","extra":{"a":{"b":"b","c":["b",{"b":1,"d":{"b":1},"b":2}]},"a":1},"properties":{"a":[{"a":1},{"a":1}]}}`,
			`extra: the name "b" occurs twice in one object; extra: the name "a" occurs twice in one object`,
		},
		{
			"too deep", `{"extra":{},"driver_info":{"a":` + strings.Repeat("[", 63) + strings.Repeat("]", 63) + `}}`,
			"driver_info: nested too deep; use at most 64 levels",
		},
		{
			"far too deep", `{"extra":` + strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000) + `}`,
			"extra: nested too deep; use at most 64 levels",
		},
		{
			"as deep as may be", `{"name":"n1","driver_info":{"a":1},"traits":["A"],"extra":` +
				strings.Repeat("{\"a\":", 62) + "[1e999]" + strings.Repeat("}", 62) + `}`, "",
		},
		{"revision is not a field", `{"Revision":1}`, `unknown field "Revision"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var n Node
			err := DecodeInput(strings.NewReader(tt.input), 0, &n)
			if tt.want == "" && err == nil {
				if n.Name != "n1" || n.DriverInfo["a"] != json.Number("1") || n.Traits[0] != "A" {
					t.Errorf("got %+v", n.DriverInfo)
				}
				return
			}
			if err == nil || err.Error() != tt.want || !errors.Is(err, ErrInvalid) {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
	var v VolumeTarget
	err := DecodeInput(strings.NewReader(`{"boot_index":"0"}`), 0, &v)
	if err == nil || err.Error() != "boot_index: must be a whole number" {
		t.Errorf("got %v", err)
	}
	if err := DecodeInput(strings.NewReader(`{"name":"n1"}`), 12, &Node{}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("one byte too long: got %v", err)
	}
	if err := DecodeInput(strings.NewReader(`{"name":"n1"}`), 13, &Node{}); err != nil {
		t.Errorf("as long as may be: got %v", err)
	}
}

func TestDecodeStored(t *testing.T) {
	k := Keys{Root: "/r/"}
	id := ID(uuid.NewString())
	port := uuid.NewString()
	kv := func(key, value string) *mvccpb.KeyValue {
		return &mvccpb.KeyValue{Key: []byte("/r/" + key), Value: []byte(value), ModRevision: 5}
	}
	for _, tt := range []struct{ name, key, value, want string }{
		{"not JSON", "nodes/" + string(id), "hello", "not valid JSON at byte 1"},
		{"empty", "nodes/" + string(id), "", "the value is empty"},
		{"null", "nodes/" + string(id), "null", "must be a JSON object"},
		{"wrong type", "nodes/" + string(id), `{"name":7}`, "name: must be text"},
		{"other uuid", "nodes/" + string(id), `{"uuid":"` + port + `"}`, "put it under its own key"},
		{"other node", "ports/" + string(id) + "/" + port, `{"node_uuid":"` + port + `"}`, "put it under its own key"},
		{"too deep", "nodes/" + string(id) + "/x", `{}`, "not the key of a record"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := k.decode(kv(tt.key, tt.value))
			if err == nil || err.Key != "/r/"+tt.key || !strings.Contains(err.Error(), tt.want) ||
				!errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "/r/"+tt.key) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
	// A short value written by hand, with a field of a newer version.
	good := kv("nodes/"+string(id), `{"driver":"d","from_the_future":1}`)
	rs, err := k.Decode(id, []*mvccpb.KeyValue{
		kv("ports/"+string(id)+"/"+port, `{}`), kv("ports/"+string(id)+"/broken", `{`), good,
		kv("nodes/"+port, `{`), kv("locks/"+string(id)+"/x", `{`),
	})
	if err != nil || rs.Node.UUID != id || len(rs.Ports) != 1 || rs.Ports[0].NodeUUID != id || rs.Ports[0].UUID != port ||
		len(rs.Corrupt) != 1 || rs.Revision != 5 || rs.Node.Revision != 5 {
		t.Errorf("got %+v, %v", rs, err)
	}
	_, err = k.Decode(id, nil)
	if e, ok := errors.AsType[*NotFoundError](err); !ok || e.Ref != string(id) {
		t.Errorf("got %v", err)
	}
	if _, err = k.Decode(id, []*mvccpb.KeyValue{kv("nodes/"+string(id), "x")}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("got %v", err)
	}
}

// TestCorruptErrorsKeepSecrets: a value that cannot be read is never repeated.
func TestCorruptErrorsKeepSecrets(t *testing.T) {
	k := Keys{Root: "/r/"}
	for _, value := range []string{
		pearl, `"` + pearl + `"`, `{"driver_info":"` + pearl + `"}`, `{"maintenance":"` + pearl + `"}`,
		`{"driver_info":{"password":"` + pearl + `"}`, `{"written_by":{"token":"` + pearl + `"}}`, `{"created_at":"` + pearl + `"}`,
	} {
		_, err := k.decode(&mvccpb.KeyValue{Key: []byte("/r/nodes/x"), Value: []byte(value)})
		if err == nil || strings.Contains(err.Error(), pearl) {
			t.Errorf("%s: got %v", value, err)
		}
	}
}

func FuzzDecodeStored(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `null`, `{"uuid":"x"}`, `{"driver_info":{"a":[1,2,{"b":null}]},"written_by":{"ticket":"t","token":1}}`,
		`{"created_at":"2026-01-02T03:04:05Z"}`, `{"properties":{"cpus":1e400}}`, `{"name":"\ud800"}`, `{"uuid":"x","UUID":"y"}`,
	} {
		f.Add([]byte(seed))
	}
	k := Keys{Root: "/r/"}
	f.Fuzz(func(t *testing.T, value []byte) {
		for _, key := range []string{"/r/nodes/x", "/r/ports/n/x", "/r/portgroups/n/x", "/r/volume-connectors/n/x", "/r/volume-targets/n/x"} {
			r, corrupt := k.decode(&mvccpb.KeyValue{Key: []byte(key), Value: value})
			if corrupt != nil {
				continue
			}
			// What can be read can be written, and reads the same again.
			once, err := encode(r)
			if err != nil {
				if len(value) > maxRecord/8 {
					continue
				}
				t.Fatal(err)
			}
			again, corrupt := k.decode(&mvccpb.KeyValue{Key: []byte(key), Value: []byte(once)})
			if corrupt != nil {
				t.Fatalf("%s: %v", once, corrupt)
			}
			if twice, err := encode(again); err != nil || once != twice {
				t.Fatalf("got %s %v, want %s", twice, err, once)
			}
		}
	})
}

func FuzzDecodeInput(f *testing.F) {
	f.Add(`{"name":"n1","extra":{}}`)
	f.Add(`{"boot_index":1,"properties":null}`)
	f.Fuzz(func(t *testing.T, input string) {
		for _, r := range allKinds() {
			if DecodeInput(strings.NewReader(input), 0, r) == nil && !json.Valid([]byte(input)) {
				t.Fatalf("%q passed", input)
			}
		}
	})
}
