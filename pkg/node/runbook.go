package node

import (
	"context"
	"slices"
)

// Runbook is a list of steps for cleaning or service. It may be run on nodes
// that have the trait that is its name.
//
// Ironic: ironic/objects/runbook.py.
type Runbook struct {
	UUID           string        `json:"uuid"`
	Name           string        `json:"name"` // unique; a trait
	Steps          []RunbookStep `json:"steps"`
	DisableRamdisk bool          `json:"disable_ramdisk"`
	Public         bool          `json:"public"`
	Owner          string        `json:"owner,omitempty"` // a public one has none
	Description    string        `json:"description,omitempty"`
	Extra          Object        `json:"extra"`

	Meta
}

// Clone answers a deep copy. A nil runbook clones to nil.
func (b *Runbook) Clone() *Runbook {
	if b == nil {
		return nil
	}
	c := *b
	c.Steps = slices.Clone(b.Steps)
	for i, s := range c.Steps {
		c.Steps[i].Args = s.Args.Clone()
		if s.Order != nil {
			c.Steps[i].Order = new(*s.Order)
		}
	}
	c.Extra, c.Meta = b.Extra.Clone(), b.Meta.clone()
	return &c
}

// Masked answers a deep copy for output, in which every secret in the arguments
// of steps is "******".
func (b *Runbook) Masked() *Runbook {
	c := b.Clone()
	if c == nil {
		return nil
	}
	for i, s := range c.Steps {
		c.Steps[i].Args = s.Args.Masked()
	}
	return c
}

// Ordered answers the steps in the order in which they run; those of equal order
// as they stand. It is a deep copy.
func (b *Runbook) Ordered() []RunbookStep {
	steps := b.Clone().Steps
	slices.SortStableFunc(steps, func(x, y RunbookStep) int { return x.Order.compare(y.Order) })
	return steps
}

// Normalize brings the uuid to lower case.
func (b *Runbook) Normalize() { normalUUID(&b.UUID) }

// Validate answers nil or a *ValidationError that lists every bad field. It does
// not know which steps there are: that depends on the drivers of the nodes.
//
// Ironic: api/controllers/v1/runbook.py, RUNBOOK_SCHEMA.
func (b *Runbook) Validate() error {
	var p problems
	p.uuid("uuid", b.UUID, true)
	p.traitName(b.Name)
	p.stepNames(len(b.Steps), func(i int) (string, string) { return b.Steps[i].Interface, b.Steps[i].Step })
	for i, s := range b.Steps {
		if s.Order == nil {
			p.add(stepField(i, "order"), "is required")
		}
	}
	p.text("owner", b.Owner, maxText)
	if b.Public && b.Owner != "" {
		p.add("owner", "a public runbook has no owner: set public to false or leave the owner out")
	}
	p.text("description", b.Description, maxText)
	return p.err()
}

// Kind answers KindRunbook.
func (b *Runbook) Kind() Kind { return KindRunbook }

// ID answers the uuid.
func (b *Runbook) ID() string { return b.UUID }

func (b *Runbook) parent() ID            { return ID(b.UUID) }
func (b *Runbook) place(_ ID, id string) { orID(&b.UUID, id) }
func (b *Runbook) copy() Record          { return b.Clone() }
func (b *Runbook) meta() *Meta           { return &b.Meta }

func (b *Runbook) indexes(k Keys) []index {
	return []index{{k.index("runbook-name", b.Name), b.UUID, "name", b.Name}}
}

// Runbook reads one runbook by its uuid or its name.
func (s *Store) Runbook(ctx context.Context, ref string) (*Runbook, error) {
	return named(ctx, s, ref, "runbook-name", func(b *Runbook) string { return b.Name })
}

// Runbooks lists runbooks in the order of their uuids, as Nodes lists nodes.
func (s *Store) Runbooks(ctx context.Context, q ListRequest[*Runbook]) (*Page[*Runbook], error) {
	return list(ctx, s, q)
}
