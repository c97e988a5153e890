package api

import (
	"encoding/json"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/conductor-metal/conductor/pkg/node"
)

// hidden is in the records of fuzz tests where secrets are, and nowhere else.
const hidden = "s3cr3t"

func secretive() *node.Node {
	n := &node.Node{
		UUID: idA, Name: "n1", Driver: "fake-hardware", ProvisionState: node.StateActive, PowerState: node.PowerOn, InstanceUUID: idB,
		LastError: "old", ConductorAffinity: "c1", Traits: []string{"CUSTOM_A"}, AutomatedClean: new(true),
		DriverInfo: node.Object{
			"address": "10.0.0.1", "password": hidden, "url": "https://root:" + hidden + "@bmc/x",
			"users": []any{map[string]any{"name": "a", "password": hidden + "a"}, map[string]any{"name": "b", "password": hidden + "b"}},
		},
		DriverInternalInfo: node.Object{"agent_secret_token": hidden, "clean_steps": []any{json.Number("1")}},
		InstanceInfo:       node.Object{"image_url": hidden, "configdrive": hidden, "display_name": "web"},
		Properties:         node.Object{"cpus": json.Number("8")},
		Extra:              node.Object{"a": map[string]any{"b": []any{json.Number("1"), nil, "x"}}, "null": nil},
		CleanStep:          node.Object{"step": "x", "args": map[string]any{"password": hidden}},
	}
	n.Normalize()
	n.Revision = 7
	return n
}

// FuzzPatchNode applies whatever a client may send to a node.
func FuzzPatchNode(f *testing.F) {
	for _, seed := range []string{
		`[]`, `[{}]`, `null`, `{}`, `[null]`, `[{"op":"add","path":"/name","value":"n2"}]`, `[{"op":"remove","path":"/name"}]`,
		`[{"op":"replace","path":"/driver_info","value":{"password":"******"}}]`, `[{"op":"remove","path":"/driver_info/users/0"}]`,
		`[{"op":"add","path":"/driver_info/users/0","value":{"name":"b","password":"******"}}]`, `[{"op":"add","path":"/driver_info/users/-","value":1}]`,
		`[{"op":"add","path":"/driver_info/url","value":"https://root:******@bmc/y"}]`, `[{"op":"replace","path":"/extra/null","value":1}]`,
		`[{"op":"add","path":"/extra/null/x","value":1}]`, `[{"op":"add","path":"/extra/a/b/1/c","value":1}]`, `[{"op":"remove","path":"/extra/a/b/-1"}]`,
		`[{"op":"add","path":"/extra/a/b/18446744073709551617","value":1}]`, `[{"op":"add","path":"/extra/a~1b","value":1e400}]`, `[{"op":"remove","path":"/driver"}]`,
		`[{"op":"add","path":"/automated_clean","value":"off"},{"op":"add","path":"/protected","value":null}]`, `[{"op":"replace","path":"/instance_info","value":null}]`,
		`[{"op":"copy","from":"/driver_info/password","path":"/extra/x"}]`, `[{"op":"test","path":"/driver_info/password","value":"x"}]`,
		`[{"op":"add","path":"/provision_state","value":"enroll"}]`, `[{"op":"add","path":"/extra/x","value":{"op":1,"op":2}}]`, "[{\"op\":\"add\",\"path\":\"/name\",\"value\":\"\\ud800\"}]",
	} {
		f.Add([]byte(seed), uint8(newest))
	}
	nodes := (&api{cfg: Config{Lists: (*node.Store)(nil)}}).nodes()
	f.Fuzz(func(t *testing.T, data []byte, version uint8) {
		v := minor(version)%newest + 1
		e, err := nodes.parseEdit(data, v)
		if err != nil {
			refused(t, err)
			return
		}
		old, was := secretive(), secretive()
		n, changed, err := nodes.amend(old, e)
		if !cmp.Equal(old, was) {
			t.Fatalf("the stored node has changed: %s", cmp.Diff(was, old))
		}
		if err != nil {
			refused(t, err)
			return
		}
		for name := range nodes.fields {
			col, same := nodeColumns[name], equal(nodes.value(old, name), nodes.value(n, name))
			switch {
			case !same && (!col.patch || col.since > v):
				t.Errorf("%s has changed, which %s may not change", name, v)
			case same == changed[name]:
				t.Errorf("%s: changed is said to be %t", name, changed[name])
			}
		}
		if _, err := (node.Keys{Root: "/"}).Update(old, n.Clone()); err != nil {
			refused(t, err)
		}
		if !strings.Contains(string(data), hidden[:2]) {
			keepsSecrets(t, nodes, n)
		}
	})
}

