package api

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
)

func TestConsole(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		path := s.machine(t) + "/states/console"
		off := object{"console_enabled": false, "console_info": nil}
		for _, step := range []struct {
			enabled any
			want    object
		}{
			{true, object{"console_enabled": true, "console_info": object{}}},
			{"false", off},
			{"on", object{"console_enabled": true, "console_info": object{}}},
			{false, off},
		} {
			r := s.want(t, 202, "PUT", path, object{"enabled": step.enabled})
			if !strings.HasSuffix(r.Header.Get("Location"), path) {
				t.Errorf("Location %q", r.Header.Get("Location"))
			}
			time.Sleep(time.Second)
			if d := cmp.Diff(step.want, s.want(t, 200, "GET", path, nil).Body); d != "" {
				t.Errorf("enabled %v: %s", step.enabled, d)
			}
			if got := s.want(t, 200, "GET", "/v1/nodes/"+idA, nil).Body["console_enabled"]; got != step.want["console_enabled"] {
				t.Errorf("the column is %v", got)
			}
		}
		for _, bad := range []any{object{}, object{"enabled": nil}, object{"enabled": "perhaps"}, object{"enabled": 1}, ""} {
			s.want(t, 400, "PUT", path, bad)
		}
	})
}

// A console that is as it is wanted needs no lock.
func TestConsoleOfALockedNode(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		path := s.machine(t) + "/states/console"
		s.lock(t, s.open(t, "c2.example"), idA, lease.Exclusive)
		s.want(t, 202, "PUT", path, object{"enabled": false})
		s.want(t, 409, "PUT", path, object{"enabled": true})
	})
}

func TestConsoleFails(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		base := s.machine(t)
		s.edit(t, idA, func(n *node.Node) {
			n.DriverInfo = node.Object{hardware.FaultKey: []any{object{"mode": "fail", "on": "console.Start", "message": "bad mood"}}}
		})
		s.want(t, 202, "PUT", base+"/states/console", object{"enabled": true})
		time.Sleep(time.Second)
		n := s.want(t, 200, "GET", base+"/states", nil).Body
		if text, _ := n["last_error"].(string); n["console_enabled"] != false || !strings.Contains(text, "bad mood") {
			t.Errorf("enabled %v, last error %v", n["console_enabled"], n["last_error"])
		}
		s.edit(t, idA, func(n *node.Node) { n.DriverInfo, n.ConsoleInterface = nil, "no-console" })
		s.want(t, 400, "PUT", base+"/states/console", object{"enabled": true})
		s.want(t, 200, "GET", base+"/states/console", nil)
		s.edit(t, idA, func(n *node.Node) { n.ConsoleEnabled = true })
		s.want(t, 400, "GET", base+"/states/console", nil)
	})
}
