package api

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/conductor-metal/conductor/internal/provision"
	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/node"
)

// keys are the fields of an object of an answer, in order.
func keys(o any) string {
	m, _ := o.(object)
	var all []string
	for k := range m {
		all = append(all, k)
	}
	return strings.Join(slices.Sorted(slices.Values(all)), " ")
}

func TestBIOS(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		base := s.machine(t) + "/bios"
		all := s.want(t, 200, "GET", base, nil)
		if all.names("bios", "name") != "a b" || all.names("bios", "value") != "1 2" {
			t.Errorf("got %s", all.Raw)
		}
		first := func(query string) string {
			return keys(s.want(t, 200, "GET", base+query, nil).Body["bios"].([]any)[0])
		}
		registry := "allowable_values attribute_type created_at links lower_bound max_length min_length name read_only " +
			"reset_required unique updated_at upper_bound value"
		for query, want := range map[string]string{
			"": "created_at links name updated_at value", "?detail=false": "created_at links name updated_at value",
			"?detail=true": registry, "?fields=value,unique": "created_at links unique updated_at value",
		} {
			if got := first(query); got != want {
				t.Errorf("%s: got %s, want %s", query, got, want)
			}
		}
		one := s.want(t, 200, "GET", base+"/b", nil).Body["b"]
		if keys(one) != registry || one.(object)["value"] != "2" {
			t.Errorf("got %v", one)
		}
		if got := one.(object)["links"].([]any)[0].(object)["href"]; !strings.HasSuffix(got.(string), base+"/b") {
			t.Errorf("links to %v", got)
		}
		s.want(t, 404, "GET", base+"/c", nil)
		for _, bad := range []string{"?fields=x", "?detail=perhaps", "?detail=true&fields=name"} {
			s.want(t, 400, "GET", base+bad, nil)
		}
		s.version = "1.73"
		for _, bad := range []string{"?fields=name", "?detail=true"} {
			s.want(t, 400, "GET", base+bad, nil)
		}
		if got := keys(s.want(t, 200, "GET", base+"/b", nil).Body["b"]); got != "created_at links name updated_at value" {
			t.Errorf("1.73: %s", got)
		}
		s.edit(t, idA, func(n *node.Node) { n.DriverInternalInfo = nil })
		if got := s.want(t, 200, "GET", base, nil).Body["bios"].([]any); len(got) != 0 {
			t.Errorf("of a new node: %v", got)
		}
	})
}

// Settings, versions and findings come from what the driver does.
func TestWhatDriversFind(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.create(t, object{"uuid": idA, "properties": object{"cpus": 4}})
		base := "/v1/nodes/" + idA
		s.want(t, 404, "GET", base+"/inventory", nil)
		if got := s.want(t, 200, "GET", base+"/firmware", nil).Body["firmware"].([]any); len(got) != 0 {
			t.Errorf("firmware of a new node: %v", got)
		}
		s.provision(t, idA, provision.Manage)
		if r := s.want(t, 200, "GET", base+"/firmware", nil); r.names("firmware", "component") != "bios bmc" ||
			keys(r.Body["firmware"].([]any)[0]) != "component created_at current_version initial_version last_version_flashed updated_at" {
			t.Errorf("got %s", r.Raw)
		}
		if r := s.want(t, 200, "GET", base+"/firmware?fields=component", nil); keys(r.Body["firmware"].([]any)[0]) != "component created_at updated_at" {
			t.Errorf("got %s", r.Raw)
		}
		s.want(t, 400, "GET", base+"/firmware?fields=vendor", nil)
		s.provision(t, idA, provision.Inspect)
		found := s.want(t, 200, "GET", base+"/inventory", nil).Body
		if keys(found) != "inventory plugin_data" || found["inventory"].(object)["cpu"].(object)["count"] != float64(4) {
			t.Errorf("found %v", found)
		}
		for _, path := range []string{base, "/v1/nodes/detail"} {
			if r := s.want(t, 200, "GET", path, nil); strings.Contains(r.Raw, hardware.InspectionKey) {
				t.Errorf("%s shows the inventory", path)
			}
		}
		s.provision(t, idA, provision.Clean, hardware.Step{Interface: "bios", Name: "apply_configuration", Args: object{
			"settings": []any{object{"name": "turbo", "value": "on"}},
		}})
		if r := s.want(t, 200, "GET", base+"/bios", nil); r.names("bios", "value") != "on" {
			t.Errorf("got %s", r.Raw)
		}
	})
}

// provision asks for a verb and waits for its end.
func (s *server) provision(t *testing.T, id node.ID, v provision.Verb, steps ...hardware.Step) {
	t.Helper()
	p := provision.New(provision.Config{Tasks: s.tasks, Store: s.store})
	if err := p.Do(t.Context(), provision.Request{Node: id, Verb: v, Steps: steps}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Minute)
	synctest.Wait()
	if n, err := s.store.Node(t.Context(), id); err != nil || n.ProvisionState != node.StateManageable || n.LastError != "" {
		t.Fatalf("%s: %v, %+v", v, err, n)
	}
}

func TestNodeChildren(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.create(t, object{"uuid": idA, "name": "parent"})
		s.create(t, object{"uuid": idB, "name": "child", "parent_node": idA})
		path := "/v1/nodes/parent/children"
		r := s.want(t, 200, "GET", path, nil)
		if d := cmp.Diff([]any{idB}, r.Body["children"]); d != "" {
			t.Error(d)
		}
		link := r.Body["links"].(object)["href"].(string)
		_, query, _ := strings.Cut(link, "?")
		if got := s.want(t, 200, "GET", "/v1/nodes/?"+query, nil).names("nodes", "uuid"); got != idB {
			t.Errorf("the link %s leads to %s", link, got)
		}
		for _, p := range []string{path + "/detail", path + "?detail=true", path + "?fields=name,driver"} {
			if got := s.want(t, 200, "GET", p, nil).names("children", "name"); got != "child" {
				t.Errorf("%s: %s", p, got)
			}
		}
		if got := s.want(t, 200, "GET", "/v1/nodes/child/children", nil).Body["children"].([]any); len(got) != 0 {
			t.Errorf("grandchildren: %v", got)
		}
		s.want(t, 400, "GET", path+"?fields=x", nil)
		s.want(t, 404, "GET", path+"/"+idB+"/children", nil)
	})
}
