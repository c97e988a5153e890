package api

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/conductor-metal/conductor/pkg/node"
)

// stepLists are the two lists of steps, which are much alike.
var stepLists = []struct {
	path, since, rank string
}{
	{"deploy_templates", "1.54", "priority"},
	{"runbooks", "1.91", "order"},
}

func TestStepLists(t *testing.T) {
	for _, l := range stepLists {
		t.Run(l.path, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *server) {
				step := func(name string, more object) object {
					o := object{"interface": "raid", "step": name, "args": object{}, l.rank: 10}
					for k, v := range more {
						o[k] = v
					}
					return o
				}
				r := s.want(t, 201, "POST", "/v1/"+l.path, object{
					"name": "CUSTOM_A", "steps": []object{step("a", object{"args": object{"password": "x", "n": 1}}), step("b", object{l.rank: "20"})},
				})
				id := r.Body["uuid"].(string)
				if got := r.Header.Get("Location"); got != "http://c1.example:6385/v1/"+l.path+"/"+id {
					t.Errorf("location %q", got)
				}
				want := []any{
					object{"interface": "raid", "step": "a", "args": object{"password": "******", "n": 1.}, l.rank: 10.},
					object{"interface": "raid", "step": "b", "args": object{}, l.rank: 20.},
				}
				if d := cmp.Diff(want, r.Body["steps"]); d != "" {
					t.Error(d)
				}
				for _, ref := range []string{id, strings.ToUpper(id), "CUSTOM_A"} {
					if got := s.want(t, 200, "GET", "/v1/"+l.path+"/"+ref, nil).Body; !cmp.Equal(got["steps"], any(want)) || got["name"] != "CUSTOM_A" {
						t.Errorf("%s: %v", ref, got)
					}
				}
				s.want(t, 409, "POST", "/v1/"+l.path, object{"name": "CUSTOM_A", "steps": []object{step("a", nil)}})
				s.want(t, 409, "POST", "/v1/"+l.path, object{"uuid": id, "name": "CUSTOM_B", "steps": []object{step("a", nil)}})
				for _, tt := range []struct {
					body object
					want string
				}{
					{object{"steps": []object{step("a", nil)}}, "name: is required"},
					{object{"name": "CUSTOM_B"}, "steps: is required"},
					{object{"name": "CUSTOM_B", "steps": []object{}}, "steps: is required"},
					{object{"name": "b", "steps": []object{step("a", nil)}}, "name: must be a trait"},
					{object{"name": "CUSTOM_B", "steps": []object{step("a", nil), step("a", nil)}}, "stands there twice"},
					{object{"name": "CUSTOM_B", "steps": []object{step("a", object{"interface": "boot"})}}, "steps/0/interface"},
					{object{"name": "CUSTOM_B", "steps": []object{step("a", object{"x": 1})}}, `steps/0: unknown field "x"`},
					{object{"name": "CUSTOM_B", "steps": []object{step("a", object{l.rank: nil})}}, "steps/0/" + l.rank + ": is required"},
					{object{"name": "CUSTOM_B", "steps": []object{step("a", nil)}, "x": 1}, "x: unknown field"},
				} {
					if r := s.want(t, 400, "POST", "/v1/"+l.path, tt.body); !strings.Contains(r.fault(), tt.want) {
						t.Errorf("%v: %s, want %s", tt.body, r.fault(), tt.want)
					}
				}

				two := s.want(t, 201, "POST", "/v1/"+l.path, object{"name": "HW_CPU_X86_VMX", "steps": []object{step("a", nil)}}).Body["uuid"]
				r = s.want(t, 200, "GET", "/v1/"+l.path+"?sort_key=name&sort_dir=desc", nil)
				if got := r.names(l.path, "uuid"); got != fmt.Sprint(two, " ", id) {
					t.Errorf("got %s", got)
				}
				if item := r.Body[l.path].([]any)[0].(object); len(item) != 3 {
					t.Errorf("a list shows %v", item)
				}
				if item := s.want(t, 200, "GET", "/v1/"+l.path+"?detail=true", nil).Body[l.path].([]any)[0].(object); item["steps"] == nil {
					t.Errorf("detail shows %v", item)
				}
				s.want(t, 400, "GET", "/v1/"+l.path+"?sort_key=steps", nil)
				r = s.want(t, 200, "GET", "/v1/"+l.path+"?limit=1", nil)
				next := strings.TrimPrefix(r.Body["next"].(string), "http://c1.example:6385")
				if r := s.want(t, 200, "GET", next, nil); len(r.Body[l.path].([]any)) != 1 || r.Body["next"] != nil {
					t.Errorf("the second page: %s", r.Raw)
				}

				patch := func(status int, ops ...object) reply {
					t.Helper()
					return s.want(t, status, "PATCH", "/v1/"+l.path+"/CUSTOM_A", ops)
				}
				patch(409, object{"op": "replace", "path": "/name", "value": "HW_CPU_X86_VMX"})
				patch(400, object{"op": "replace", "path": "/uuid", "value": idA})
				patch(400, object{"op": "remove", "path": "/steps"})
				patch(400, object{"op": "remove", "path": "/name"})
				patch(400, object{"op": "add", "path": "/steps/0/x", "value": 1})
				patch(400, object{"op": "replace", "path": "/steps/1", "value": step("a", nil)})
				got := patch(200, object{"op": "replace", "path": "/steps/0", "value": step("a", object{"args": object{"password": "******", "n": 2}})},
					object{"op": "add", "path": "/steps/-", "value": step("c", nil)}, object{"op": "add", "path": "/extra/k", "value": "v"})
				if got.Body["updated_at"] == nil || len(got.Body["steps"].([]any)) != 3 || !cmp.Equal(got.Body["extra"], any(object{"k": "v"})) {
					t.Errorf("got %s", got.Raw)
				}
				if secret := s.args(t, l.path, id)["password"]; secret != "x" {
					t.Errorf("the secret is %v after a mask was sent back", secret)
				}
				patch(200, object{"op": "replace", "path": "/name", "value": "CUSTOM_C"})
				s.want(t, 404, "GET", "/v1/"+l.path+"/CUSTOM_A", nil)

				s.want(t, 204, "DELETE", "/v1/"+l.path+"/CUSTOM_C", nil)
				s.want(t, 404, "DELETE", "/v1/"+l.path+"/CUSTOM_C", nil)
				s.want(t, 404, "GET", "/v1/"+l.path+"/"+id, nil)
				s.version = l.since
				s.want(t, 404, "GET", "/v1/"+l.path, nil)
				s.want(t, 404, "POST", "/v1/"+l.path, object{})
			})
		})
	}
}

