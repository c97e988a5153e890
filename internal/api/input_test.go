package api

import (
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/conductor-metal/conductor/pkg/lease"
)

func TestMalformedInput(t *testing.T) {
	node1 := object{"uuid": idA, "name": "taken", "driver": "fake-hardware", "instance_uuid": idC}
	const driver = `"driver": "fake-hardware"`
	tests := []struct {
		name, path, body string
		status           int
		texts            []string
	}{
		{"empty", "/v1/nodes", "", 400, []string{"empty"}},
		{"no JSON", "/v1/nodes", `{"driver": `, 400, []string{"not valid JSON"}},
		{"a list", "/v1/nodes", `[]`, 400, []string{"must be a JSON object"}},
		{"null", "/v1/nodes", `null`, 400, []string{"must be a JSON object"}},
		{"two objects", "/v1/nodes", `{` + driver + `} {}`, 400, []string{"not valid JSON"}},
		{"unknown field", "/v1/nodes", `{` + driver + `, "colour": 1, "flavour": 2}`, 400, []string{"colour", "flavour"}},
		{"a field twice", "/v1/nodes", `{` + driver + `, "name": "x", "name": "y"}`, 400, []string{`name: the name "name" occurs twice`}},
		{"too deep", "/v1/nodes", `{` + driver + `, "extra": {"a":` + strings.Repeat("[", 999) + strings.Repeat("]", 999) + `}}`, 400, []string{"extra: nested too deep"}},
		{"case of a field", "/v1/nodes", `{"Driver": "fake-hardware"}`, 400, []string{"Driver"}},
		{"wrong types", "/v1/nodes", `{"driver": 7, "properties": "x", "maintenance": "perhaps"}`, 400, []string{"driver: must be text", "properties: must be a JSON object", "maintenance: must be true or false"}},
		{"read only", "/v1/nodes", `{` + driver + `, "provision_state": "active"}`, 400, []string{"provision_state: cannot be set"}},
		{"conductor's own", "/v1/nodes", `{` + driver + `, "conductor_affinity": "me", "written_by": {}}`, 400, []string{"conductor_affinity", "written_by"}},
		{"no driver", "/v1/nodes", `{"name": "x"}`, 400, []string{"driver: is required"}},
		{"unknown driver", "/v1/nodes", `{"driver": "abacus"}`, 400, []string{"No valid host was found", "abacus"}},
		{"unknown interface", "/v1/nodes", `{` + driver + `, "power_interface": "steam"}`, 400, []string{"steam"}},
		{"over-long name", "/v1/nodes", `{` + driver + `, "name": "` + strings.Repeat("n", 256) + `"}`, 400, []string{"name", "255"}},
		{"a name like a uuid", "/v1/nodes", `{` + driver + `, "name": "` + idB + `"}`, 400, []string{"name", "uuid"}},
		{"a reserved name", "/v1/nodes", `{` + driver + `, "name": "detail"}`, 400, []string{"reserved"}},
		{"bad uuid", "/v1/nodes", `{` + driver + `, "uuid": "1234"}`, 400, []string{"uuid"}},
		{"bad properties", "/v1/nodes", `{` + driver + `, "properties": {"memory_mb": -1}}`, 400, []string{"properties/memory_mb"}},
		{"name taken", "/v1/nodes", `{` + driver + `, "name": "taken"}`, 409, []string{"A node with name taken already exists."}},
		{"uuid taken", "/v1/nodes", `{` + driver + `, "uuid": "` + idA + `"}`, 409, []string{"A node with UUID " + idA + " already exists."}},
		{"instance taken", "/v1/nodes", `{` + driver + `, "instance_uuid": "` + idC + `"}`, 409, []string{"Instance " + idC + " is already associated"}},
		{"too long", "/v1/nodes", `{` + driver + `, "extra": {"x": "` + strings.Repeat("x", maxBody) + `"}}`, 413, []string{"1048576"}},
		{"MAC taken", "/v1/ports", `{"node_uuid": "` + idA + `", "address": "52:54:00:CF:2D:31"}`, 409, []string{"A port with MAC address 52:54:00:cf:2d:31 already exists."}},
		{"no MAC", "/v1/ports", `{"node_uuid": "` + idA + `"}`, 400, []string{"address: is required"}},
		{"bad MAC", "/v1/ports", `{"node_uuid": "` + idA + `", "address": "52-54"}`, 400, []string{"address"}},
		{"port of no node", "/v1/ports", `{"node_uuid": "` + idB + `", "address": "52:54:00:cf:2d:32"}`, 400, []string{"Node " + idB + " could not be found."}},
		{"port of no name", "/v1/ports", `{"node_ident": "nobody", "address": "52:54:00:cf:2d:32"}`, 400, []string{"Node nobody could not be found."}},
		{"port of no group", "/v1/ports", `{"node_uuid": "` + idA + `", "address": "52:54:00:cf:2d:32", "portgroup_uuid": "` + idB + `"}`, 400, []string{"Portgroup " + idB}},
		{"boot index of text", "/v1/volume/targets", `{"boot_index": "x"}`, 400, []string{"boot_index: must be a whole number"}},
	}
	inBubble(t, func(t *testing.T, s *server) {
		s.create(t, node1)
		s.want(t, 201, "POST", "/v1/ports", object{"node_uuid": idA, "address": "52:54:00:cf:2d:31"})
		before := s.etcd.Revision()
		for _, tt := range tests {
			r := s.do(t, "POST", tt.path, tt.body)
			if r.Status != tt.status {
				t.Errorf("%s: status %d, want %d: %s", tt.name, r.Status, tt.status, r.Raw)
			}
			for _, text := range tt.texts {
				if !strings.Contains(r.fault(), text) {
					t.Errorf("%s: %q does not name %q", tt.name, r.fault(), text)
				}
			}
		}
		if got := s.etcd.Revision(); got != before {
			t.Errorf("a refused request has written: revision %d, was %d", got, before)
		}
	})
}

