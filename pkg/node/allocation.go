package node

import "context"

// AllocationState says how far an allocation has come.
type AllocationState string

// The states of an allocation, with Ironic's wire values.
const (
	AllocationAllocating AllocationState = "allocating" // a node is being looked for
	AllocationActive     AllocationState = "active"     // it has a node
	AllocationError      AllocationState = "error"      // none was to be had; last_error says why
)

// Allocation asks for a node of a resource class and, once active, says which
// one it got. The node points back with its allocation_uuid, and its
// instance_uuid is the allocation's uuid; all three are written in one
// transaction.
//
// Ironic: ironic/objects/allocation.py.
type Allocation struct {
	UUID          string `json:"uuid"`
	Name          string `json:"name,omitempty"`      // unique; as a node's
	NodeUUID      ID     `json:"node_uuid,omitempty"` // "" unless active
	ResourceClass string `json:"resource_class,omitempty"`

	State     AllocationState `json:"state"`
	LastError string          `json:"last_error,omitempty"` // cut at 4096 bytes

	CandidateNodes []string `json:"candidate_nodes,omitempty"` // uuids; none: any node will do
	Traits         []string `json:"traits,omitempty"`          // those that the node must have
	Owner          string   `json:"owner,omitempty"`           // only nodes that it owns or leases
	Extra          Object   `json:"extra"`

	// ConductorAffinity is the hostname of the conductor that looks for a node;
	// never shown to API clients.
	ConductorAffinity string `json:"conductor_affinity,omitempty"`

	Meta
}

// Clone answers a deep copy. A nil allocation clones to nil.
func (a *Allocation) Clone() *Allocation {
	if a == nil {
		return nil
	}
	c := *a
	c.CandidateNodes = append([]string(nil), a.CandidateNodes...)
	c.Traits = append([]string(nil), a.Traits...)
	c.Extra, c.Meta = a.Extra.Clone(), a.Meta.clone()
	return &c
}

// Normalize brings uuids to lower case, cuts last_error to 4096 bytes and fills
// in the state "allocating".
func (a *Allocation) Normalize() {
	normalUUID(&a.UUID)
	normalUUID(&a.NodeUUID)
	for i := range a.CandidateNodes {
		normalUUID(&a.CandidateNodes[i])
	}
	a.LastError = cut(a.LastError, maxLastError)
	if a.State == "" {
		a.State = AllocationAllocating
	}
}

// Validate answers nil or a *ValidationError that lists every bad field.
//
// Ironic: api/controllers/v1/allocation.py, ALLOCATION_SCHEMA.
func (a *Allocation) Validate() error {
	var p problems
	p.uuid("uuid", a.UUID, true)
	p.name(KindAllocation, a.Name)
	p.uuid("node_uuid", string(a.NodeUUID), false)
	p.text("resource_class", a.ResourceClass, 80)
	switch a.State {
	case AllocationActive:
		if a.NodeUUID == "" {
			p.add("node_uuid", "is required for an active allocation")
		}
	case AllocationAllocating, AllocationError:
		if a.NodeUUID != "" {
			p.add("node_uuid", "only an active allocation has a node")
		}
	default:
		p.add("state", "%q is not a state of an allocation", cut(string(a.State), 64))
	}
	for _, id := range a.CandidateNodes {
		p.uuid("candidate_nodes", id, true)
	}
	p.traits(a.Traits)
	p.text("owner", a.Owner, maxText)
	p.text("conductor_affinity", a.ConductorAffinity, maxText)
	return p.err()
}

// Kind answers KindAllocation.
func (a *Allocation) Kind() Kind { return KindAllocation }

// ID answers the uuid.
func (a *Allocation) ID() string { return a.UUID }

func (a *Allocation) parent() ID            { return ID(a.UUID) }
func (a *Allocation) place(_ ID, id string) { orID(&a.UUID, id) }
func (a *Allocation) copy() Record          { return a.Clone() }
func (a *Allocation) meta() *Meta           { return &a.Meta }

func (a *Allocation) indexes(k Keys) []index {
	if a.Name == "" {
		return nil
	}
	return []index{{k.index("allocation-name", a.Name), a.UUID, "name", a.Name}}
}

// Allocation reads one allocation by its uuid or its name.
func (s *Store) Allocation(ctx context.Context, ref string) (*Allocation, error) {
	return named(ctx, s, ref, "allocation-name", func(a *Allocation) string { return a.Name })
}

// Allocations lists allocations in the order of their uuids, as Nodes lists nodes.
func (s *Store) Allocations(ctx context.Context, q ListRequest[*Allocation]) (*Page[*Allocation], error) {
	return list(ctx, s, q)
}