// args are the arguments of the first step as they are stored.
func (s *server) args(t *testing.T, path, id string) node.Object {
	t.Helper()
	if path == "runbooks" {
		b, err := s.store.Runbook(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return b.Steps[0].Args
	}
	d, err := s.store.DeployTemplate(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return d.Steps[0].Args
}

func TestTemplateNeedsArgs(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		step := object{"interface": "deploy", "step": "a", "priority": 10}
		r := s.want(t, 400, "POST", "/v1/deploy_templates", object{"name": "CUSTOM_A", "steps": []object{step}})
		if !strings.Contains(r.fault(), "steps/0/args: is required") {
			t.Errorf("got %s", r.fault())
		}
	})
}

func TestRunbookOwner(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		steps := []object{{"interface": "raid", "step": "a", "order": 1}}
		s.want(t, 400, "POST", "/v1/runbooks", object{"name": "CUSTOM_A", "steps": steps, "public": true, "owner": "p"})
		r := s.want(t, 201, "POST", "/v1/runbooks", object{"name": "CUSTOM_A", "steps": steps, "owner": "p", "disable_ramdisk": true})
		if r.Body["public"] != false || r.Body["owner"] != "p" || r.Body["disable_ramdisk"] != true {
			t.Errorf("got %s", r.Raw)
		}
		if _, ok := r.Body["description"]; ok {
			t.Errorf("a field of a later version: %s", r.Raw)
		}
		public := object{"op": "replace", "path": "/public", "value": true}
		s.want(t, 400, "PATCH", "/v1/runbooks/CUSTOM_A", []object{public, {"op": "replace", "path": "/owner", "value": "q"}})
		if r := s.want(t, 200, "PATCH", "/v1/runbooks/CUSTOM_A", []object{public}); r.Body["public"] != true || r.Body["owner"] != nil {
			t.Errorf("got %s", r.Raw)
		}
		s.want(t, 400, "PATCH", "/v1/runbooks/CUSTOM_A", []object{{"op": "add", "path": "/owner", "value": "q"}})
	})
}

// TestPatchOfTwo: of two who patch at the same time, nobody loses what the other did.
func TestPatchOfTwo(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		d := &node.DeployTemplate{Name: "CUSTOM_A", Steps: []node.TemplateStep{{Interface: "deploy", Step: "a", Args: node.Object{}, Priority: new(node.Rank(1))}}}
		if err := s.store.Create(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		const n = 4
		done := make(chan int, n)
		for i := range n {
			req := s.request(t, "PATCH", "/v1/deploy_templates/CUSTOM_A", []object{{"op": "add", "path": fmt.Sprintf("/extra/k%d", i), "value": i}})
			go func() { done <- newRecorder(s, req.WithContext(context.WithoutCancel(req.Context()))).Code }()
		}
		for range n {
			if code := <-done; code != 200 {
				t.Errorf("status %d", code)
			}
		}
		if got, err := s.store.DeployTemplate(t.Context(), d.UUID); err != nil || len(got.Extra) != n {
			t.Errorf("got %v, %v", got.Extra, err)
		}
	})
}