func TestBodyThatBreaksOff(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		req := s.request(t, "POST", "/v1/nodes", nil)
		req.Body = struct {
			iotestReader
			closer
		}{}
		w := newRecorder(s, req)
		if w.Code != 400 || !strings.Contains(w.Body.String(), "ended too early") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

type iotestReader struct{}

func (iotestReader) Read([]byte) (int, error) { return 0, iotest.ErrTimeout }

type closer struct{}

func (closer) Close() error { return nil }

func TestUnknownAndDeletedNodes(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.create(t, object{"uuid": idA, "name": "gone"})
		s.want(t, 204, "DELETE", "/v1/nodes/gone", nil)
		s.want(t, 404, "DELETE", "/v1/nodes/gone", nil)
		for _, ref := range []string{idA, "gone", "no-such", "%20", "a%2Fb", strings.Repeat("x", 300)} {
			for _, req := range []struct{ method, path, body string }{
				{"GET", "", ""},
				{"GET", "/states", ""},
				{"GET", "/validate", ""},
				{"GET", "/ports", ""},
				{"DELETE", "", ""},
				{"PUT", "/states/power", `{"target": "power on"}`},
				{"PUT", "/maintenance", ""},
				{"DELETE", "/maintenance", ""},
			} {
				r := s.want(t, 404, req.method, "/v1/nodes/"+ref+req.path, req.body)
				if !strings.Contains(r.fault(), "could not be found") && !strings.Contains(r.fault(), "does not exist") {
					t.Errorf("%s %s: %s", req.method, req.path, r.Raw)
				}
			}
		}
	})
}

func TestDeletedWhileWaiting(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.create(t, object{"uuid": idA})
		l := s.lock(t, s.open(t, "c2.example"), idA, lease.Exclusive)
		deleted := make(chan struct{})
		time.AfterFunc(time.Second, func() {
			defer close(deleted)
			rs, err := s.store.Records(t.Context(), idA)
			if err != nil {
				t.Error(err)
				return
			}
			c, err := s.store.Keys().DeleteNode(rs)
			if err == nil {
				err = l.Destroy(t.Context(), lease.Write{If: c.If, Then: c.Then, Else: c.Else})
			}
			if err != nil {
				t.Error(err)
			}
		})
		s.want(t, 404, "PUT", "/v1/nodes/"+idA+"/states/power?wait=30s", object{"target": "power on"})
		<-deleted
	})
}

func TestBadParameters(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		for path, field := range map[string]string{
			"/v1/nodes?limit=0": "limit", "/v1/nodes?limit=-1": "limit", "/v1/nodes?limit=x": "limit", "/v1/nodes?marker=x": "marker",
			"/v1/nodes?sort_key=extra": "sort_key", "/v1/nodes?sort_key=reservation": "sort_key", "/v1/nodes?sort_dir=up": "sort_dir",
			"/v1/nodes?fields=colour": "fields", "/v1/nodes?fields=uuid&detail=true": "fields", "/v1/nodes/detail?fields=uuid": "fields",
			"/v1/nodes?maintenance=perhaps": "maintenance", "/v1/nodes?provision_state=asleep": "provision state", "/v1/nodes?colour=red": "colour",
			"/v1/nodes?detail=2": "detail", "/v1/ports?colour=red": "colour", "/v1/conductors?detail=x": "detail", "/v1/drivers?type=x": "type",
			"/v1/nodes/validate": "node",
		} {
			if r := s.want(t, 400, "GET", path, nil); !strings.Contains(r.fault(), field) {
				t.Errorf("%s: %s", path, r.Raw)
			}
		}
		s.want(t, 404, "GET", "/v1/nodes?sort_key=name&marker="+idA, nil)
		s.want(t, 404, "GET", "/v1/ports?node=nobody", nil)
	})
}
