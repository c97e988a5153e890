package provision_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/conductor-metal/conductor/internal/provision"
	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// beat is a heartbeat of the node's agent.
func (c *cluster) beat(token string) provision.Heartbeat {
	return provision.Heartbeat{Node: c.node, CallbackURL: "http://192.0.2.9:9999", AgentVersion: "9.1", AgentToken: token}
}

// token is what the agent gets when it looks its node up.
func (c *cluster) token(t *testing.T, p *provision.Provisioner) string {
	t.Helper()
	n, token, err := p.AgentToken(t.Context(), c.node)
	if err != nil || len(token) < 20 || n.UUID != c.node {
		t.Fatalf("token %q, %v", token, err)
	}
	return token
}

// An agent that is known moves what waits for it, step by step.
func TestHeartbeat(t *testing.T) {
	tests := []struct {
		verb  provision.Verb
		from  node.ProvisionState
		waits []string
		to    node.ProvisionState
	}{
		{provision.Provide, node.StateManageable, []string{"deploy.PrepareCleaning", "vendor.log_passthrough"}, node.StateAvailable},
		{provision.Clean, node.StateManageable, []string{"vendor.log_passthrough"}, node.StateManageable},
		{provision.Deploy, node.StateAvailable, []string{"deploy.deploy"}, node.StateActive},
		{provision.Service, node.StateActive, []string{"deploy.PrepareService", "vendor.log_passthrough"}, node.StateActive},
		{provision.Rescue, node.StateActive, []string{"rescue.Rescue"}, node.StateRescue},
		{provision.Inspect, node.StateManageable, []string{"inspect.Inspect"}, node.StateManageable},
	}
	for _, tt := range tests {
		t.Run(string(tt.verb), func(t *testing.T) {
			inBubble(t, in(tt.from, waiting(tt.waits...)), func(t *testing.T, c *cluster) {
				p, _ := c.conductor(t, "c1")
				c.do(t, p, c.request(tt.verb))
				token := c.token(t, p)
				for range tt.waits {
					if err := p.Heartbeat(t.Context(), c.beat(token)); err != nil {
						t.Fatal(err)
					}
					synctest.Wait()
				}
				settle()
				n := c.read(t)
				resting(t, n, tt.to)
				if n.InstanceInfo["rescue_password"] != nil {
					t.Error("the password is still there")
				}
				c.unlocked(t)
			})
		})
	}
}

// An agent that is not finished is heard, and the clock starts anew.
func TestHeartbeatOfABusyAgent(t *testing.T) {
	inBubble(t, in(node.StateAvailable, waiting("deploy.deploy", "deploy.Heartbeat")), func(t *testing.T, c *cluster) {
		p, _ := c.conductor(t, "c1")
		c.do(t, p, c.request(provision.Deploy))
		token := c.token(t, p)
		for range 5 { // 25 minutes each
			time.Sleep(25 * time.Minute)
			if err := p.Heartbeat(t.Context(), c.beat(token)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if err := p.CheckTimeouts(t.Context()); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			n := c.read(t)
			if n.ProvisionState != node.StateWaitCallBack || n.DriverInternalInfo["agent_url"] != "http://192.0.2.9:9999" || n.DriverInternalInfo["agent_version"] != "9.1" {
				t.Fatalf("%q: %s, %v", n.ProvisionState, n.LastError, n.DriverInternalInfo)
			}
		}
		h := c.beat(token)
		h.Status = "end" // says it outright
		if err := p.Heartbeat(t.Context(), h); err != nil {
			t.Fatal(err)
		}
		settle()
		resting(t, c.read(t), node.StateActive)
	})
}

// What an agent says is wrong fails what waits for it, as does a driver that
// cannot make anything of it.
func TestHeartbeatOfAFailure(t *testing.T) {
	tests := []struct {
		name   string
		change func(*node.Node)
		config provision.Config
		status string
		want   string
	}{
		{"the agent says so", nil, provision.Config{}, "error", "disk on fire"},
		{"the driver fails", failing("deploy.Heartbeat"), provision.Config{}, "", "deploy.Heartbeat broke"},
		{"in maintenance", func(n *node.Node) { n.Maintenance = true }, provision.Config{RefuseInMaintenance: true}, "", "in maintenance"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			known := func(n *node.Node) {
				n.DriverInternalInfo = node.Object{"agent_secret_token": "s", "clean_steps": []any{object{"interface": "a", "step": "b"}}, "clean_step_index": 0}
				n.TargetProvisionState = node.StateManageable
			}
			inBubble(t, in(node.StateCleanWait, known, orNothing(tt.change)), func(t *testing.T, c *cluster) {
				p, _ := c.configured(t, "c1", tt.config)
				h := c.beat("s")
				h.Status, h.StatusMessage = tt.status, "disk on fire"
				if err := p.Heartbeat(t.Context(), h); err != nil {
					t.Fatal(err)
				}
				settle()
				n := c.read(t)
				if n.ProvisionState != node.StateCleanFailed || n.TargetProvisionState != node.StateManageable || !strings.Contains(n.LastError, tt.want) || !n.Maintenance {
					t.Errorf("%q, target %q: %s", n.ProvisionState, n.TargetProvisionState, n.LastError)
				}
				c.unlocked(t)
			})
		})
	}
}

