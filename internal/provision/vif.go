package provision

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// The reasons why a virtual interface is not attached or detached.
var (
	// ErrVIFAttached: Ironic: VifAlreadyAttached, 409.
	ErrVIFAttached = errors.New("already attached")
	// ErrNoFreePort: Ironic: NoFreePhysicalPorts, 400.
	ErrNoFreePort = errors.New("no free port")
	// ErrVIFNotAttached: Ironic: VifNotAttached, 400.
	ErrVIFNotAttached = errors.New("not attached")
)

// VIFError says which virtual interface it was about, and where. It is the
// reason that it wraps.
type VIFError struct {
	Why  error
	VIF  string
	Node node.ID
	Kind node.Kind // of the record that has it already
	UUID string
}

// Error speaks as Ironic does.
func (e *VIFError) Error() string {
	switch {
	case errors.Is(e.Why, ErrVIFAttached):
		return fmt.Sprintf("Unable to attach VIF because VIF %s is already attached to %s %s", e.VIF, e.Kind, e.UUID)
	case errors.Is(e.Why, ErrNoFreePort):
		return fmt.Sprintf("Unable to attach VIF %s, not enough free physical ports.", e.VIF)
	}
	return fmt.Sprintf("Unable to detach VIF %s from node %s because it is not attached to it.", e.VIF, e.Node)
}

// Unwrap answers the reason.
func (e *VIFError) Unwrap() error { return e.Why }

// vifKey is where a port or portgroup has the virtual interface that is attached
// to it, in internal_info. Ironic: the same.
const vifKey = "tenant_vif_port_id"

// VIFs lists the virtual interfaces that are attached to the ports and the
// portgroups of a node.
//
// Ironic: VIFPortIDMixin.vif_list.
func VIFs(rs *node.Records) []string {
	var all []string
	for _, s := range sockets(rs) {
		if s.vif() != "" {
			all = append(all, s.vif())
		}
	}
	return all
}

// VIF is a virtual interface to be attached.
type VIF struct {
	ID        string
	Port      string // uuid of the port to take; "": one that suits
	Portgroup string // the same for portgroups; not both
}

// AttachVIF attaches a virtual interface to a free port or portgroup of a node.
//
// Errors: those of task.Manager.Exclusive; a *VIFError if the node has it or no
// port is free; ErrMachine.
//
// Ironic: NeutronVIFPortIDMixin.vif_attach. Here a port remembers what is
// attached to it whatever the network interface of the node is; with Ironic's
// noop it does not.
func (p *Provisioner) AttachVIF(ctx context.Context, id node.ID, v VIF, wait time.Duration, user string) error {
	r := task.Request{Node: id, Purpose: purposeAttachVIF, Wait: wait, User: user}
	return p.Command(ctx, r, func(ctx context.Context, x *task.Exclusive) error {
		network := x.Driver().Network
		if err := network.Validate(ctx); err != nil {
			return FromMachine(err)
		}
		s, err := freeSocket(x.Records(), v)
		if err != nil {
			return err
		}
		if err := network.AttachVIF(ctx, hardware.VIF{ID: v.ID, PortID: s.record().ID()}); err != nil {
			return FromMachine(err)
		}
		return s.put(ctx, x, v.ID)
	})
}

// DetachVIF takes a virtual interface away from a node.
//
// Errors: those of task.Manager.Exclusive; a *VIFError if the node has not got
// it; ErrMachine.
//
// Ironic: NeutronVIFPortIDMixin.vif_detach.
func (p *Provisioner) DetachVIF(ctx context.Context, id node.ID, vif string, wait time.Duration, user string) error {
	r := task.Request{Node: id, Purpose: purposeDetachVIF, Wait: wait, User: user}
	return p.Command(ctx, r, func(ctx context.Context, x *task.Exclusive) error {
		if err := x.Driver().Network.Validate(ctx); err != nil {
			return FromMachine(err)
		}
		for _, s := range sockets(x.Records()) {
			if s.vif() == vif {
				return detach(ctx, x, s)
			}
		}
		return &VIFError{Why: ErrVIFNotAttached, VIF: vif, Node: id}
	})
}

