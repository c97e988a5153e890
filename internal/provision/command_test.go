package provision_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/internal/provision"
	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/hardware/hardwaretest"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// background are the requests that are accepted and then done by a worker.
var background = []struct {
	name   string
	method string // the command to the machine
	ask    func(context.Context, *provision.Provisioner, *node.Node) error
	done   func(*node.Node) bool
	failed string // how last_error begins
}{
	{
		"boot mode", "management.SetBootMode", func(ctx context.Context, p *provision.Provisioner, n *node.Node) error {
			return p.SetBootMode(ctx, n, "uefi", 0, "alice")
		},
		func(n *node.Node) bool { return n.BootMode == "uefi" }, "Failed to change boot mode to 'uefi': ",
	},
	{
		"secure boot", "management.SetSecureBoot", func(ctx context.Context, p *provision.Provisioner, n *node.Node) error {
			return p.SetSecureBoot(ctx, n, true, 0, "alice")
		},
		func(n *node.Node) bool { return n.SecureBoot != nil && *n.SecureBoot }, "Failed to change secure boot to 'true': ",
	},
	{
		"console", "console.Start", func(ctx context.Context, p *provision.Provisioner, n *node.Node) error {
			return p.SetConsole(ctx, n.UUID, true, 0, "alice")
		},
		func(n *node.Node) bool { return n.ConsoleEnabled }, "Failed to start console of node ",
	},
	{
		"attach media", "management.AttachVirtualMedia", func(ctx context.Context, p *provision.Provisioner, n *node.Node) error {
			return p.AttachMedia(ctx, n.UUID, "cdrom", "http://192.0.2.1/a.iso", 0, "alice")
		},
		func(n *node.Node) bool { return strings.Contains(n.DriverInternalInfo.String(), "a.iso") }, "Could not attach device cdrom to node ",
	},
	{
		"detach media", "management.DetachVirtualMedia", func(ctx context.Context, p *provision.Provisioner, n *node.Node) error {
			return p.DetachMedia(ctx, n.UUID, []string{"cdrom"}, 0, "alice")
		},
		func(n *node.Node) bool { return n.DriverInternalInfo[hardware.FakeSetupKey] != nil }, "Could not detach device(s) cdrom from node ",
	},
}

func TestBackgroundCommands(t *testing.T) {
	for _, tt := range background {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, c *cluster) {
				p, tasks := c.conductor(t, "c1")
				c.bmc.SetLatency(hardwaretest.Latency{Work: 5 * time.Second})
				if err := tt.ask(t.Context(), p, c.read(t)); err != nil {
					t.Fatal(err)
				}
				if n := c.read(t); n.LastError != "" || tt.done(n) {
					t.Errorf("accepted with %+v, last error %q", n, n.LastError)
				}
				held := tasks.Exclusive(t.Context(), task.Request{Node: c.node}, func(context.Context, *task.Exclusive) error { return nil })
				if !errors.Is(held, lease.ErrHeld) {
					t.Errorf("the worker has no lock: %v", held)
				}
				settle()
				if n := c.read(t); n.LastError != "" || !tt.done(n) || c.sent() != tt.method {
					t.Errorf("ended with %s, last error %q, sent %q", n.DriverInternalInfo, n.LastError, c.sent())
				}
			})
		})
	}
}

func TestBackgroundCommandsFail(t *testing.T) {
	for _, tt := range background {
		t.Run(tt.name, func(t *testing.T) {
			order := func(n *node.Node) {
				n.DriverInfo = node.Object{hardware.FaultKey: []any{object{"mode": "fail", "on": tt.method, "message": "bad mood"}}}
			}
			inBubble(t, order, func(t *testing.T, c *cluster) {
				p, tasks := c.conductor(t, "c1")
				if err := tt.ask(t.Context(), p, c.read(t)); err != nil {
					t.Fatal(err)
				}
				settle()
				if n := c.read(t); !strings.HasPrefix(n.LastError, tt.failed) || !strings.HasSuffix(n.LastError, "bad mood") || tt.done(n) {
					t.Errorf("ended with %s, last error %q", n.DriverInternalInfo, n.LastError)
				}
				if err := tasks.Exclusive(t.Context(), task.Request{Node: c.node}, func(context.Context, *task.Exclusive) error { return nil }); err != nil {
					t.Errorf("the lock is not free: %v", err)
				}
			})
		})
	}
}

// Whoever loses the lock does not describe the node.
func TestBackgroundCommandsLoseTheLock(t *testing.T) {
	for _, tt := range background {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, c *cluster) {
				p, _ := c.conductor(t, "c1")
				c.bmc.SetLatency(hardwaretest.Latency{Work: 20 * time.Second})
				if err := tt.ask(t.Context(), p, c.read(t)); err != nil {
					t.Fatal(err)
				}
				accepted := c.read(t)
				time.Sleep(time.Second)
				c.breakLock(t)
				settle()
				if n := c.read(t); n.Revision != accepted.Revision {
					t.Errorf("the node was written: %s, last error %q", n.DriverInternalInfo, n.LastError)
				}
			})
		})
	}
}

