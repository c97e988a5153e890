package provision_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/conductor-metal/conductor/internal/provision"
	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/hardware/hardwaretest"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

func TestCallVendor(t *testing.T) {
	tests := []struct {
		method, bar string
		want        any  // the result
		free        bool // of the lock
		took        time.Duration
	}{
		{"third_method_sync", "meow", true, false, 5 * time.Second},
		{"third_method_sync", "woof", false, false, 5 * time.Second},
		{"second_method", "kazoo", nil, false, 0}, // in the background
		{"fourth_method_shared_lock", "woof", true, true, 5 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.method+" "+tt.bar, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, c *cluster) {
				p, tasks := c.conductor(t, "c1")
				c.bmc.SetLatency(hardwaretest.Latency{Work: 5 * time.Second})
				call := hardware.VendorCall{Method: tt.method, HTTPMethod: "POST", Args: object{"bar": tt.bar}}
				start := time.Now()
				got, m, err := p.CallVendor(t.Context(), c.node, call, 0, "alice")
				if err != nil || got != tt.want || m.Name != tt.method || time.Since(start) != tt.took {
					t.Errorf("got %v of %s after %s, %v", got, m.Name, time.Since(start), err)
				}
				settle()
				if n := len(c.bmc.Commands(c.node)); n != 1 {
					t.Errorf("%d commands", n)
				}
				err = tasks.Exclusive(t.Context(), task.Request{Node: c.node}, func(ctx context.Context, _ *task.Exclusive) error {
					_, _, err := p.CallVendor(ctx, c.node, call, 0, "")
					return err
				})
				if tt.free && err != nil || !tt.free && !errors.Is(err, lease.ErrHeld) {
					t.Errorf("while the node is locked: %v", err)
				}
			})
		})
	}
}

func TestCallVendorRefuses(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, c *cluster) {
		p, _ := c.conductor(t, "c1")
		for name, call := range map[string]hardware.VendorCall{
			"no such method":       {Method: "first_method", HTTPMethod: "POST"},
			"no GET":               {Method: "third_method_sync", HTTPMethod: "GET", Args: object{"bar": "meow"}},
			"no bar":               {Method: "third_method_sync", HTTPMethod: "POST"},
			"no bar, background":   {Method: "second_method", HTTPMethod: "POST"},
			"no bar, without lock": {Method: "fourth_method_shared_lock", HTTPMethod: "POST"},
		} {
			if _, _, err := p.CallVendor(t.Context(), c.node, call, 0, ""); !errors.Is(err, hardware.ErrInvalidParameter) {
				t.Errorf("%s: got %v, want %v", name, err, hardware.ErrInvalidParameter)
			}
		}
		settle()
		if all := c.bmc.Commands(c.node); len(all) != 0 {
			t.Errorf("sent %v", all)
		}
	})
}

// A failure is told to who waits, and else by last_error if that is empty.
func TestCallVendorFails(t *testing.T) {
	broken := func(n *node.Node) {
		n.DriverInfo = node.Object{hardware.FaultKey: []any{
			object{"mode": "fail", "on": "vendor.second_method", "message": "bad mood"},
			object{"mode": "fail", "on": "vendor.third_method_sync", "message": "bad mood"},
			object{"mode": "fail", "on": "vendor.fourth_method_shared_lock", "message": "bad mood"},
		}}
		n.LastError = ""
	}
	inBubble(t, broken, func(t *testing.T, c *cluster) {
		p, _ := c.conductor(t, "c1")
		for _, method := range []string{"third_method_sync", "fourth_method_shared_lock"} {
			_, _, err := p.CallVendor(t.Context(), c.node, hardware.VendorCall{Method: method, Args: object{"bar": "x"}}, 0, "")
			if !errors.Is(err, provision.ErrMachine) || !errors.Is(err, hardware.ErrFault) {
				t.Errorf("%s: got %v", method, err)
			}
		}
		if _, _, err := p.CallVendor(t.Context(), c.node, hardware.VendorCall{Method: "second_method", Args: object{"bar": "x"}}, 0, ""); err != nil {
			t.Error(err)
		}
		settle()
		if got, want := c.read(t).LastError, "vendor passthru second_method failed: vendor.second_method: bad mood"; got != want {
			t.Errorf("last error %q, want %q", got, want)
		}
	})
}
