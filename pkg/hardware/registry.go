package hardware

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Config says what a [Registry] enables. The zero Config enables the type
// fake-hardware and every implementation this package has.
type Config struct {
	// HardwareTypes names the enabled types. Nil means all that are known:
	// fake-hardware and those in Types. An empty list that is not nil is an
	// error. Ironic: enabled_hardware_types.
	HardwareTypes []string
	// Interfaces names the enabled implementations by interface. Nil for an
	// interface means all that are known. Ironic: enabled_*_interfaces.
	Interfaces map[string][]string
	// Defaults names the implementation for nodes that name none. For an
	// interface that is not there, or empty, the hardware type's order
	// decides. Storage, if it is not there at all, means noop when that is
	// enabled. Ironic: default_*_interface.
	Defaults map[string]string

	// Types are hardware types besides fake-hardware.
	Types []Type
	// Kit holds implementations besides those of this package. One with the
	// name of one of them replaces it.
	Kit Kit

	// Fake configures the implementations called fake.
	Fake FakeConfig
}

// Type is a hardware type.
type Type struct {
	// Name is what nodes have in their driver field.
	Name string
	// Supported names the implementations the type can use, by interface,
	// the preferred first.
	Supported map[string][]string
	// Any accepts every enabled implementation; Supported then only orders
	// the defaults. Ironic: only fake-hardware is like that.
	Any bool
}

// Kit holds implementations by interface and name.
type Kit struct {
	BIOS       map[string]BIOS
	Boot       map[string]Boot
	Console    map[string]Console
	Deploy     map[string]Deploy
	Firmware   map[string]Firmware
	Inspect    map[string]Inspect
	Management map[string]Management
	Network    map[string]Network
	Power      map[string]Power
	RAID       map[string]RAID
	Rescue     map[string]Rescue
	Storage    map[string]Storage
	Vendor     map[string]Vendor
}

// ErrConfig is wrapped by the errors of [NewRegistry].
var ErrConfig = errors.New("invalid hardware configuration")

// Registry knows the enabled hardware types and implementations. It does not
// change after [NewRegistry] and may be used by several goroutines. The zero
// Registry has nothing enabled: Compose answers every node with a
// [DriverNotFoundError].
type Registry struct {
	types    map[string]Type
	kit      Kit
	enabled  map[string][]string
	defaults map[string]string
	made     compositions
}

// NewRegistry returns the registry c describes. It refuses names it does not
// know, with an error for which errors.Is(err, ErrConfig) holds, as Ironic
// refuses to start.
func NewRegistry(c Config) (*Registry, error) {
	kit, err := builtin(c.Fake)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	kit = kit.with(c.Kit)
	r := &Registry{kit: kit, types: map[string]Type{}}
	if err := r.enableTypes(c); err != nil {
		return nil, err
	}
	if r.enabled, err = enabledNames(kit.names(), c.Interfaces); err != nil {
		return nil, err
	}
	return r, r.setDefaults(c.Defaults)
}

func (r *Registry) enableTypes(c Config) error {
	known := map[string]Type{FakeHardware: fakeHardwareType()}
	for _, t := range c.Types {
		known[t.Name] = t
	}
	if c.HardwareTypes == nil {
		r.types = known
		return nil
	}
	for _, name := range c.HardwareTypes {
		t, ok := known[name]
		if !ok {
			return fmt.Errorf("%w: unknown hardware type %q, known: %s",
				ErrConfig, name, list(slices.Sorted(maps.Keys(known))))
		}
		r.types[name] = t
	}
	if len(r.types) == 0 {
		return fmt.Errorf("%w: no hardware type enabled", ErrConfig)
	}
	return nil
}

func enabledNames(known, chosen map[string][]string) (map[string][]string, error) {
	for iface := range chosen {
		if _, ok := known[iface]; !ok {
			return nil, fmt.Errorf("%w: unknown interface %q", ErrConfig, iface)
		}
	}
	enabled := map[string][]string{}
	for iface, names := range known {
		want := chosen[iface]
		if want == nil {
			want = names
		}
		for _, name := range want {
			if !slices.Contains(names, name) {
				return nil, fmt.Errorf("%w: unknown %s interface %q, known: %s", ErrConfig, iface, name, list(names))
			}
		}
		enabled[iface] = slices.Clone(want)
	}
	return enabled, nil
}

func (r *Registry) setDefaults(defaults map[string]string) error {
	r.defaults = map[string]string{}
	for iface, name := range defaults {
		if _, ok := r.enabled[iface]; !ok {
			return fmt.Errorf("%w: default for unknown interface %q", ErrConfig, iface)
		}
		if name != "" {
			r.defaults[iface] = name
		}
	}
	if _, said := defaults[InterfaceStorage]; !said && slices.Contains(r.enabled[InterfaceStorage], noop) {
		r.defaults[InterfaceStorage] = noop
	}
	return nil
}

// Types returns the names of the enabled hardware types in alphabetical order.
func (r *Registry) Types() []string { return slices.Sorted(maps.Keys(r.types)) }

// TypeInfo describes an enabled hardware type. Ironic: GET
// /v1/drivers/{name}.
type TypeInfo struct {
	Name string
	// Enabled are the implementations a node of this type can use, by
	// interface, the preferred first.
	Enabled map[string][]string
	// Default is what a node that names none gets; an interface for which
	// nothing can be chosen is not in it.
	Default map[string]string
	// Properties says what the implementations in Default need in
	// driver_info, by name.
	Properties map[string]string
}

// Describe describes an enabled hardware type. For others it returns a
// [DriverNotFoundError].
func (r *Registry) Describe(driver string) (TypeInfo, error) {
	t, err := r.hardwareType(driver)
	if err != nil {
		return TypeInfo{}, err
	}
	info := TypeInfo{
		Name:       driver,
		Enabled:    map[string][]string{},
		Default:    map[string]string{},
		Properties: map[string]string{},
	}
	for _, iface := range Interfaces() {
		info.Enabled[iface] = r.valid(t, iface)
		name, err := r.defaultName(t, iface)
		if err != nil {
			continue
		}
		info.Default[iface] = name
		if d, ok := r.kit.impl(iface, name).(Documented); ok {
			maps.Copy(info.Properties, d.Properties())
		}
	}
	return info, nil
}
