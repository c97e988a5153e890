package hardware

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/conductor-metal/conductor/pkg/node"
)

// Composition is what a node's driver is made of. It does not change and may
// be bound to the node many times.
type Composition struct {
	driver   string
	names    map[string]string
	defaults map[string]string
	parts    parts
}

// Compose chooses the thirteen implementations for a node. For each
// interface, the name in the node's instance_info, under such as
// power_interface, wins over the node's own field; both are checked if they
// are set; if neither is, the default is taken. The node is not changed: what
// was taken by default is in Defaults.
//
// It returns a [DriverNotFoundError], [InterfaceNotFoundError],
// [IncompatibleInterfaceError] or [NoValidDefaultError] for the first thing
// that does not fit. Ironic: build_driver_for_task.
func (r *Registry) Compose(n *node.Node) (*Composition, error) {
	recipe, plain := recipeOf(n)
	if plain {
		if c := r.made.find(recipe); c != nil {
			return c, nil
		}
	}
	c, err := r.compose(n)
	if err == nil && plain {
		r.made.keep(recipe, c)
	}
	return c, err
}

func (r *Registry) compose(n *node.Node) (*Composition, error) {
	t, err := r.hardwareType(n.Driver)
	if err != nil {
		return nil, err
	}
	c := &Composition{driver: n.Driver, names: map[string]string{}, defaults: map[string]string{}}
	fields := n.Interfaces()
	for _, iface := range Interfaces() {
		key := iface + "_interface"
		name, byDefault, err := r.choose(t, iface, *fields[key], n.InstanceInfo[key])
		if err != nil {
			return nil, err
		}
		c.names[iface] = name
		if byDefault {
			c.defaults[iface] = name
		}
	}
	c.parts = r.kit.parts(c.names)
	return c, nil
}

// HardwareType returns the name of the hardware type.
func (c *Composition) HardwareType() string { return c.driver }

// Names returns the chosen implementation of each interface.
func (c *Composition) Names() map[string]string { return maps.Clone(c.names) }

// Defaults returns the part of Names that neither the node's fields nor its
// instance_info say. Ironic saves them when a node is created or updated, not
// when a task composes its driver.
func (c *Composition) Defaults() map[string]string { return maps.Clone(c.defaults) }

// choose returns the name for an interface and whether it is a default. Own is
// the node's field, over what instance_info says.
func (r *Registry) choose(t Type, iface, own string, over any) (name string, byDefault bool, err error) {
	if own != "" {
		if err := r.fits(t, iface, own); err != nil {
			return "", false, err
		}
		name = own
	}
	switch over := over.(type) {
	case nil:
	case string:
		if err := r.fits(t, iface, over); err != nil {
			return "", false, err
		}
		name = over
	default:
		return "", false, fmt.Errorf("instance_info %s_interface is no text: %w", iface, ErrInvalidParameter)
	}
	if name != "" {
		return name, false, nil
	}
	name, err = r.defaultName(t, iface)
	return name, true, err
}

func (r *Registry) hardwareType(driver string) (Type, error) {
	t, ok := r.types[driver]
	if !ok {
		return Type{}, &DriverNotFoundError{Driver: driver, Valid: r.Types()}
	}
	return t, nil
}

// fits checks that a name is enabled and that the type can use it.
func (r *Registry) fits(t Type, iface, name string) error {
	switch {
	case !slices.Contains(r.enabled[iface], name):
		return &InterfaceNotFoundError{Interface: iface, Name: name, Valid: r.valid(t, iface)}
	case !t.Any && !slices.Contains(t.Supported[iface], name):
		return &IncompatibleInterfaceError{Driver: t.Name, Interface: iface, Name: name, Valid: r.valid(t, iface)}
	}
	return nil
}

// valid returns the enabled names a type can use, the preferred first.
func (r *Registry) valid(t Type, iface string) []string {
	var names []string
	for _, name := range t.Supported[iface] {
		if slices.Contains(r.enabled[iface], name) {
			names = append(names, name)
		}
	}
	for _, name := range r.enabled[iface] {
		if t.Any && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// defaultName returns the name for a node that names none.
func (r *Registry) defaultName(t Type, iface string) (string, error) {
	if name := r.defaults[iface]; name != "" {
		err := r.fits(t, iface, name)
		if _, bad := errors.AsType[*IncompatibleInterfaceError](err); bad {
			err = &NoValidDefaultError{
				Driver: t.Name, Interface: iface, Configured: name,
				Supported: t.Supported[iface], Valid: r.valid(t, iface),
			}
		}
		return name, err
	}
	for _, name := range t.Supported[iface] {
		if slices.Contains(r.enabled[iface], name) {
			return name, nil
		}
	}
	return "", &NoValidDefaultError{Driver: t.Name, Interface: iface, Supported: t.Supported[iface]}
}
