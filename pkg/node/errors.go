package node

import (
	"errors"
	"fmt"
	"strings"
)

// The kinds of failure; test for them with errors.Is and read the facts with
// errors.AsType on the typed errors below.
var (
	// ErrInvalidState means that an event or a target is not legal in the
	// provision state. Ironic: InvalidState.
	ErrInvalidState = errors.New("invalid provision state")
	// ErrNotFound means that a record does not exist. Ironic: NodeNotFound,
	// PortNotFound and the others of that family.
	ErrNotFound = errors.New("not found")
	// ErrDuplicate means that a value that must be unique is taken. Ironic:
	// NodeAlreadyExists, DuplicateName, InstanceAssociated, MACAlreadyExists
	// and the others of that family.
	ErrDuplicate = errors.New("already taken")
	// ErrStale means that a record changed after it was read: read it again.
	ErrStale = errors.New("record has changed since it was read")
	// ErrInUse means that a record cannot go because others point to it.
	// Ironic: PortgroupNotEmpty, ChassisNotEmpty.
	ErrInUse = errors.New("still in use")
	// ErrInvalid means that a record or an input breaks a rule. Ironic: Invalid.
	ErrInvalid = errors.New("invalid value")
	// ErrTooLarge means that an input is longer than its limit.
	ErrTooLarge = errors.New("too large")
	// ErrCorrupt means that a stored value cannot be understood.
	ErrCorrupt = errors.New("corrupt record")
)

// InvalidStateError says which event was refused in which state, and what
// would have been allowed.
type InvalidStateError struct {
	State   ProvisionState
	Event   Event          // "" when the machine could not even start
	Target  ProvisionState // the explicit target, if it was the cause
	Allowed []Event        // what is legal in State, sorted
	Reason  string         // "" means: the state does not know the event
}

// Error names the state, the event and the events that are legal.
func (e *InvalidStateError) Error() string {
	var b strings.Builder
	if e.Event != "" {
		fmt.Fprintf(&b, "event %q in ", e.Event)
	}
	fmt.Fprintf(&b, "provision state %q", e.State)
	if e.Target != "" {
		fmt.Fprintf(&b, " with target %q", e.Target)
	}
	if e.Reason != "" {
		fmt.Fprintf(&b, ": %s", e.Reason)
	} else {
		b.WriteString(" is not allowed")
	}
	if len(e.Allowed) > 0 {
		names := make([]string, len(e.Allowed))
		for i, a := range e.Allowed {
			names[i] = string(a)
		}
		fmt.Fprintf(&b, "; allowed events: %s", strings.Join(names, ", "))
	}
	return b.String()
}

// Unwrap answers ErrInvalidState.
func (e *InvalidStateError) Unwrap() error { return ErrInvalidState }

// NotFoundError says which record does not exist.
type NotFoundError struct {
	Kind Kind
	Ref  string // the uuid, name, MAC or instance that was asked for
}

// Error names the kind and what was asked for.
func (e *NotFoundError) Error() string { return fmt.Sprintf("%s %q %v", e.Kind, e.Ref, ErrNotFound) }

// Unwrap answers ErrNotFound.
func (e *NotFoundError) Unwrap() error { return ErrNotFound }

// DuplicateError says which unique value is taken, and by whom. Kind and
// Field choose among Ironic's exceptions:
//
//	node uuid                NodeAlreadyExists
//	node name                DuplicateName
//	node instance_uuid       InstanceAssociated
//	node action_slot         none: the caller looks for another slot
//	port uuid, address, name PortAlreadyExists, MACAlreadyExists, PortDuplicateName
//	portgroup likewise       PortgroupAlreadyExists, PortgroupMACAlreadyExists, PortgroupDuplicateName
//	connector uuid           VolumeConnectorAlreadyExists
//	connector connector_id   VolumeConnectorTypeAndIdAlreadyExists
//	target uuid, boot_index  VolumeTargetAlreadyExists, VolumeTargetBootIndexAlreadyExists
//	allocation uuid, name    AllocationAlreadyExists, AllocationDuplicateName
//	template, runbook        DeployTemplateAlreadyExists, RunbookDuplicateName and so on
//	chassis uuid             ChassisAlreadyExists
type DuplicateError struct {
	Kind  Kind
	Field string // the JSON name of the field
	Value string // the value that is taken
	Owner string // uuid of a record that belongs to no node, or node/uuid of another
}

// Error names the field, the value and the owner.
func (e *DuplicateError) Error() string {
	return fmt.Sprintf("%s with %s %q %v by %s", e.Kind, e.Field, e.Value, ErrDuplicate, e.Owner)
}

// Unwrap answers ErrDuplicate.
func (e *DuplicateError) Unwrap() error { return ErrDuplicate }

// StaleError says which key changed after it was read.
type StaleError struct {
	Key  string
	Have int64 // mod revision that the store has now
	Want int64 // mod revision that was read
}

// Error names the key and both revisions.
func (e *StaleError) Error() string {
	return fmt.Sprintf("%s: %v: have revision %d, want %d", e.Key, ErrStale, e.Have, e.Want)
}

// Unwrap answers ErrStale.
func (e *StaleError) Unwrap() error { return ErrStale }

// InUseError says which record cannot go, and who points to it.
type InUseError struct {
	Kind Kind
	UUID string
	By   []string // uuids of the ports of a portgroup, of the nodes of a chassis (the first ones)
}

// Error names the record and those who use it.
func (e *InUseError) Error() string {
	users := "ports"
	if e.Kind == KindChassis {
		users = "nodes"
	}
	return fmt.Sprintf("%s %s is %v by %s %s", e.Kind, e.UUID, ErrInUse, users, strings.Join(e.By, ", "))
}

// Unwrap answers ErrInUse.
func (e *InUseError) Unwrap() error { return ErrInUse }

// CorruptError says which key holds a value that cannot be understood, for
// example because it was written by hand. It never repeats the value.
type CorruptError struct {
	Key      string
	Revision int64 // at which the value was written; 0 if that is not known
	Err      error
}

// Error names the key, what is wrong, and the way out: there is none but by hand.
func (e *CorruptError) Error() string {
	older := "an older revision"
	if e.Revision > 1 {
		older = fmt.Sprintf("\"etcdctl get --rev=%d %s\"", e.Revision-1, e.Key)
	}
	return fmt.Sprintf("%v at key %s: %v (put the value of %s back, or delete the key; who deletes it "+
		"also deletes what points to it below index/)", ErrCorrupt, e.Key, e.Err, older)
}

// Unwrap answers ErrCorrupt and the cause.
func (e *CorruptError) Unwrap() []error { return []error{ErrCorrupt, e.Err} }

// FieldError says what is wrong with one field, and what to do.
type FieldError struct {
	Field  string // the JSON name; a part of an object as properties/cpus
	Reason string
}

// ValidationError lists every field that breaks a rule, in the order of the
// record.
type ValidationError struct {
	Fields []FieldError
}

// Error lists all fields with their reasons in one line.
func (e *ValidationError) Error() string {
	parts := make([]string, len(e.Fields))
	for i, f := range e.Fields {
		parts[i] = f.Reason
		if f.Field != "" {
			parts[i] = f.Field + ": " + f.Reason
		}
	}
	return strings.Join(parts, "; ")
}

// Unwrap answers ErrInvalid.
func (e *ValidationError) Unwrap() error { return ErrInvalid }
