package node

import (
	"maps"
	"slices"
)

// Set is a named set of provision states, such as UpdateAllowed. Ask it with
// Has. The zero value is Stable.
type Set int

// The sets that Ironic decides by.
const (
	// Stable states are where a node may rest; only they are legal targets.
	// Ironic: STABLE_STATES.
	Stable Set = iota
	// Unstable states are passed through while work is done. Ironic:
	// UNSTABLE_STATES.
	Unstable
	// Failure states keep last_error through a power action. Ironic:
	// FAILURE_STATES.
	Failure
	// Stuck states cannot outlive the conductor that worked in them: a new start
	// fails them. Ironic: STUCK_STATES_TREATED_AS_FAIL.
	Stuck
	// UpdateAllowed states accept a PATCH of a node although it has a target
	// state. Ironic: UPDATE_ALLOWED_STATES, without its thirteenth entry, the
	// verb "service", which is no state.
	UpdateAllowed
	// DeleteAllowed states accept the deletion of the node. Ironic:
	// DELETE_ALLOWED_STATES.
	DeleteAllowed
	// LookupAllowed states answer the ramdisk's look-up. Ironic:
	// LOOKUP_ALLOWED_STATES.
	LookupAllowed
	// FastTrackLookupAllowed is LookupAllowed with fast track on. Ironic:
	// FASTTRACK_LOOKUP_ALLOWED_STATES.
	FastTrackLookupAllowed
	// Servicing states belong to the service of an active node. Ironic:
	// SERVICING_STATES.
	Servicing
	// Inspection states belong to an inspection. Ironic: INSPECTION_STATES.
	Inspection
	// SyncExcluded states are skipped by the power sync. Ironic:
	// conductor/manager.py, SYNC_EXCLUDED_STATES.
	SyncExcluded
	// InterfaceUpdateAllowed states accept new hardware interfaces and a new
	// resource class. Ironic: conductor/manager.py, update_node.
	InterfaceUpdateAllowed
	// ConnectivityUpdateAllowed states accept changes of how ports are
	// connected. Ironic: conductor/manager.py, update_port.
	ConnectivityUpdateAllowed
	// HeartbeatAllowed states handle the agent's heartbeat. Ironic:
	// agent_base.py.
	HeartbeatAllowed
	// FastTrackHeartbeatAllowed is HeartbeatAllowed with fast track on. Ironic:
	// agent_base.py.
	FastTrackHeartbeatAllowed
	// HeartbeatRecordOnly states store a heartbeat and do nothing. Ironic:
	// agent_base.py.
	HeartbeatRecordOnly
	// DeployCounted states count for the limit of concurrent deployments.
	// Ironic: max_concurrent_deploy.
	DeployCounted
	// CleanCounted states count for the limit of concurrent cleanings. Ironic:
	// max_concurrent_clean.
	CleanCounted
)