// breakLock ends the exclusive lock of the node as an operator does.
func (c *cluster) breakLock(t *testing.T) {
	t.Helper()
	locks := lease.Locks{Client: c.client, Root: lease.DefaultRoot}
	q, err := locks.Queue(t.Context(), string(c.node))
	if err != nil || len(q.Holders()) != 1 {
		t.Fatalf("holders %v, %v", q.Holders(), err)
	}
	if _, err := locks.Break(t.Context(), string(c.node), q.Holders()[0].Create, "alice", "test"); err != nil {
		t.Fatal(err)
	}
}

func TestBackgroundCommandsWithoutAWorker(t *testing.T) {
	for _, tt := range background {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, c *cluster) {
				p, tasks := c.conductor(t, "c1")
				c.occupy(t, tasks)
				err := tt.ask(t.Context(), p, c.read(t))
				if !errors.Is(err, task.ErrNoWorker) {
					t.Fatalf("got %v, want %v", err, task.ErrNoWorker)
				}
				if n := c.read(t); n.LastError == "" || n.LastError == "old" || c.sent() != "" {
					t.Errorf("last error %q, sent %q", n.LastError, c.sent())
				}
			})
		})
	}
}

// occupy takes all workers for as long as the test runs.
func (c *cluster) occupy(t *testing.T, tasks *task.Manager) {
	t.Helper()
	free := make(chan struct{})
	t.Cleanup(func() { close(free) })
	for {
		n := &node.Node{Driver: "fake-hardware"}
		if err := c.store.Create(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		err := tasks.Exclusive(t.Context(), task.Request{Node: n.UUID}, func(_ context.Context, x *task.Exclusive) error {
			x.SpawnAfter("wait", func(context.Context, *task.Exclusive) error {
				<-free
				return nil
			})
			return nil
		})
		if errors.Is(err, task.ErrNoWorker) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// A machine that has what is asked for gets no command, and what the record says
// of it becomes true.
func TestNothingToChange(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, c *cluster) {
		p, _ := c.conductor(t, "c1")
		on := true
		for _, ask := range []func() error{
			func() error { return p.SetBootMode(t.Context(), c.read(t), "bios", 0, "") },
			func() error { return p.SetBootMode(t.Context(), c.read(t), "bios", 0, "") },
			func() error { return p.SetSecureBoot(t.Context(), c.read(t), on, 0, "") },
			func() error { return p.SetSecureBoot(t.Context(), c.read(t), on, 0, "") },
			func() error { return p.SetConsole(t.Context(), c.node, on, 0, "") },
			func() error { return p.SetConsole(t.Context(), c.node, on, 0, "") },
			func() error { return p.SetConsole(t.Context(), c.node, !on, 0, "") },
		} {
			if err := ask(); err != nil {
				t.Fatal(err)
			}
			settle()
		}
		if got, want := c.sent(), "management.SetBootMode, management.SetSecureBoot, console.Start, console.Stop"; got != want {
			t.Errorf("sent %q, want %q", got, want)
		}
	})
}

// A console that is as asked for takes no lock.
func TestConsoleNeedsNoLock(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, c *cluster) {
		p, tasks := c.conductor(t, "c1")
		err := tasks.Exclusive(t.Context(), task.Request{Node: c.node}, func(ctx context.Context, _ *task.Exclusive) error {
			if err := p.SetConsole(ctx, c.node, true, 0, ""); !errors.Is(err, lease.ErrHeld) {
				t.Errorf("on: got %v, want %v", err, lease.ErrHeld)
			}
			return p.SetConsole(ctx, c.node, false, 0, "")
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// Two who ask for the same at once get it once.
func TestConsoleIsSwitchedOnce(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, c *cluster) {
		p, _ := c.conductor(t, "c1")
		c.bmc.SetLatency(hardwaretest.Latency{Work: 5 * time.Second})
		for range 2 {
			if err := p.SetConsole(t.Context(), c.node, true, time.Minute, ""); err != nil {
				t.Fatal(err)
			}
		}
		settle()
		if got := c.sent(); got != "console.Start" {
			t.Errorf("sent %q", got)
		}
	})
}

// What happens to a console is told. Ironic: baremetal.node.console_set.
func TestConsoleIsTold(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, c *cluster) {
		p, _ := c.conductor(t, "c1")
		if err := p.SetConsole(t.Context(), c.node, true, 0, "alice"); err != nil {
			t.Fatal(err)
		}
		settle()
		r, err := c.client.Get(t.Context(), c.store.Keys().Events(c.node), clientv3.WithPrefix())
		if err != nil {
			t.Fatal(err)
		}
		var types []string
		for _, kv := range r.Kvs {
			var n task.Notification
			if err := json.Unmarshal(kv.Value, &n); err != nil || n.User != "alice" {
				t.Errorf("event %s: %v", kv.Value, err)
			}
			types = append(types, n.Type)
		}
		if got := strings.Join(types, " "); got != "baremetal.node.console_set.start baremetal.node.console_set.end" {
			t.Errorf("told %q", got)
		}
	})
}