func TestHeartbeatRefused(t *testing.T) {
	tests := []struct {
		name   string
		change func(*provision.Heartbeat)
		want   error
	}{
		{"no token", func(h *provision.Heartbeat) { h.AgentToken = "" }, hardware.ErrInvalidParameter},
		{"another's token", func(h *provision.Heartbeat) { h.AgentToken += "x" }, hardware.ErrInvalidParameter},
		{"no address", func(h *provision.Heartbeat) { h.CallbackURL = "" }, hardware.ErrMissingParameter},
		{"no version", func(h *provision.Heartbeat) { h.AgentVersion = "" }, hardware.ErrMissingParameter},
		{"a status of its own", func(h *provision.Heartbeat) { h.Status = "happy" }, hardware.ErrInvalidParameter},
		{"no such node", func(h *provision.Heartbeat) { h.Node = "b05de2a6-0c8b-4b9e-9d56-3f7d1a1b8a11" }, node.ErrNotFound},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, in(node.StateWaitCallBack), func(t *testing.T, c *cluster) {
				p, _ := c.conductor(t, "c1")
				if err := p.Heartbeat(t.Context(), c.beat("")); !errors.Is(err, hardware.ErrInvalidParameter) {
					t.Errorf("before there is a token: %v", err)
				}
				h := c.beat(c.token(t, p))
				before := c.read(t)
				tt.change(&h)
				if err := p.Heartbeat(t.Context(), h); !errors.Is(err, tt.want) {
					t.Errorf("got %v", err)
				}
				settle()
				if n := c.read(t); n.Revision != before.Revision {
					t.Errorf("written: %v", n.DriverInternalInfo)
				}
			})
		})
	}
}

// States differ in what a heartbeat does there: it is stored, or not.
func TestHeartbeatAndStates(t *testing.T) {
	for _, fast := range []bool{false, true} {
		for _, state := range node.States() {
			known := func(n *node.Node) { n.DriverInternalInfo = node.Object{"agent_secret_token": "s"} }
			inBubble(t, in(state, known, waiting("deploy.Heartbeat")), func(t *testing.T, c *cluster) {
				p, _ := c.configured(t, "c1", provision.Config{FastTrack: fast})
				if err := p.Heartbeat(t.Context(), c.beat("s")); err != nil {
					t.Fatal(err)
				}
				settle()
				want := node.HeartbeatAllowed.Has(state) || state == node.StateInspectWait || fast && node.FastTrackHeartbeatAllowed.Has(state)
				n := c.read(t)
				if got := n.DriverInternalInfo["agent_last_heartbeat"] != nil; got != want || n.ProvisionState != state {
					t.Errorf("%q, fast track %v: stored %v, now %q", state, fast, got, n.ProvisionState)
				}
				c.unlocked(t)
			})
		}
	}
}

// Heartbeats and look-ups try the lock once: what they find locked, they leave.
func TestHeartbeatOfALockedNode(t *testing.T) {
	inBubble(t, in(node.StateWaitCallBack), func(t *testing.T, c *cluster) {
		p, tasks := c.conductor(t, "c1")
		locked := func(try func()) {
			t.Helper()
			err := tasks.Exclusive(t.Context(), task.Request{Node: c.node}, func(context.Context, *task.Exclusive) error {
				start := time.Now()
				try()
				if took := time.Since(start); took > 0 {
					t.Errorf("waited for %s", took)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}
		locked(func() {
			if _, _, err := p.AgentToken(t.Context(), c.node); !errors.Is(err, lease.ErrHeld) {
				t.Errorf("look-up: %v", err)
			}
		})
		token := c.token(t, p)
		locked(func() {
			if _, got, err := p.AgentToken(t.Context(), c.node); err != nil || got != "******" {
				t.Errorf("a second look-up: %q, %v", got, err)
			}
			if err := p.Heartbeat(t.Context(), c.beat(token)); !errors.Is(err, lease.ErrHeld) {
				t.Errorf("the first heartbeat: %v", err)
			}
		})
		c.put(t, func(n *node.Node) { n.DriverInternalInfo["agent_url"] = "http://x" })
		locked(func() {
			if err := p.Heartbeat(t.Context(), c.beat(token)); err != nil {
				t.Errorf("a later heartbeat: %v", err)
			}
		})
		if n := c.read(t); n.ProvisionState != node.StateWaitCallBack || n.DriverInternalInfo["agent_url"] != "http://x" {
			t.Errorf("%q, %v", n.ProvisionState, n.DriverInternalInfo)
		}
	})
}
