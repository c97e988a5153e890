package provision_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing/synctest"
	"time"

	"github.com/conductor-metal/conductor/internal/provision"
	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/hardware/hardwaretest"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/lease/leasetest"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

var perfect leasetest.Network // loses nothing

// calls are where drivers can be told to fail, to hang or to wait.
var calls = []string{
	"power.Get", "power.Set", "power.Reboot", "deploy.Prepare", "deploy.deploy", "deploy.CleanUp", "deploy.TearDown",
	"deploy.PrepareCleaning", "deploy.TearDownCleaning", "vendor.log_passthrough", "rescue.Rescue", "rescue.Unrescue",
	"rescue.CleanUp", "inspect.Inspect", "inspect.Abort", "deploy.PrepareService", "deploy.TearDownService",
	"deploy.Heartbeat", "bios.apply_configuration", "bios.Cache", "deploy.TakeOver", "storage.Attach", "network.Leave",
}

// waitables are the calls that can be left to the machine.
var waitables = []string{
	"deploy.PrepareCleaning", "vendor.log_passthrough", "bios.apply_configuration", "deploy.deploy", "inspect.Inspect",
	"rescue.Rescue", "deploy.PrepareService", "deploy.Heartbeat", "rescue.Unrescue", "deploy.TearDown",
}

// ask is what somebody asks of a conductor; nil if the move is none of these.
func (w *walk) ask(m move, h *host, id node.ID) func(context.Context) {
	p := h.p
	switch m.What {
	case "verb":
		r := w.choose(m, p, id)
		return func(ctx context.Context) { _ = p.Do(ctx, r) }
	case "power":
		to := []node.PowerState{node.PowerOn, node.PowerOff, node.PowerReboot, node.PowerSoftOff, node.PowerSoftReboot}[m.N%5]
		return func(ctx context.Context) { _ = p.SetPower(ctx, id, to, 0, waitFor(m), "") }
	case "continue":
		if c, ok := p.Waiting(w.readOf(w.T, id)); ok {
			c.Wait = waitFor(m)
			return func(ctx context.Context) { _ = p.Continue(ctx, c) }
		}
		return func(context.Context) {}
	case "double":
		return func(ctx context.Context) { w.double(ctx, id) }
	case "timeouts":
		time.Sleep([]time.Duration{31, 0, 31}[m.M%3] * time.Minute)
		return func(ctx context.Context) { _ = p.CheckTimeouts(ctx) }
	case "recover":
		return func(ctx context.Context) { _ = p.Recover(ctx, id, waitFor(m)) }
	case "power sync":
		return func(ctx context.Context) { _, _ = h.sync.Sweep(ctx), h.sync.Reach(ctx) }
	case "beat":
		return func(ctx context.Context) { w.call(ctx, m, p, id) }
	}
	return nil
}

func waitFor(m move) time.Duration { return []time.Duration{0, time.Second, time.Minute}[m.M%3] }

// choose makes a request of a verb that is legal, most of the time.
func (w *walk) choose(m move, p *provision.Provisioner, id node.ID) provision.Request {
	state := w.readOf(w.T, id).ProvisionState
	var all, legal []provision.Verb
	for v := range legalFrom {
		all = append(all, v)
	}
	slices.Sort(all)
	for _, v := range all {
		if p.Legal(v, state) {
			legal = append(legal, v)
		}
	}
	if len(legal) == 0 || m.M%8 == 0 {
		legal = all
	}
	r := w.request(legal[m.N%len(legal)])
	r.Node, r.Wait = id, waitFor(m)
	pool := []hardware.Step{
		step("power", "hold"), step("power", "wait"), step("power", "wait", "seconds", 4), step("power", "power_on"), step("power", "reboot"),
		step("vendor", "log_passthrough"), firmwareStep(), step("bios", "factory_reset"), biosStep(), firmwareStep(),
	}
	switch r.Verb {
	case provision.Service:
		pool = pool[:6]
	case provision.Deploy, provision.Rebuild:
		pool = pool[:5]
	case provision.Clean:
	default:
		return r
	}
	r.Steps, r.DisableRamdisk = nil, r.Verb == provision.Clean && m.M%5 == 0
	for _, i := range m.Steps {
		r.Steps = append(r.Steps, pool[i%len(pool)])
	}
	return r
}

// double continues one thing by all conductors at the same time.
func (w *walk) double(ctx context.Context, id node.ID) {
	c, ok := w.admin.p.Waiting(w.readOf(w.T, id))
	if !ok {
		return
	}
	c.Wait = time.Minute
	var both sync.WaitGroup
	for _, h := range append(w.hosts, w.admin) {
		p := h.p
		both.Go(func() { _ = p.Continue(ctx, c) })
	}
	both.Wait()
}

// call is what the agent of a node does: it looks itself up, and calls.
func (w *walk) call(ctx context.Context, m move, p *provision.Provisioner, id node.ID) {
	_, _, _ = p.AgentToken(ctx, id)
	n, err := w.store.Node(ctx, id)
	if err != nil {
		return
	}
	b := w.beat(n.DriverInternalInfo.Text("agent_secret_token"))
	b.Node, b.Status = id, []string{"", "", "end", "start", "error"}[m.N%5]
	_ = p.Heartbeat(ctx, b)
}

