package hardwaretest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/node"
)

// ErrUnreachable is wrapped by the answers of a machine that is unplugged.
var ErrUnreachable = errors.New("bmc unreachable")

// Latency is how long a command takes. The zero Latency is no time at all.
type Latency struct {
	// Request is the way to the machine. It cannot be called back: once sent,
	// a command arrives.
	Request time.Duration
	// Work is what the machine needs. The new state shows at its end.
	Work time.Duration
	// Answer is the way back.
	Answer time.Duration
}

// Command is one command as the BMC recorded it.
type Command struct {
	// Seq numbers the commands of a BMC from 1 in the order they were sent.
	Seq int
	// Node is the machine.
	Node node.ID
	// Method is the interface and method, such as power.Set.
	Method string
	// To is the power state asked for, if the command asks for one.
	To node.PowerState
	// Writes says that the command may change the machine.
	Writes bool
	// Actor is who sent it.
	Actor hardware.Actor
	// Start is when it was sent, Arrived when it reached the machine, End
	// when the machine was, or will be, finished with it.
	Start, Arrived, End time.Time
	// Sent is when a caller in another process says that it sent it, by its
	// own clock; zero for the others.
	Sent time.Time
	// Refused says that the machine was unplugged and did nothing.
	Refused bool
	// Gone is when the caller gave up waiting; zero if it did not.
	Gone time.Time
}

// String returns the command in one line, with its times in seconds of the
// hour.
func (c Command) String() string {
	what := c.Method
	if c.To != "" {
		what += fmt.Sprintf("(%s)", c.To)
	}
	return fmt.Sprintf("#%d %s on %s by %s token %d [%s, %s]", c.Seq, what, c.Node,
		c.Actor.Conductor, c.Actor.Token, c.Start.Format("04:05.000"), c.End.Format("04:05.000"))
}

// BMC is a fleet of simulated machines, one for each node that is spoken to;
// each is off at first. It is what the fakes command in a [Registry]. The zero
// BMC is ready to use, and all its methods may be called by several goroutines
// at once.
type BMC struct {
	mu       sync.Mutex
	machines map[node.ID]*machine
	log      []Command
	latency  Latency
	varied   func(hardware.Call) Latency
}

var _ hardware.Machines = (*BMC)(nil)

type machine struct {
	state     node.PowerState
	unplugged bool
	latency   *Latency
	// due are the changes that arrived and are not finished, by their time.
	due []change
}

type change struct {
	at time.Time
	to node.PowerState
}

// SetLatency sets how long commands to all machines take that have no latency
// of their own. It does not change commands that are under way.
func (b *BMC) SetLatency(l Latency) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.latency = l
}

// VaryLatency asks by for the latency of each command from now on, to machines
// that have none of their own. It is called by one goroutine at a time.
func (b *BMC) VaryLatency(by func(hardware.Call) Latency) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.varied = by
}

// SetLatencyOf sets how long commands to one machine take.
func (b *BMC) SetLatencyOf(id node.ID, l Latency) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.machine(id).latency = &l
}

// Unplug makes a machine's controller answer nothing but [ErrUnreachable].
func (b *BMC) Unplug(id node.ID) { b.setUnplugged(id, true) }

// Plug undoes Unplug.
func (b *BMC) Plug(id node.ID) { b.setUnplugged(id, false) }

func (b *BMC) setUnplugged(id node.ID, unplugged bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.machine(id).unplugged = unplugged
}

// Press sets a machine's power state as somebody in front of it would, without
// a command.
func (b *BMC) Press(id node.ID, to node.PowerState) {
	b.mu.Lock()
	defer b.mu.Unlock()
	m := b.machine(id)
	m.settle(time.Now())
	m.state = to
}

// State returns a machine's power state, without a command.
func (b *BMC) State(id node.ID) node.PowerState {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.machine(id).settle(time.Now())
}

// Commands returns the commands sent to a machine in the order they were sent.
func (b *BMC) Commands(id node.ID) []Command {
	b.mu.Lock()
	defer b.mu.Unlock()
	var of []Command
	for _, c := range b.log {
		if c.Node == id {
			of = append(of, c)
		}
	}
	return of
}

// AllCommands returns the commands sent to all machines in the order they were
// sent.
func (b *BMC) AllCommands() []Command {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.log)
}

// Power implements [hardware.Machines].
func (b *BMC) Power(ctx context.Context, c hardware.Call) (node.PowerState, error) {
	var seen node.PowerState
	err := b.do(ctx, c, "", &seen)
	return seen, err
}

// SetPower implements [hardware.Machines].
func (b *BMC) SetPower(ctx context.Context, c hardware.Call, to node.PowerState) error {
	return b.do(ctx, c, to, nil)
}

// Command implements [hardware.Machines]: it takes time, is recorded and
// changes nothing.
func (b *BMC) Command(ctx context.Context, c hardware.Call) error {
	return b.do(ctx, c, "", nil)
}

// do sends a command, has it carried out and waits for the answer.
func (b *BMC) do(ctx context.Context, c hardware.Call, to node.PowerState, seen *node.PowerState) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	i, l, err := b.send(ctx, c, to)
	if err == nil {
		err = wait(ctx, l.Request+l.Work)
	}
	if err == nil && seen != nil {
		*seen = b.State(c.Node)
	}
	if err == nil {
		err = wait(ctx, l.Answer)
	}
	if ctx.Err() != nil && err != nil {
		b.mu.Lock()
		b.log[i].Gone = time.Now()
		b.mu.Unlock()
		return fmt.Errorf("%s on %s: no answer: %w", c, c.Node, err)
	}
	return err
}

// send puts a command on its way. From here on it happens whatever the caller
// does, so all that will happen is written down at once.
func (b *BMC) send(ctx context.Context, c hardware.Call, to node.PowerState) (int, Latency, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	m := b.machine(c.Node)
	l := b.latency
	switch {
	case m.latency != nil:
		l = *m.latency
	case b.varied != nil:
		l = b.varied(c)
	}
	now := time.Now()
	rec := Command{
		Seq: len(b.log) + 1, Node: c.Node, Method: c.String(), To: to, Writes: c.Writes,
		Actor: hardware.ActorFrom(ctx), Start: now,
		Arrived: now.Add(l.Request), End: now.Add(l.Request + l.Work), Refused: m.unplugged,
		Sent: sentFrom(ctx),
	}
	if m.unplugged {
		rec.Arrived, rec.End = now, now
	}
	b.log = append(b.log, rec)
	if m.unplugged {
		return rec.Seq - 1, l, fmt.Errorf("%s on %s: %w", c, c.Node, ErrUnreachable)
	}
	if to != "" {
		m.settle(now)
		m.due = append(m.due, change{rec.End, result(to)})
		slices.SortStableFunc(m.due, func(a, b change) int { return a.at.Compare(b.at) })
	}
	return rec.Seq - 1, l, nil
}

// result returns the state a machine is in after a command.
func result(to node.PowerState) node.PowerState {
	switch to {
	case node.PowerOff, node.PowerSoftOff:
		return node.PowerOff
	}
	return node.PowerOn
}

func (b *BMC) machine(id node.ID) *machine {
	if b.machines == nil {
		b.machines = map[node.ID]*machine{}
	}
	m := b.machines[id]
	if m == nil {
		m = &machine{state: node.PowerOff}
		b.machines[id] = m
	}
	return m
}

// settle brings about the changes that are due and returns the state.
func (m *machine) settle(now time.Time) node.PowerState {
	for len(m.due) > 0 && !m.due[0].at.After(now) {
		m.state = m.due[0].to
		m.due = m.due[1:]
	}
	return m.state
}

func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
