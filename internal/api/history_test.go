package api

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

func TestHistory(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.create(t, object{"uuid": idA, "name": "a"})
		s.create(t, object{"uuid": idB})
		s.want(t, 202, "PUT", "/v1/nodes/a/states/power", object{"target": "power on"})
		time.Sleep(time.Minute)
		long := strings.Repeat("x", 400)
		s.want(t, 202, "PUT", "/v1/nodes/a/maintenance", object{"reason": long})
		for _, garbage := range []string{"garbage", `{"id":"x"}`, "[]"} {
			if _, err := s.client.Put(t.Context(), s.store.Keys().Events(idA)+uuid.NewString(), garbage); err != nil {
				t.Fatal(err)
			}
		}
		r := s.want(t, 200, "GET", "/v1/nodes/a/history", nil)
		list := r.Body["history"].([]any)
		if len(list) != 4 || r.Body["next"] != nil {
			t.Fatalf("%s", r.Raw)
		}
		first, last := list[0].(object), list[3].(object)
		if first["event"] != "node created" || first["severity"] != "INFO" || first["created_at"] != "2000-01-01T00:00:00+00:00" || first["conductor"] != nil {
			t.Errorf("first %v", first)
		}
		if _, detailed := first["event_type"]; detailed {
			t.Errorf("more than is asked for: %v", first)
		}
		links := first["links"].([]any)
		if len(links) != 1 || links[0].(object)["href"] != fmt.Sprintf("http://c1.example:6385/v1/nodes/%s/history/%s", idA, first["uuid"]) {
			t.Errorf("links %v", links)
		}
		if text := last["event"].(string); len(text) > 255 || !strings.HasPrefix(text, "maintenance is set: xxx") || !strings.HasSuffix(text, "...") {
			t.Errorf("a long text is shown as %q", text)
		}
		for _, path := range []string{"/history?detail=true", "/history/detail"} {
			all := s.want(t, 200, "GET", "/v1/nodes/"+idA+path, nil).Body["history"].([]any)
			e := all[3].(object)
			if e["conductor"] != "c1.example" || e["event_type"] != "maintenance" || e["user"] != nil || !strings.HasSuffix(e["event"].(string), long) {
				t.Errorf("%s: %v", path, e)
			}
		}
		one := s.want(t, 200, "GET", fmt.Sprintf("/v1/nodes/a/history/%s", list[2].(object)["uuid"]), nil).Body
		if one["event"] != "to power on is done" || one["event_type"] != "power" || one["conductor"] != "c1.example" {
			t.Errorf("one: %v", one)
		}
		s.want(t, 404, "GET", "/v1/nodes/a/history/"+idB, nil)
		s.want(t, 404, "GET", "/v1/nodes/a/history/nonsense", nil)
		s.want(t, 404, "GET", fmt.Sprintf("/v1/nodes/%s/history/%s", idB, one["uuid"]), nil) // another node's
		s.want(t, 404, "GET", "/v1/nodes/nobody/history", nil)
		s.version = "1.77"
		s.want(t, 404, "GET", "/v1/nodes/a/history", nil)
	})
}

func TestHistoryPages(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.create(t, object{"uuid": idA, "name": "a"})
		for range 9 {
			time.Sleep(time.Second)
			s.want(t, 202, "PUT", "/v1/nodes/a/maintenance", nil)
		}
		read := func(query string) (ids []string) {
			for path := "/v1/nodes/a/history?" + query; path != ""; {
				r := s.want(t, 200, "GET", path, nil)
				ids = append(ids, strings.Fields(r.names("history", "uuid"))...)
				next, _ := r.Body["next"].(string)
				path = strings.TrimPrefix(next, "http://c1.example:6385")
			}
			return ids
		}
		all := read("")
		if len(all) != 10 || !slices.IsSorted(all) {
			t.Fatalf("got %v, want 10 in order", all)
		}
		for _, limit := range []int{1, 3, 5, 10, 11} {
			if got := read(fmt.Sprint("limit=", limit)); !slices.Equal(got, all) {
				t.Errorf("limit %d: got %v", limit, got)
			}
			got := read(fmt.Sprint("sort_dir=desc&sort_key=created_at&limit=", limit))
			if slices.Reverse(got); !slices.Equal(got, all) {
				t.Errorf("limit %d, the newest first: got %v", limit, got)
			}
		}
		if got := read("marker=" + strings.ToUpper(all[6])); !slices.Equal(got, all[7:]) {
			t.Errorf("after a marker: got %v", got)
		}
		for _, bad := range []string{"limit=0", "limit=x", "marker=x", "sort_key=event", "sort_dir=up", "detail=perhaps", "colour=red"} {
			s.want(t, 400, "GET", "/v1/nodes/a/history?"+bad, nil)
		}
	})
}
