package api

import (
	"fmt"
	"strings"
	"testing"

	"github.com/conductor-metal/conductor/pkg/lease"
)

func TestTraits(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.create(t, object{"uuid": idA, "name": "a"})
		list := func() string {
			t.Helper()
			return fmt.Sprint(s.want(t, 200, "GET", "/v1/nodes/a/traits", nil).Body["traits"])
		}
		if got := list(); got != "[]" {
			t.Errorf("at first: %s", got)
		}
		r := s.want(t, 204, "PUT", "/v1/nodes/a/traits", object{"traits": []string{"HW_CPU_X86_VMX", "CUSTOM_B", "CUSTOM_B"}})
		if r.Raw != "" {
			t.Errorf("a body: %s", r.Raw)
		}
		r = s.want(t, 204, "PUT", "/v1/nodes/a/traits/CUSTOM_A", nil)
		if got := r.Header.Get("Location"); got != "http://c1.example:6385/v1/nodes/a/traits/CUSTOM_A" {
			t.Errorf("location %q", got)
		}
		s.want(t, 204, "PUT", "/v1/nodes/a/traits/CUSTOM_A", "{}") // it has it already
		if got := list(); got != "[CUSTOM_A CUSTOM_B HW_CPU_X86_VMX]" {
			t.Errorf("got %s", got)
		}
		if got := fmt.Sprint(s.want(t, 200, "GET", "/v1/nodes/a", nil).Body["traits"]); got != list() {
			t.Errorf("the node shows %s", got)
		}
		for _, tt := range []struct {
			path string
			body any
			want string
		}{
			{"/v1/nodes/a/traits/custom_x", nil, "is not a trait"},
			{"/v1/nodes/a/traits/CUSTOM_" + strings.Repeat("X", 249), nil, "is not a trait"},
			{"/v1/nodes/a/traits/CUSTOM_X", object{"traits": []string{}}, "no body is expected"},
			{"/v1/nodes/a/traits", object{}, "traits: is required"},
			{"/v1/nodes/a/traits", object{"traits": "CUSTOM_X"}, "traits: must be a list"},
			{"/v1/nodes/a/traits", object{"traits": []string{"CUSTOM_X"}, "x": 1}, "unknown field"},
			{"/v1/nodes/a/traits", object{"traits": []string{"ACME"}}, "is not a trait"},
			{"/v1/nodes/a/traits", object{"traits": many(51)}, "use at most 50"},
		} {
			if r := s.want(t, 400, "PUT", tt.path, tt.body); !strings.Contains(r.fault(), tt.want) {
				t.Errorf("%s: %s, want %s", tt.path, r.fault(), tt.want)
			}
		}
		s.want(t, 204, "DELETE", "/v1/nodes/a/traits/CUSTOM_B", nil)
		r = s.want(t, 404, "DELETE", "/v1/nodes/a/traits/CUSTOM_B", nil)
		if r.fault() != "Node a doesn't have a trait 'CUSTOM_B'" {
			t.Errorf("got %s", r.fault())
		}
		if got := list(); got != "[CUSTOM_A HW_CPU_X86_VMX]" {
			t.Errorf("got %s", got)
		}
		s.want(t, 204, "PUT", "/v1/nodes/a/traits", object{"traits": many(50)})
		s.want(t, 400, "PUT", "/v1/nodes/a/traits/CUSTOM_A", nil) // the 51st

		l := s.lock(t, s.open(t, "c2.example"), idA, lease.Exclusive)
		before := s.etcd.RaftEntries()
		list() // reads need no lock, and write nothing
		if wrote := s.etcd.RaftEntries() - before; wrote != 0 {
			t.Errorf("a read wrote %d times", wrote)
		}
		for method, path := range map[string]string{"PUT": "/v1/nodes/a/traits/CUSTOM_1?wait=0", "DELETE": "/v1/nodes/a/traits?wait=0"} {
			if r := s.want(t, 409, method, path, nil); r.Body["kind"] != "locked" || r.Header.Get("Location") != "" {
				t.Errorf("%s: %s, %v", method, r.Raw, r.Header)
			}
		}
		if err := l.Release(t.Context(), lease.Write{}); err != nil {
			t.Fatal(err)
		}
		s.want(t, 204, "DELETE", "/v1/nodes/a/traits", nil)
		if got := list(); got != "[]" {
			t.Errorf("at last: %s", got)
		}
		s.want(t, 404, "PUT", "/v1/nodes/b/traits/CUSTOM_A", nil)
		s.version = "1.36"
		s.want(t, 404, "GET", "/v1/nodes/a/traits", nil)
	})
}

// many are so many traits.
func many(n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf("CUSTOM_%d", i))
	}
	return all
}