func TestBootRefuses(t *testing.T) {
	tests := []struct {
		name   string
		change func(*node.Node)
		mode   string
		want   error
	}{
		{"no such mode", nil, "punch cards", hardware.ErrInvalidParameter},
		{"no modes at all", func(n *node.Node) { n.ManagementInterface = "noop" }, "bios", hardware.ErrUnsupported},
		{"deploying", func(n *node.Node) { n.ProvisionState = node.StateDeploying }, "bios", node.ErrInvalidState},
		{"rescue wait", func(n *node.Node) { n.ProvisionState = node.StateRescueWait }, "bios", node.ErrInvalidState},
		{"does not validate", func(n *node.Node) { n.DriverInfo = node.Object{hardware.FaultKey: "x"} }, "bios", hardware.ErrInvalidParameter},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, tt.change, func(t *testing.T, c *cluster) {
				p, _ := c.conductor(t, "c1")
				before := c.read(t)
				if err := p.SetBootMode(t.Context(), before, tt.mode, 0, ""); !errors.Is(err, tt.want) {
					t.Errorf("got %v, want %v", err, tt.want)
				}
				stable := *before
				stable.ProvisionState = node.StateActive // as it was read, before it changed
				if err := p.SetBootMode(t.Context(), &stable, tt.mode, 0, ""); !errors.Is(err, tt.want) {
					t.Errorf("under the lock: got %v, want %v", err, tt.want)
				}
				settle()
				if n := c.read(t); n.Revision != before.Revision || c.sent() != "" {
					t.Errorf("the node was written or the machine commanded (%s)", c.sent())
				}
			})
		})
	}
}

func TestMediaOutOfReach(t *testing.T) {
	away := func(n *node.Node) { n.Maintenance, n.Fault = true, "power failure" }
	inBubble(t, away, func(t *testing.T, c *cluster) {
		p, _ := c.conductor(t, "c1")
		for _, err := range []error{
			p.AttachMedia(t.Context(), c.node, "cdrom", "http://192.0.2.1/a.iso", 0, ""), p.DetachMedia(t.Context(), c.node, nil, 0, ""),
		} {
			if !errors.Is(err, provision.ErrPowerFault) {
				t.Errorf("got %v, want %v", err, provision.ErrPowerFault)
			}
		}
	})
}

// One command settles what was abandoned if that can no longer matter.
func TestCommandsSettle(t *testing.T) {
	tests := []struct {
		name, purpose string
		state         node.ProvisionState
		stays         bool
	}{
		{"the same", "set boot device", node.StateActive, false},
		{"one that only the machine knows of", "inject nmi", node.StateActive, false},
		{"one that a column may be wrong about", "set boot mode", node.StateActive, true},
		{"a deployment", "deploy", node.StateActive, true},
		{"in the middle of a deployment", "set boot device", node.StateDeploying, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(n *node.Node) { n.ProvisionState = tt.state }, func(t *testing.T, c *cluster) {
				p, _ := c.conductor(t, "c1")
				dead, err := lease.Open(t.Context(), c.etcd.Client("dead"), lease.Config{Holder: "dead"})
				if err != nil {
					t.Fatal(err)
				}
				l, err := dead.Acquire(t.Context(), lease.Request{Name: string(c.node), Purpose: tt.purpose})
				if err == nil {
					err = errors.Join(l.Declare(t.Context(), ""), dead.Close(t.Context()))
				}
				if err != nil {
					t.Fatal(err)
				}
				r := task.Request{Node: c.node, Purpose: provision.PurposeBootDevice, Wait: time.Minute}
				err = p.Command(t.Context(), r, func(ctx context.Context, x *task.Exclusive) error {
					return x.Driver().Management.SetBootDevice(ctx, hardware.BootDevice{Device: "pxe"})
				})
				if err != nil {
					t.Fatal(err)
				}
				got, err := c.client.Get(t.Context(), lease.DefaultRoot+"intents/"+string(c.node))
				if err != nil || (got.Count > 0) != tt.stays {
					t.Errorf("%d intents (%v)", got.Count, err)
				}
			})
		})
	}
}
