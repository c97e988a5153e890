package hardware

import (
	"context"

	"github.com/conductor-metal/conductor/pkg/node"
)

// NetworkReader is the part of the network interface that only reads.
type NetworkReader interface {
	// Validate checks that the record holds what the interface needs, without
	// commanding the machine. It returns an error for which errors.Is(err,
	// ErrInvalidParameter) holds if it does not.
	Validate(ctx context.Context, n *node.Node) error
	// VIFs lists the virtual interfaces attached to the node.
	VIFs(ctx context.Context, n *node.Node) ([]VIF, error)
}

// Network connects a machine to networks. Ironic: NetworkInterface.
type Network interface {
	NetworkReader
	// Join connects the machine to the network that serves a purpose. Joining
	// twice is no error. Ironic: add_provisioning_network, add_cleaning_network,
	// configure_tenant_networks and so on.
	Join(ctx context.Context, n *node.Node, p NetworkPurpose) error
	// Leave undoes Join.
	Leave(ctx context.Context, n *node.Node, p NetworkPurpose) error
	// AttachVIF attaches a virtual interface to a port of the node.
	AttachVIF(ctx context.Context, n *node.Node, v VIF) error
	// DetachVIF detaches it.
	DetachVIF(ctx context.Context, n *node.Node, id string) error
}

// NetworkPurpose is what a machine is connected to a network for.
type NetworkPurpose string

// The purposes. Ironic has one pair of methods for each.
const (
	ProvisioningNetwork NetworkPurpose = "provisioning"
	CleaningNetwork     NetworkPurpose = "cleaning"
	RescuingNetwork     NetworkPurpose = "rescuing"
	InspectionNetwork   NetworkPurpose = "inspection"
	ServicingNetwork    NetworkPurpose = "servicing"
	TenantNetwork       NetworkPurpose = "tenant"
)

// VIF is a virtual interface of the network service.
type VIF struct {
	// ID identifies it there.
	ID string `json:"id"`
	// PortID names the port to use; empty leaves the choice to the
	// implementation.
	PortID string `json:"port_uuid,omitempty"`
}

// BoundNetworkReader is a [NetworkReader] bound to a node, behind a [Gate].
type BoundNetworkReader struct{ r bound[NetworkReader] }

// BoundNetwork is a [Network] bound to a node, behind a [Gate].
type BoundNetwork struct {
	BoundNetworkReader
	w bound[Network]
}

// Validate is [NetworkReader.Validate] on the node.
func (b BoundNetworkReader) Validate(ctx context.Context) error {
	return check(ctx, b.r, "Validate", NetworkReader.Validate)
}

// VIFs is [NetworkReader.VIFs] on the node.
func (b BoundNetworkReader) VIFs(ctx context.Context) ([]VIF, error) {
	return ask(ctx, b.r, "VIFs", NetworkReader.VIFs)
}

// Join is [Network.Join] on the node.
func (b BoundNetwork) Join(ctx context.Context, p NetworkPurpose) error {
	return act(ctx, b.w, "Join", func(i Network, ctx context.Context, n *node.Node) error {
		return i.Join(ctx, n, p)
	})
}

// Leave is [Network.Leave] on the node.
func (b BoundNetwork) Leave(ctx context.Context, p NetworkPurpose) error {
	return act(ctx, b.w, "Leave", func(i Network, ctx context.Context, n *node.Node) error {
		return i.Leave(ctx, n, p)
	})
}

// AttachVIF is [Network.AttachVIF] on the node.
func (b BoundNetwork) AttachVIF(ctx context.Context, v VIF) error {
	return act(ctx, b.w, "AttachVIF", func(i Network, ctx context.Context, n *node.Node) error {
		return i.AttachVIF(ctx, n, v)
	})
}

// DetachVIF is [Network.DetachVIF] on the node.
func (b BoundNetwork) DetachVIF(ctx context.Context, id string) error {
	return act(ctx, b.w, "DetachVIF", func(i Network, ctx context.Context, n *node.Node) error {
		return i.DetachVIF(ctx, n, id)
	})
}

func bindNetwork(b binding, impl Network) BoundNetwork {
	return BoundNetwork{
		BoundNetworkReader{bound[NetworkReader]{b, InterfaceNetwork, impl}},
		bound[Network]{b, InterfaceNetwork, impl},
	}
}
