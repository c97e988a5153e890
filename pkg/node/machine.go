package node

import (
	"context"
	"sync"

	"github.com/qmuntal/stateless"
)

// Machine is one task's private copy of a node's provision state machine. It
// holds a state and a target and touches no store; a task writes both to the
// record in one transaction. It is not safe for use by several goroutines at
// once.
//
// Ironic: ironic/common/fsm.py, made anew in each TaskManager.
type Machine struct {
	state, target ProvisionState
}

// NewMachine starts a machine in the state and with the target of a record. A
// target of "" means the default of the state. An unknown state, or a target
// that is not stable, is an *InvalidStateError.
//
// Ironic: fsm.initialize(start_state, target_state).
func NewMachine(state, target ProvisionState) (*Machine, error) {
	if !state.Valid() {
		return nil, &InvalidStateError{
			State: state, Target: target,
			Reason: "the machine does not know this state",
		}
	}
	if target == "" {
		target = state.DefaultTarget()
	} else if err := checkTarget(state, "", target); err != nil {
		return nil, err
	}
	return &Machine{state: state, target: target}, nil
}

// State answers the provision state that the machine stands in.
func (m *Machine) State() ProvisionState { return m.state }

// Target answers the provision state that the machine heads for, or "".
func (m *Machine) Target() ProvisionState { return m.target }

// Permitted answers the events that are legal now, sorted.
func (m *Machine) Permitted() []Event { return m.state.Events() }

// Fire moves the machine by one event. Afterwards a target that has been
// reached is cleared; then the default target of the new state, if it has
// one, takes its place; then an explicit target, which must be stable, wins.
// So work that waits must pass its target again with each event, or it falls
// back to the default. An illegal event or target is an *InvalidStateError
// and leaves the machine as it was. Fire does not look whether ctx has ended,
// so that a failing task can still be moved to its failure state.
//
// Ironic: fsm.process_event(event, target_state).
func (m *Machine) Fire(ctx context.Context, e Event, target ProvisionState) error {
	if target != "" {
		if err := checkTarget(m.state, e, target); err != nil {
			return err
		}
	}
	if err := definition().FireCtx(context.WithValue(ctx, machineKey{}, m), e); err != nil {
		return err
	}
	if m.target == m.state {
		m.target = ""
	}
	if d := m.state.DefaultTarget(); d != "" {
		m.target = d
	}
	if target != "" {
		m.target = target
	}
	return nil
}

// checkTarget refuses a target that no node can rest in.
func checkTarget(state ProvisionState, e Event, target ProvisionState) error {
	if target.Stable() {
		return nil
	}
	return &InvalidStateError{
		State: state, Event: e, Target: target, Allowed: state.Events(),
		Reason: "the target is not a stable state",
	}
}

// machineKey carries the machine that an event is fired on to the storage
// functions of the shared definition.
type machineKey struct{}

// definition answers the one configured machine of the process. It is built
// once, never changed afterwards and holds no state of its own: the state is
// read from and written to the Machine that the context carries. So a task
// pays for two words and not for the 30 configured states.
var definition = sync.OnceValue(func() *stateless.StateMachine {
	sm := stateless.NewStateMachineWithExternalStorage(
		func(ctx context.Context) (stateless.State, error) {
			return ctx.Value(machineKey{}).(*Machine).state, nil
		},
		func(ctx context.Context, s stateless.State) error {
			ctx.Value(machineKey{}).(*Machine).state = s.(ProvisionState)
			return nil
		},
		stateless.FiringImmediate)
	for _, r := range table {
		c := sm.Configure(r.state)
		for e, to := range r.events {
			c.Permit(e, to)
		}
	}
	sm.OnUnhandledTrigger(func(_ context.Context, s stateless.State, t stateless.Trigger, _ []string) error {
		state := s.(ProvisionState)
		return &InvalidStateError{State: state, Event: t.(Event), Allowed: state.Events()}
	})
	return sm
})
