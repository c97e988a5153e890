package hardware

import (
	"context"

	"github.com/conductor-metal/conductor/pkg/node"
)

// TypeVendor is implemented by vendor implementations with methods that are of
// the hardware type and not of a node. No lock stands behind such a call: what
// it needs of that kind is its own to see to.
//
// Ironic: driver_passthru.
type TypeVendor interface {
	// TypeMethods lists the methods.
	TypeMethods() []VendorMethod
	// CallType runs one of them. The call has been checked against TypeMethods.
	CallType(ctx context.Context, c VendorCall) (any, error)
}

// TypeMethods lists the vendor methods of a hardware type: those of the vendor
// implementation that its nodes have by default, none if that has none. A type
// that is not enabled gives a [DriverNotFoundError].
func (r *Registry) TypeMethods(driver string) ([]VendorMethod, error) {
	v, err := r.typeVendor(driver)
	if v == nil || err != nil {
		return nil, err
	}
	return v.TypeMethods(), nil
}

// CallType runs a vendor method of a hardware type, and says which it was.
func (r *Registry) CallType(ctx context.Context, driver string, c VendorCall) (any, VendorMethod, error) {
	methods, err := r.TypeMethods(driver)
	if err != nil {
		return nil, VendorMethod{}, err
	}
	m, err := FindVendorMethod(methods, c)
	if err != nil {
		return nil, m, err
	}
	v, err := r.typeVendor(driver)
	if err != nil {
		return nil, m, err
	}
	result, err := v.CallType(ctx, c)
	return result, m, err
}

func (r *Registry) typeVendor(driver string) (TypeVendor, error) {
	t, err := r.hardwareType(driver)
	if err != nil {
		return nil, err
	}
	name, err := r.defaultName(t, InterfaceVendor)
	if err != nil {
		return nil, err
	}
	v, _ := r.kit.Vendor[name].(TypeVendor)
	return v, nil
}

// LogicalDiskProperties names the properties that a logical disk can have on
// nodes of a hardware type, as far as these have its default raid
// implementation, with one sentence each. Ironic:
// get_raid_logical_disk_properties.
func (r *Registry) LogicalDiskProperties(ctx context.Context, driver string) (map[string]string, error) {
	t, err := r.hardwareType(driver)
	if err != nil {
		return nil, err
	}
	name, err := r.defaultName(t, InterfaceRAID)
	if err != nil {
		return nil, err
	}
	return r.kit.RAID[name].LogicalDiskProperties(ctx, &node.Node{Driver: driver})
}
