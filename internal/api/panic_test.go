package api

import (
	"strings"
	"testing"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/hardware/hardwaretest"
)

// A driver that panics while the caller waits is a 500 to that caller: the node
// is free again, and the log has the panic once, with where it came from.
func TestDriverPanics(t *testing.T) {
	for path, req := range map[string]struct {
		method string
		body   any
	}{
		"/management/boot_device":            {"PUT", object{"boot_device": "pxe"}},
		"/management/inject_nmi":             {"PUT", object{}},
		"/vendor_passthru/third_method_sync": {"POST", object{"bar": "meow"}},
	} {
		t.Run(path, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *server) {
				node := s.machine(t)
				s.bmc.VaryLatency(func(hardware.Call) hardwaretest.Latency { panic("ouch") })
				if r := s.want(t, 500, req.method, node+path, req.body); strings.Contains(r.Raw, "ouch") || strings.Contains(r.Raw, ".go:") {
					t.Errorf("the client is told what is the log's: %s", r.Raw)
				}
				if q := s.want(t, 200, "GET", "/v1/locks", nil).Raw; strings.Contains(q, idA) {
					t.Errorf("still locked: %s", q)
				}
				log := s.log.String()
				if n := strings.Count(log, "ouch"); n != 1 || !strings.Contains(log, "panic_test.go") {
					t.Errorf("the log tells it %d times: %s", n, log)
				}
			})
		})
	}
}