// befall is what happens to conductors, etcd, drivers and machines.
func (w *walk) befall(m move, h *host, id node.ID) {
	switch m.What {
	case "stale":
		w.stale(m, h, id)
	case "waits":
		var list []any
		for _, i := range m.Steps {
			list = append(list, waitables[(i*7+m.N)%len(waitables)])
		}
		w.order(id, driverInfo(hardware.WaitsKey, list))
	case "fault":
		mode := []string{"fail", "fail", "hang", "late"}[m.M%4]
		fault := object{"mode": mode, "on": calls[m.N%len(calls)], "times": 1 + m.N%2}
		if mode == "late" {
			fault["after"] = "20s"
		}
		w.order(id, driverInfo(hardware.FaultKey, []any{fault}))
	case "trap":
		w.machines.mu.Lock()
		w.machines.trap[id] = []string{"panic", "error"}[m.N%2]
		w.machines.mu.Unlock()
	case "maintenance":
		w.order(id, func(n *node.Node) { n.Maintenance = m.N%3 == 0 })
	case "slow":
		w.bmc.SetLatency(hardwaretest.Latency{Request: []time.Duration{0, 2 * time.Second, 25 * time.Second}[m.M%3], Work: time.Duration(m.N%13) * time.Second})
	case "unplug":
		w.bmc.Unplug(id)
		time.Sleep(time.Duration(m.N%60) * time.Second)
		w.bmc.Plug(id)
	case "break":
		w.breaks(id)
	case "occupy":
		w.busy(h, time.Duration(m.N%60)*time.Second)
	default:
		w.disconnect(m, h)
	}
}

// holder is the host that has a lock, else the one that is given.
func (w *walk) holder(h *host) *host {
	qs, err := lease.Locks{Client: w.client}.List(w.ctx)
	if err != nil {
		w.Fatal(err)
	}
	for _, q := range qs {
		for _, e := range q.Holders() {
			if i := slices.IndexFunc(w.hosts, func(h *host) bool { return h.network() == e.Holder }); i >= 0 {
				return w.hosts[i]
			}
		}
	}
	return h
}

// disconnect is what happens to a conductor as a whole.
func (w *walk) disconnect(m move, h *host) {
	switch m.What {
	case "kill": // and another begins before, or after, its locks have ended
		h = w.holder(h)
		w.etcd.Cut(h.network())
		if m.Beside { // who takes over is there already
			for _, id := range w.nodes {
				w.beside.Go(func() { _ = w.admin.p.Recover(w.ctx, id, time.Minute) })
			}
		}
		time.Sleep(time.Duration(m.N%50) * time.Second)
		w.start(h)
	case "cut":
		w.etcd.Cut(h.network())
		time.Sleep(time.Duration(m.N%30) * time.Second)
		w.etcd.Heal(h.network())
		time.Sleep(time.Duration(m.M%20) * time.Second)
		w.start(h) // whether it lost its session or not, it goes on beside the next
	case "close":
		ctx, cancel := context.WithTimeout(w.ctx, time.Duration(m.N%20)*time.Second)
		_ = h.tasks.Close(ctx)
		cancel()
		w.stops[h.network()]()
		w.start(h)
	case "bad network":
		w.etcd.SetNetwork(h.network(), leasetest.Seeded(uint64(m.N), leasetest.Faults{
			MaxDelay: time.Duration(m.M%3) * time.Second, LoseAnswer: 0.1, LoseRequest: 0.05, Reset: 0.05, BreakWatch: 0.1,
			Late: 0.05, Repeat: 0.05, MaxLate: 20 * time.Second,
		}))
	case "good network":
		w.etcd.SetNetwork(h.network(), perfect)
	}
}

// stale continues what is over, which must do nothing.
func (w *walk) stale(m move, h *host, id node.ID) {
	before := w.readOf(w.T, id)
	now, waits := h.p.Waiting(before)
	old := slices.DeleteFunc(slices.Clone(w.seen), func(c provision.Continuation) bool { return c.Node != id || c == now })
	if waits && m.M%3 > 0 { // the same step, in an earlier run: only its generation tells that it is over
		c := now
		c.Generation -= int64(1 + m.N%2)
		old = []provision.Continuation{c}
	}
	if len(old) == 0 || len(w.atRest(w.ctx, before)) > 0 {
		return
	}
	w.total["stale in time"]++
	c := old[m.N%len(old)]
	_ = w.admin.p.Continue(w.ctx, c)
	synctest.Wait()
	if after := w.readOf(w.T, id); after.ProvisionState != before.ProvisionState {
		w.wrong = append(w.wrong, fmt.Sprintf("node %.4s: %+v, which is over, took it from %q (%+v) to %q", id, c, before.ProvisionState, now, after.ProvisionState))
	}
}

// breaks ends whatever lock a node has.
func (w *walk) breaks(id node.ID) {
	locks := lease.Locks{Client: w.client}
	q, err := locks.Queue(w.ctx, string(id))
	if err == nil && len(q.Holders()) > 0 {
		_, _ = locks.Break(w.ctx, string(id), q.Holders()[0].Create, "alice", "walk")
	}
}

// busy takes all workers of a conductor for a while.
func (w *walk) busy(h *host, d time.Duration) {
	for range 3 {
		id := w.another(w.T, node.StateManageable)
		_ = h.tasks.Exclusive(w.ctx, task.Request{Node: id, Purpose: "busy"}, func(_ context.Context, x *task.Exclusive) error {
			x.SpawnAfter("busy", func(ctx context.Context, _ *task.Exclusive) error {
				select {
				case <-time.After(d):
				case <-ctx.Done():
				}
				return nil
			})
			return nil
		})
	}
}
