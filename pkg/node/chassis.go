package node

import "context"

// Chassis is what nodes are built into. A node points to its chassis, which must
// exist, and a chassis that has nodes cannot be deleted.
//
// Ironic: ironic/objects/chassis.py.
type Chassis struct {
	UUID        string `json:"uuid"`
	Description string `json:"description,omitempty"`
	Extra       Object `json:"extra"`

	Meta
}

// Clone answers a deep copy. A nil chassis clones to nil.
func (c *Chassis) Clone() *Chassis {
	if c == nil {
		return nil
	}
	d := *c
	d.Extra, d.Meta = c.Extra.Clone(), c.Meta.clone()
	return &d
}

// Normalize brings the uuid to lower case.
func (c *Chassis) Normalize() { normalUUID(&c.UUID) }

// Validate answers nil or a *ValidationError that lists every bad field.
//
// Ironic: api/controllers/v1/chassis.py, CHASSIS_SCHEMA.
func (c *Chassis) Validate() error {
	var p problems
	p.uuid("uuid", c.UUID, true)
	p.text("description", c.Description, maxText)
	return p.err()
}

// Kind answers KindChassis.
func (c *Chassis) Kind() Kind { return KindChassis }

// ID answers the uuid.
func (c *Chassis) ID() string { return c.UUID }

func (c *Chassis) parent() ID            { return ID(c.UUID) }
func (c *Chassis) place(_ ID, id string) { orID(&c.UUID, id) }
func (c *Chassis) copy() Record          { return c.Clone() }
func (c *Chassis) meta() *Meta           { return &c.Meta }
func (c *Chassis) indexes(Keys) []index  { return nil }

// Chassis reads one chassis by its uuid.
func (s *Store) Chassis(ctx context.Context, uuid string) (*Chassis, error) {
	return named(ctx, s, uuid, "", func(*Chassis) string { return "" })
}

// AllChassis lists chassis in the order of their uuids, as Nodes lists nodes.
func (s *Store) AllChassis(ctx context.Context, q ListRequest[*Chassis]) (*Page[*Chassis], error) {
	return list(ctx, s, q)
}
