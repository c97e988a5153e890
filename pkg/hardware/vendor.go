package hardware

import (
	"context"
	"fmt"
	"slices"

	"github.com/conductor-metal/conductor/pkg/node"
)

// VendorReader is the part of the vendor interface that needs no exclusive
// lock.
type VendorReader interface {
	// Validate checks a call: that the method is there and the arguments fit.
	Validate(ctx context.Context, n *node.Node, c VendorCall) error
	// Methods lists the methods.
	Methods(ctx context.Context, n *node.Node) ([]VendorMethod, error)
	// Query runs a method that is not Exclusive; for others it returns an error
	// for which errors.Is(err, ErrExclusive) holds.
	Query(ctx context.Context, n *node.Node, c VendorCall) (any, error)
}

// Vendor offers what no other interface does. Ironic: VendorInterface and its
// passthru decorators.
type Vendor interface {
	VendorReader
	// Call runs any of the methods.
	Call(ctx context.Context, n *node.Node, c VendorCall) (any, error)
}

// VendorCall is one call of a vendor method.
type VendorCall struct {
	// Method is its name.
	Method string
	// HTTPMethod is how it was called; empty means POST.
	HTTPMethod string
	// Args are its arguments.
	Args map[string]any
}

// VendorMethod describes a vendor method.
type VendorMethod struct {
	Name        string
	HTTPMethods []string
	Description string
	// Async says that a caller does not wait for the result.
	Async bool
	// Exclusive says that the exclusive lock is needed. Ironic:
	// require_exclusive_lock, true unless told otherwise.
	Exclusive bool
	// Attach says that the result is a file, of type string or []byte, to be
	// served as it is.
	Attach bool
}

// FindVendorMethod returns the method that a call means. A method that is not
// there, or not to be called in that way, is an [ErrInvalidParameter] that says
// what there is.
func FindVendorMethod(methods []VendorMethod, c VendorCall) (VendorMethod, error) {
	i := slices.IndexFunc(methods, func(m VendorMethod) bool { return m.Name == c.Method })
	if i < 0 {
		names := make([]string, len(methods))
		for i, m := range methods {
			names[i] = m.Name
		}
		return VendorMethod{}, fmt.Errorf("%w: no vendor method %q, there are: %s", ErrInvalidParameter, c.Method, list(names))
	}
	m := methods[i]
	if c.HTTPMethod != "" && !slices.Contains(m.HTTPMethods, c.HTTPMethod) {
		return VendorMethod{}, fmt.Errorf("%w: vendor method %s does not take %s, but: %s",
			ErrInvalidParameter, c.Method, c.HTTPMethod, list(m.HTTPMethods))
	}
	return m, nil
}

// BoundVendorReader is a [VendorReader] bound to a node, behind a [Gate].
type BoundVendorReader struct{ r bound[VendorReader] }

// BoundVendor is a [Vendor] bound to a node, behind a [Gate].
type BoundVendor struct {
	BoundVendorReader
	w bound[Vendor]
}

// Validate is [VendorReader.Validate] on the node.
func (b BoundVendorReader) Validate(ctx context.Context, c VendorCall) error {
	return check(ctx, b.r, "Validate", func(i VendorReader, ctx context.Context, n *node.Node) error {
		return i.Validate(ctx, n, c)
	})
}

// Methods is [VendorReader.Methods] on the node.
func (b BoundVendorReader) Methods(ctx context.Context) ([]VendorMethod, error) {
	return ask(ctx, b.r, "Methods", VendorReader.Methods)
}

// Query is [VendorReader.Query] on the node.
func (b BoundVendorReader) Query(ctx context.Context, c VendorCall) (any, error) {
	return ask(ctx, b.r, "Query", func(i VendorReader, ctx context.Context, n *node.Node) (any, error) {
		return i.Query(ctx, n, c)
	})
}

// Call is [Vendor.Call] on the node.
func (b BoundVendor) Call(ctx context.Context, c VendorCall) (any, error) {
	return obtain(ctx, b.w, "Call", func(i Vendor, ctx context.Context, n *node.Node) (any, error) {
		return i.Call(ctx, n, c)
	})
}

func bindVendor(b binding, impl Vendor) BoundVendor {
	return BoundVendor{
		BoundVendorReader{bound[VendorReader]{b, InterfaceVendor, impl}},
		bound[Vendor]{b, InterfaceVendor, impl},
	}
}