// refused fails unless an error is one of the client's.
func refused(t *testing.T, err error) {
	t.Helper()
	if f := faultOf(err); f.status < 400 || f.status >= 500 {
		t.Errorf("status %d: %v", f.status, err)
	}
	if strings.Contains(err.Error(), hidden) {
		t.Errorf("the refusal tells a secret: %v", err)
	}
}

// keepsSecrets fails if a view of a node tells a secret.
func keepsSecrets(t *testing.T, nodes *resource[*node.Node], n *node.Node) {
	t.Helper()
	req := httptest.NewRequest("GET", "http://c1.example/", nil)
	view := nodes.render(&view{call: &call{api: &api{}, r: req, v: newest}}, n, nodes.visible(newest))
	data, err := json.Marshal(view)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(data), hidden) {
		t.Errorf("the answer tells a secret: %s", data)
	}
}

// FuzzListNodes lists with whatever a client may ask for.
func FuzzListNodes(f *testing.F) {
	for name := range nodeFilters {
		f.Add(name + "=" + idB)
		f.Add(name + "=true&sort_dir=desc")
	}
	for name := range nodeColumns {
		f.Add("sort_key=" + name + "&fields=" + name + "&limit=1")
	}
	for _, seed := range []string{
		"", "limit=-1", "limit=99999999999999999999", "marker=x", "marker=" + idA, "detail=true&fields=uuid", "fields=,,", "fields=uuid&fields=driver_info",
		"wait=1h", "wait=-1s", "shard=,,a", "description_contains=%00", "%zz", "a;b", "sort_key=id&sort_dir=sideways", "provision_state=", "conductor=c1.example",
	} {
		f.Add(seed)
	}
	s := newServer(f)
	cfg := s.config(s.session)
	cfg.Registry, cfg.Logger = prometheus.NewRegistry(), nil // the log of all this would fill the memory
	handler, err := New(cfg)
	if err != nil {
		f.Fatal(err)
	}
	s.Handler = handler
	known := []string{idA, idB, idC}
	for _, id := range known {
		n := secretive()
		n.UUID, n.Name, n.InstanceUUID, n.Description = node.ID(id), "", "", id
		if err := s.store.Create(f.Context(), n); err != nil {
			f.Fatal(err)
		}
	}
	before := s.etcd.Revision()
	f.Fuzz(func(t *testing.T, query string) {
		req := s.request(t, "GET", "/v1/nodes", nil)
		req.URL.RawQuery = query
		w := httptest.NewRecorder()
		s.ServeHTTP(w, req)
		if s.etcd.Revision() != before {
			t.Error("a list has written")
		}
		if strings.Contains(w.Body.String(), hidden) {
			t.Errorf("the answer tells a secret: %s", w.Body)
		}
		var body struct {
			Nodes *[]map[string]any `json:"nodes"`
			Next  string            `json:"next"`
			Kind  string            `json:"kind"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
			t.Fatalf("status %d: %v in %q", w.Code, err, w.Body)
		}
		if w.Code != 200 {
			if !slices.Contains([]int{400, 404, 406}, w.Code) || body.Kind == "" {
				t.Errorf("status %d: %s", w.Code, w.Body)
			}
			return
		}
		if body.Nodes == nil {
			t.Fatalf("no list: %s", w.Body)
		}
		if limit := url.Values(req.URL.Query()).Get("limit"); limit == "1" && len(*body.Nodes) > 1 || len(*body.Nodes) > len(known) {
			t.Errorf("%d nodes: %s", len(*body.Nodes), w.Body)
		}
		if _, err := url.Parse(body.Next); err != nil {
			t.Errorf("next: %v", err)
		}
	})
}
