package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

const fuzzID = "11111111-1111-4111-8111-111111111111"

var fuzzSeeds = []string{
	``, `null`, `{}`, `[]`, `{"uuid":"` + fuzzID + `","driver":"fake-hardware","provision_state":"enroll"}`, `{"uuid":"22222222-2222-4222-8222-222222222222"}`,
	`{"driver":7,"name":{},"extra":[],"maintenance":"yes","created_at":"today","traits":"x"}`, `{"driver_info":{"password":"x","l":[{"token":1}]},"extra":{"n":1e400,"m":-0}}`,
	`{"provision_state":"asleep","target_provision_state":"deploying","power_state":"sideways"}`, `{"name":"\ud800","description":"\u0000"}`,
	`{"properties":{"cpus":1.5,"memory_mb":"12"},"automated_clean":null,"written_by":{"ticket":"t","token":9223372036854775808}}`, `{"a":1,"a":2}`, `{"x":` + strings.Repeat("[", 100),
	`{"driver_info":{"url":"http://a:b@c","users":[{"n":1,"password":"p"},{"n":1,"password":"q"}]},"instance_info":{"image_url":{"a":1}}}`,
}

// FuzzDecodeNode reads whatever lies in etcd below the key of a node.
func FuzzDecodeNode(f *testing.F) {
	for _, seed := range fuzzSeeds {
		f.Add([]byte(seed))
	}
	keys := Keys{Root: "/r/"}
	f.Fuzz(func(t *testing.T, data []byte) {
		kv := &mvccpb.KeyValue{Key: []byte(keys.Node(fuzzID)), Value: data, ModRevision: 7}
		r, corrupt := keys.decode(kv)
		if corrupt != nil {
			if !errors.Is(corrupt, ErrCorrupt) || corrupt.Key != string(kv.Key) {
				t.Errorf("%v", corrupt)
			}
			return
		}
		n := r.(*Node)
		if n.UUID != fuzzID || n.Revision != 7 {
			t.Fatalf("%s at revision %d", n.UUID, n.Revision)
		}
		again(t, keys, n)
		unmaskedAgain(t, n)
		_ = n.Validate()
		if c := n.Clone(); !reflect.DeepEqual(c, n) {
			t.Errorf("the clone differs: %s", cmp.Diff(n, c))
		}
	})
}

// again fails unless a record that was read can be written and read with the
// same outcome, but for a name that is too long to be written at all.
func again(t *testing.T, keys Keys, n *Node) {
	t.Helper()
	text, err := encode(n)
	if err != nil {
		return
	}
	if strings.Contains(text, "\n") {
		t.Errorf("more than one line: %q", text)
	}
	r, corrupt := keys.decode(&mvccpb.KeyValue{Key: []byte(keys.Node(fuzzID)), Value: []byte(text), ModRevision: 7})
	if corrupt != nil {
		t.Fatalf("%v in %s", corrupt, text)
	}
	if second, err := encode(r); err != nil || second != text {
		t.Errorf("written again: %v\n%s\n%s", err, text, second)
	}
}

// unmaskedAgain fails unless a client that sends back what it sees changes nothing.
func unmaskedAgain(t *testing.T, n *Node) {
	t.Helper()
	data, err := json.Marshal(n.Masked())
	if err != nil {
		return // such as a time that JSON cannot have
	}
	var seen Node
	if err := json.Unmarshal(data, &seen); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	if err := seen.Unmask(n); err != nil {
		t.Fatalf("%v: %s", err, data)
	}
	for _, o := range [][2]Object{{seen.DriverInfo, n.DriverInfo}, {seen.InstanceInfo, n.InstanceInfo}} {
		got, err1 := json.Marshal(o[0])
		want, err2 := json.Marshal(o[1])
		if err := errors.Join(err1, err2); err != nil || string(got) != string(want) {
			t.Errorf("%v: got %s, want %s", err, got, want)
		}
	}
}

// FuzzCreateNode makes a record of whatever a client sends as a node, or refuses it.
func FuzzCreateNode(f *testing.F) {
	for _, seed := range fuzzSeeds {
		f.Add([]byte(seed))
	}
	keys := Keys{Root: "/r/"}
	f.Fuzz(func(t *testing.T, data []byte) {
		var n Node
		if err := DecodeInput(bytes.NewReader(data), 0, &n); err != nil {
			if !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrTooLarge) {
				t.Errorf("%v", err)
			}
			return
		}
		n.UUID = fuzzID
		if _, err := keys.Create(&n); err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("%v", err)
			}
			return
		}
		if err := n.Validate(); err != nil {
			t.Errorf("created, but %v", err)
		}
		again(t, keys, &n)
	})
}