// ClearVIFs takes all virtual interfaces away from the node, as the end of a
// deployment does. It goes on after an error and returns them all.
func ClearVIFs(ctx context.Context, x *task.Exclusive) error {
	var all []error
	for _, s := range sockets(x.Records()) {
		if s.vif() == "" {
			continue
		}
		if err := detach(ctx, x, s); err != nil {
			all = append(all, fmt.Errorf("detach VIF %s: %w", s.vif(), err))
		}
	}
	return errors.Join(all...)
}

// detach tells the network first: when that fails, the port still says what is
// to be done.
func detach(ctx context.Context, x *task.Exclusive, s socket) error {
	if err := x.Driver().Network.DetachVIF(ctx, s.vif()); err != nil {
		return FromMachine(err)
	}
	return s.put(ctx, x, "")
}

// socket is a port or a portgroup: one of the two is set.
type socket struct {
	port  *node.Port
	group *node.Portgroup
}

// sockets are the ports of a node and then its portgroups, each in order.
func sockets(rs *node.Records) []socket {
	var all []socket
	for _, p := range rs.Ports {
		all = append(all, socket{port: p})
	}
	for _, g := range rs.Portgroups {
		all = append(all, socket{group: g})
	}
	return all
}

func (s socket) record() node.Record {
	if s.port != nil {
		return s.port
	}
	return s.group
}

func (s socket) vif() string {
	if s.port != nil {
		return s.port.InternalInfo.Text(vifKey)
	}
	return s.group.InternalInfo.Text(vifKey)
}

// put stores what is attached, "" for nothing.
func (s socket) put(ctx context.Context, x *task.Exclusive, vif string) error {
	edit := func(o *node.Object) {
		info := maps.Clone(*o)
		if info == nil {
			info = node.Object{}
		}
		info[vifKey] = vif
		if vif == "" {
			delete(info, vifKey)
		}
		*o = info
	}
	if s.port != nil {
		updated := s.port.Clone()
		edit(&updated.InternalInfo)
		if vif == "" {
			delete(updated.Extra, "vif_port_id") // where it was in the past
		}
		return x.Update(ctx, s.port, updated)
	}
	updated := s.group.Clone()
	edit(&updated.InternalInfo)
	return x.Update(ctx, s.group, updated)
}

// freeSocket chooses where to attach. Portgroups go before ports, and ports that
// boot by PXE before others. A portgroup with a port that is taken is no longer
// one: its other ports stand for themselves.
//
// Ironic: get_free_port_like_object, without the physical networks, which only
// the network service knows.
func freeSocket(rs *node.Records, v VIF) (socket, error) {
	taken, members := map[string]bool{}, map[string][]*node.Port{}
	for _, s := range sockets(rs) {
		if s.vif() == v.ID {
			return s, &VIFError{Why: ErrVIFAttached, VIF: v.ID, Kind: s.record().Kind(), UUID: s.record().ID()}
		}
		if s.port == nil || s.port.PortgroupUUID == "" {
			continue
		}
		if s.vif() != "" {
			taken[s.port.PortgroupUUID] = true
		} else {
			members[s.port.PortgroupUUID] = append(members[s.port.PortgroupUUID], s.port)
		}
	}
	var groups, ports []socket
	for _, g := range rs.Portgroups {
		switch {
		case g.InternalInfo.Text(vifKey) != "" || len(members[g.UUID]) == 0:
		case !taken[g.UUID]:
			groups = append(groups, socket{group: g})
		default:
			for _, p := range members[g.UUID] {
				ports = append(ports, socket{port: p})
			}
		}
	}
	for _, p := range rs.Ports {
		if p.PortgroupUUID == "" && p.InternalInfo.Text(vifKey) == "" {
			ports = append(ports, socket{port: p})
		}
	}
	slices.SortStableFunc(ports, func(a, b socket) int { return pxe(b.port) - pxe(a.port) })
	for _, s := range append(groups, ports...) {
		if fits(s, v) {
			return s, nil
		}
	}
	return socket{}, &VIFError{Why: ErrNoFreePort, VIF: v.ID, Node: rs.Node.UUID}
}

func pxe(p *node.Port) int {
	if p.PXEEnabled == nil || *p.PXEEnabled {
		return 1
	}
	return 0
}

// fits says whether a free port is one that was asked for.
func fits(s socket, v VIF) bool {
	switch {
	case v.Port != "":
		return s.port != nil && s.port.UUID == v.Port
	case v.Portgroup != "":
		return s.group != nil && s.group.UUID == v.Portgroup
	}
	return true
}