// sets is never changed after start.
var sets = map[Set][]ProvisionState{
	Stable: {
		StateEnroll, StateManageable, StateAvailable, StateActive, StateError,
		StateRescue,
	},
	Unstable: {
		StateDeploying, StateWaitCallBack, StateCleaning, StateCleanWait,
		StateVerifying, StateDeleting, StateInspecting, StateInspectWait,
		StateAdopting, StateRescuing, StateRescueWait, StateUnrescuing,
		StateServicing, StateServiceWait,
	},
	Failure: {
		StateAdoptFailed, StateCleanFailed, StateDeployFailed, StateInspectFailed,
		StateRescueFailed, StateServiceFailed, StateUnrescueFailed,
	},
	Stuck: {
		StateDeploying, StateCleaning, StateVerifying, StateInspecting,
		StateAdopting, StateRescuing, StateUnrescuing, StateDeleting,
		StateServicing,
	},
	UpdateAllowed: {
		StateDeployFailed, StateInspecting, StateInspectFailed, StateInspectWait,
		StateCleanFailed, StateError, StateVerifying, StateAdoptFailed,
		StateRescueFailed, StateUnrescueFailed, StateServiceHold,
		StateServiceFailed,
	},
	DeleteAllowed: {
		StateManageable, StateEnroll, StateAdoptFailed,
	},
	LookupAllowed: {
		StateCleanWait, StateCleaning, StateDeploying, StateInspectWait,
		StateInspecting, StateRescueWait, StateRescuing, StateServiceWait,
		StateWaitCallBack,
	},
	FastTrackLookupAllowed: {
		StateAvailable, StateCleanWait, StateCleaning, StateDeploying, StateEnroll,
		StateInspectWait, StateInspecting, StateManageable, StateRescueWait,
		StateRescuing, StateServiceHold, StateServiceWait, StateServicing,
		StateWaitCallBack,
	},
	Servicing: {
		StateServiceFailed, StateServiceHold, StateServiceWait, StateServicing,
	},
	Inspection: {
		StateInspectFailed, StateInspectWait, StateInspecting,
	},
	SyncExcluded: {
		StateWaitCallBack, StateCleanWait, StateEnroll, StateAdoptFailed,
	},
	InterfaceUpdateAllowed: {
		StateEnroll, StateInspecting, StateInspectWait, StateManageable,
		StateAvailable,
	},
	ConnectivityUpdateAllowed: {
		StateEnroll, StateInspecting, StateInspectWait, StateManageable,
	},
	HeartbeatAllowed: {
		StateWaitCallBack, StateCleanWait, StateRescueWait, StateDeploying,
		StateCleaning, StateRescuing, StateDeployHold, StateCleanHold,
		StateServicing, StateServiceWait, StateServiceHold,
	},
	FastTrackHeartbeatAllowed: {
		StateWaitCallBack, StateCleanWait, StateRescueWait, StateDeploying,
		StateCleaning, StateRescuing, StateDeployHold, StateCleanHold,
		StateServicing, StateServiceWait, StateServiceHold, StateManageable,
		StateAvailable, StateEnroll,
	},
	HeartbeatRecordOnly: {
		StateEnroll, StateManageable, StateAvailable, StateCleaning,
		StateDeploying, StateRescuing, StateDeployHold, StateCleanHold,
		StateServicing, StateServiceHold,
	},
	DeployCounted: {
		StateDeploying, StateWaitCallBack,
	},
	CleanCounted: {
		StateDeleting, StateCleaning, StateCleanWait,
	},
}

// Has says whether the state belongs to the set.
func (s Set) Has(p ProvisionState) bool { return slices.Contains(sets[s], p) }

// States answers the members of the set; the caller may change the slice.
func (s Set) States() []ProvisionState { return slices.Clone(sets[s]) }

// States answers the 30 states of the machine in the order of the table.
func States() []ProvisionState {
	all := make([]ProvisionState, len(table))
	for i, r := range table {
		all[i] = r.state
	}
	return all
}

// Events answers the 18 events of the machine, sorted.
func Events() []Event {
	seen := map[Event]bool{}
	for _, r := range table {
		for e := range r.events {
			seen[e] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// find answers the row of a state; nil when the machine does not know it.
func (p ProvisionState) find() *row {
	for i := range table {
		if table[i].state == p {
			return &table[i]
		}
	}
	return nil
}

// Valid says whether the state is one of the 30 of the machine.
func (p ProvisionState) Valid() bool { return p.find() != nil }

// Stable says whether a node may rest in the state, and so whether it may be
// a target. Ironic: the "stable" attribute in ironic/common/fsm.py.
func (p ProvisionState) Stable() bool {
	r := p.find()
	return r != nil && r.stable
}

// DefaultTarget answers the state that work in this one heads for, or "" when
// there is none. Ironic: the "target" attribute in ironic/common/fsm.py.
func (p ProvisionState) DefaultTarget() ProvisionState {
	if r := p.find(); r != nil {
		return r.target
	}
	return ""
}

// After answers the state that the event leads to from p, and false when p
// does not know the event. It only looks; a Machine moves.
func (p ProvisionState) After(e Event) (ProvisionState, bool) {
	if r := p.find(); r != nil {
		to, ok := r.events[e]
		return to, ok
	}
	return "", false
}

// Events answers the events that are legal in the state, sorted.
func (p ProvisionState) Events() []Event {
	if r := p.find(); r != nil {
		return slices.Sorted(maps.Keys(r.events))
	}
	return nil
}

// Valid says whether the value is one of the five that a client may ask for.
// PowerError and "" are not.
func (p PowerState) Valid() bool {
	switch p {
	case PowerOn, PowerOff, PowerReboot, PowerSoftReboot, PowerSoftOff:
		return true
	}
	return false
}
