package api

import (
	"fmt"
	"strings"
	"testing"
)

func TestChassis(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		r := s.want(t, 201, "POST", "/v1/chassis", object{"description": "rack 7", "extra": object{"row": 3}})
		id := r.Body["uuid"].(string)
		if r.Header.Get("Location") != "http://c1.example:6385/v1/chassis/"+id || len(r.Body["nodes"].([]any)) != 2 {
			t.Errorf("got %s, %v", r.Raw, r.Header)
		}
		other := s.want(t, 201, "POST", "/v1/chassis", "{}").Body["uuid"].(string)
		s.want(t, 409, "POST", "/v1/chassis", object{"uuid": id})
		s.want(t, 400, "POST", "/v1/chassis", object{"description": strings.Repeat("x", 256)})
		s.want(t, 400, "POST", "/v1/chassis", object{"name": "x"})

		s.create(t, object{"uuid": idA, "name": "a", "chassis_uuid": id})
		s.create(t, object{"uuid": idB, "name": "b"})
		if r := s.want(t, 400, "POST", "/v1/nodes", object{"driver": "fake-hardware", "chassis_uuid": idA}); !strings.Contains(r.fault(), "Chassis "+idA+" could not be found") {
			t.Errorf("got %s", r.fault())
		}
		into := func(chassis string) []object {
			return []object{{"op": "replace", "path": "/chassis_uuid", "value": chassis}}
		}
		s.want(t, 400, "PATCH", "/v1/nodes/b", into(idA))
		s.want(t, 200, "PATCH", "/v1/nodes/b", into(id))
		for path, want := range map[string]string{
			"/v1/chassis/" + id + "/nodes":                       idA + " " + idB,
			"/v1/chassis/" + id + "/nodes/detail":                idA + " " + idB,
			"/v1/chassis/" + id + "/nodes?driver=x":              "",
			"/v1/chassis/" + id + "/nodes?sort_key=name&limit=1": idA,
			"/v1/chassis/" + other + "/nodes":                    "",
			"/v1/nodes?chassis_uuid=" + id + "&fields=uuid":      idA + " " + idB,
			"/v1/nodes?chassis_uuid=" + strings.ToUpper(other):   "",
			"/v1/chassis/" + strings.ToUpper(id) + "/nodes":      idA + " " + idB,
		} {
			if got := s.want(t, 200, "GET", path, nil).names("nodes", "uuid"); got != want {
				t.Errorf("%s: %s, want %s", path, got, want)
			}
		}
		s.want(t, 404, "GET", "/v1/chassis/"+idA+"/nodes", nil)

		for path, want := range map[string]int{"/v1/chassis": 3, "/v1/chassis/detail": 7, "/v1/chassis?detail=true": 7, "/v1/chassis?fields=extra": 1} {
			items := s.want(t, 200, "GET", path, nil).Body["chassis"].([]any)
			if len(items) != 2 || len(items[0].(object)) != want {
				t.Errorf("%s: %v", path, items)
			}
		}
		if got := s.want(t, 200, "GET", "/v1/chassis/"+id, nil).Body; got["description"] != "rack 7" {
			t.Errorf("got %v", got)
		}
		for _, method := range []string{"GET", "DELETE"} {
			s.want(t, 400, method, "/v1/chassis/rack7", nil)
			s.want(t, 404, method, "/v1/chassis/"+idA, nil)
		}
		s.want(t, 400, "PATCH", "/v1/chassis/rack7", []object{})
		r = s.want(t, 200, "PATCH", "/v1/chassis/"+id, []object{{"op": "remove", "path": "/description"}, {"op": "add", "path": "/extra/x", "value": 1}})
		if r.Body["description"] != nil || fmt.Sprint(r.Body["extra"]) != "map[row:3 x:1]" {
			t.Errorf("got %s", r.Raw)
		}

		if r := s.want(t, 400, "DELETE", "/v1/chassis/"+id, nil); r.Body["kind"] != "in_use" || !strings.Contains(r.fault(), "contains nodes "+idA) {
			t.Errorf("got %s", r.Raw)
		}
		s.want(t, 200, "PATCH", "/v1/nodes/b", []object{{"op": "remove", "path": "/chassis_uuid"}})
		s.want(t, 204, "DELETE", "/v1/nodes/a", nil)
		s.want(t, 204, "DELETE", "/v1/chassis/"+id, nil)
		s.want(t, 404, "GET", "/v1/chassis/"+id, nil)
	})
}

func TestShards(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		get := func() string { t.Helper(); return strings.TrimSpace(s.want(t, 200, "GET", "/v1/shards", nil).Raw) }
		if got := get(); got != `{"shards":[]}` {
			t.Errorf("got %s", got)
		}
		for i, shard := range []any{"east", nil, "west", "west", nil, "west"} {
			s.create(t, object{"name": fmt.Sprint("n", i), "shard": shard})
		}
		if got := get(); got != `{"shards":[{"name":"west","count":3},{"name":"None","count":2},{"name":"east","count":1}]}` {
			t.Errorf("got %s", got)
		}
		s.want(t, 404, "GET", "/v1/shards/west", nil)
		s.version = "1.81"
		s.want(t, 404, "GET", "/v1/shards", nil)
	})
}
