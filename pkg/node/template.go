package node

import (
	"context"
	"slices"
)

// DeployTemplate is a list of deploy steps. They run in the deployments of
// instances that ask for the trait that is its name.
//
// Ironic: ironic/objects/deploy_template.py.
type DeployTemplate struct {
	UUID  string         `json:"uuid"`
	Name  string         `json:"name"` // unique; a trait
	Steps []TemplateStep `json:"steps"`
	Extra Object         `json:"extra"`

	Meta
}

// Clone answers a deep copy. A nil template clones to nil.
func (d *DeployTemplate) Clone() *DeployTemplate {
	if d == nil {
		return nil
	}
	c := *d
	c.Steps = slices.Clone(d.Steps)
	for i, s := range c.Steps {
		c.Steps[i].Args = s.Args.Clone()
		if s.Priority != nil {
			c.Steps[i].Priority = new(*s.Priority)
		}
	}
	c.Extra, c.Meta = d.Extra.Clone(), d.Meta.clone()
	return &c
}

// Masked answers a deep copy for output, in which every secret in the arguments
// of steps is "******".
func (d *DeployTemplate) Masked() *DeployTemplate {
	c := d.Clone()
	if c == nil {
		return nil
	}
	for i, s := range c.Steps {
		c.Steps[i].Args = s.Args.Masked()
	}
	return c
}

// Normalize brings the uuid to lower case.
func (d *DeployTemplate) Normalize() { normalUUID(&d.UUID) }

// Validate answers nil or a *ValidationError that lists every bad field. It does
// not know which steps there are: that depends on the drivers of the nodes.
//
// Ironic: api/controllers/v1/deploy_template.py, TEMPLATE_SCHEMA.
func (d *DeployTemplate) Validate() error {
	var p problems
	p.uuid("uuid", d.UUID, true)
	p.traitName(d.Name)
	p.stepNames(len(d.Steps), func(i int) (string, string) { return d.Steps[i].Interface, d.Steps[i].Step })
	for i, s := range d.Steps {
		if s.Args == nil {
			p.add(stepField(i, "args"), "is required; {} is none")
		}
		if s.Priority == nil {
			p.add(stepField(i, "priority"), "is required")
		}
	}
	return p.err()
}

// Kind answers KindDeployTemplate.
func (d *DeployTemplate) Kind() Kind { return KindDeployTemplate }

// ID answers the uuid.
func (d *DeployTemplate) ID() string { return d.UUID }

func (d *DeployTemplate) parent() ID            { return ID(d.UUID) }
func (d *DeployTemplate) place(_ ID, id string) { orID(&d.UUID, id) }
func (d *DeployTemplate) copy() Record          { return d.Clone() }
func (d *DeployTemplate) meta() *Meta           { return &d.Meta }

func (d *DeployTemplate) indexes(k Keys) []index {
	return []index{{k.index("deploy-template-name", d.Name), d.UUID, "name", d.Name}}
}

// DeployTemplate reads one deploy template by its uuid or its name.
func (s *Store) DeployTemplate(ctx context.Context, ref string) (*DeployTemplate, error) {
	return named(ctx, s, ref, "deploy-template-name", func(d *DeployTemplate) string { return d.Name })
}

// DeployTemplates lists deploy templates in the order of their uuids, as Nodes
// lists nodes.
func (s *Store) DeployTemplates(ctx context.Context, q ListRequest[*DeployTemplate]) (*Page[*DeployTemplate], error) {
	return list(ctx, s, q)
}
