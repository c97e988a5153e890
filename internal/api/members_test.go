package api

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/conductor-metal/conductor/internal/cluster"
	"github.com/conductor-metal/conductor/pkg/lease"
)

// A conductor is ordered to drain and the order is taken back; it stands while
// the conductor is away.
func TestMembers(t *testing.T) {
	inPair(t, func(t *testing.T, p *pair) {
		list := func() string {
			var out []string
			for _, m := range p.want(t, http.StatusOK, http.MethodGet, "/v1/members", nil).Body["members"].([]any) {
				view := m.(object)
				text := view["host"].(string) + ":" + view["state"].(string)
				if o, ok := view["drain"].(object); ok {
					text += "(" + o["why"].(string) + ")"
				}
				out = append(out, text)
			}
			return strings.Join(out, " ")
		}
		expect := func(want string) {
			t.Helper()
			if got := list(); got != want {
				t.Errorf("members %q, want %q", got, want)
			}
		}
		expect("c1.example:active c2.example:active")
		p.want(t, http.StatusNotFound, http.MethodPut, "/v1/members/c3.example/drain", nil)
		p.want(t, http.StatusNoContent, http.MethodPut, "/v1/members/c2.example/drain", object{"reason": "new memory"})
		p.want(t, http.StatusNoContent, http.MethodPut, "/v1/members/c2.example/drain", object{"reason": "twice"})
		o, err := cluster.Drains{Client: p.client, Root: lease.DefaultRoot}.Find(t.Context(), "c2.example")
		if err != nil || o == nil || !strings.Contains(o.By, "192.0.2.1") || time.Since(o.Since) > time.Second {
			t.Errorf("order %v, %v", o, err)
		}
		expect("c1.example:active c2.example:active(new memory)")
		if err := p.c2.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		expect("c1.example:active c2.example:away(new memory)")
		for range 2 {
			p.want(t, http.StatusNoContent, http.MethodDelete, "/v1/members/c2.example/drain", nil)
		}
		expect("c1.example:active")
	})
}
