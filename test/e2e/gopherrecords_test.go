package e2e

import (
	"net/http"
	"time"

	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/allocations"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/conductors"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/drivers"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/nodes"
	nics "github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/ports"
	"github.com/gophercloud/gophercloud/v2/pagination"
)

func gopherRecords(g *gopher) {
	no := false
	n := g.create(nodes.CreateOpts{
		Name: "records", ResourceClass: "shelf", Owner: "alice", AutomatedClean: &no,
		Properties: map[string]any{"cpus": 8}, Extra: map[string]any{"rack": "r1"}, DriverInfo: map[string]any{"password": "s3cret"},
	})
	if n.DriverInfo["password"] != "******" || n.Properties["cpus"] != 8.0 || n.Extra["rack"] != "r1" || n.AutomatedClean == nil || *n.AutomatedClean {
		g.t.Errorf("created %+v", n)
	}
	if n.CreatedAt.IsZero() || n.PowerInterface != "fake" || n.NetworkInterface != "noop" || len(n.Links) != 2 {
		g.t.Errorf("created %+v", n)
	}
	byName, byUUID := g.get("records"), g.get(n.UUID)
	if byName.UUID != n.UUID || byUUID.Name != "records" {
		g.t.Errorf("by name %+v, by uuid %+v", byName, byUUID)
	}

	listed := func(pages pagination.Pager) []nodes.Node { return pagesOf(g, pages, nodes.ExtractNodes) }
	if all := listed(nodes.List(g.ServiceClient, nodes.ListOpts{ResourceClass: "shelf", Fields: []string{"uuid", "resource_class"}})); len(all) != 1 ||
		all[0].UUID != n.UUID || all[0].ResourceClass != "shelf" || all[0].Name != "" {
		g.t.Errorf("list with fields: %+v", all)
	}
	if all := listed(nodes.List(g.ServiceClient, nodes.ListOpts{Owner: "alice", ProvisionState: nodes.Enroll, SortKey: "name", SortDir: "desc"})); len(all) != 1 || all[0].Name != "records" {
		g.t.Errorf("list: %+v", all)
	}
	if all := listed(nodes.ListDetail(g.ServiceClient, nodes.ListOpts{ResourceClass: "shelf"})); len(all) != 1 || all[0].Driver != "fake-hardware" || all[0].Extra["rack"] != "r1" {
		g.t.Errorf("list in detail: %+v", all)
	}
	if all := listed(nodes.List(g.ServiceClient, nodes.ListOpts{ResourceClass: "nothing"})); len(all) != 0 {
		g.t.Errorf("list of nothing: %+v", all)
	}
	_, err := nodes.List(g.ServiceClient, nodes.ListOpts{Fields: []string{"nonsense"}}).AllPages(g.ctx)
	g.refused(err, http.StatusBadRequest, "nonsense")

	n = ask(g, nodes.Update(g.ctx, g.ServiceClient, "records", nodes.UpdateOpts{
		nodes.UpdateOperation{Op: nodes.ReplaceOp, Path: "/description", Value: "second"},
		nodes.UpdateOperation{Op: nodes.AddOp, Path: "/extra/slot", Value: 3},
		nodes.UpdateOperation{Op: nodes.RemoveOp, Path: "/extra/rack"},
		nodes.UpdateOperation{Op: nodes.RemoveOp, Path: "/owner"},
		nodes.UpdateOperation{Op: nodes.ReplaceOp, Path: "/name", Value: "shelf-1"},
	}).Extract)
	if n.Name != "shelf-1" || n.Description != "second" || n.Extra["slot"] != 3.0 || n.Extra["rack"] != nil || n.Owner != "" || n.UpdatedAt.IsZero() {
		g.t.Errorf("updated %+v", n)
	}
	v := ask(g, nodes.Validate(g.ctx, g.ServiceClient, n.UUID).Extract)
	if !v.Power.Result || !v.Deploy.Result || !v.Management.Result || !v.Storage.Result {
		g.t.Errorf("validated: %+v", v)
	}
	g.ok(nodes.Delete(g.ctx, g.ServiceClient, n.UUID).ExtractErr())
	g.refused(nodes.Get(g.ctx, g.ServiceClient, n.UUID).Err, http.StatusNotFound, "could not be found")
}

func gopherNetwork(g *gopher) {
	n := g.create(nodes.CreateOpts{Name: "network"})
	yes, no := true, false
	p := ask(g, nics.Create(g.ctx, g.ServiceClient, nics.CreateOpts{
		NodeUUID: n.UUID, Address: "52:54:00:CF:2D:50", PXEEnabled: &yes, IsSmartNIC: &no, PhysicalNetwork: "rack1", Extra: map[string]any{"cable": "blue"},
		LocalLinkConnection: map[string]any{"switch_id": "0a:1b:2c:3d:4e:5f", "port_id": "Eth3/1"},
	}).Extract)
	if p.UUID == "" || p.Address != "52:54:00:cf:2d:50" || !p.PXEEnabled || p.PhysicalNetwork != "rack1" || p.NodeUUID != n.UUID {
		g.t.Errorf("created %+v", p)
	}
	g.refused(nics.Create(g.ctx, g.ServiceClient, nics.CreateOpts{NodeUUID: n.UUID, Address: "52:54:00:cf:2d:50"}).Err, http.StatusConflict, "already exists")
	g.refused(nics.Create(g.ctx, g.ServiceClient, nics.CreateOpts{NodeUUID: "5ee55a58-6b26-4af5-a3e8-3a5c59f4a1b6", Address: "52:54:00:cf:2d:51"}).Err,
		http.StatusBadRequest, "could not be found")
	listed := func(pages pagination.Pager) []nics.Port { return pagesOf(g, pages, nics.ExtractPorts) }
	if all := listed(nics.List(g.ServiceClient, nics.ListOpts{Node: "network"})); len(all) != 1 || all[0].UUID != p.UUID {
		g.t.Errorf("listed %+v", all)
	}
	if all := listed(nics.ListDetail(g.ServiceClient, nics.ListOpts{Address: "52:54:00:cf:2d:50"})); len(all) != 1 || all[0].Extra["cable"] != "blue" {
		g.t.Errorf("listed in detail %+v", all)
	}
	p = ask(g, nics.Update(g.ctx, g.ServiceClient, p.UUID, nics.UpdateOpts{
		nics.UpdateOperation{Op: nics.ReplaceOp, Path: "/address", Value: "52:54:00:cf:2d:52"},
		nics.UpdateOperation{Op: nics.RemoveOp, Path: "/physical_network"},
	}).Extract)
	if p.Address != "52:54:00:cf:2d:52" || p.PhysicalNetwork != "" {
		g.t.Errorf("updated %+v", p)
	}
	const vif = "8e7a2b1c-3d4e-4f5a-8b9c-0d1e2f3a4b5d"
	g.ok(nodes.AttachVirtualInterface(g.ctx, g.ServiceClient, n.UUID, nodes.VirtualInterfaceOpts{ID: vif, PortUUID: p.UUID}).ExtractErr())
	if all := ask(g, nodes.ListVirtualInterfaces(g.ctx, g.ServiceClient, n.UUID).Extract); len(all) != 1 || all[0].ID != vif {
		g.t.Errorf("VIFs %+v", all)
	}
	g.refused(nodes.AttachVirtualInterface(g.ctx, g.ServiceClient, n.UUID, nodes.VirtualInterfaceOpts{ID: vif}).Err, http.StatusConflict, vif)
	g.refused(nics.Delete(g.ctx, g.ServiceClient, p.UUID).Err, http.StatusConflict, "still attached")
	g.ok(nodes.DetachVirtualInterface(g.ctx, g.ServiceClient, n.UUID, vif).ExtractErr())
	g.refused(nodes.DetachVirtualInterface(g.ctx, g.ServiceClient, n.UUID, vif).Err, http.StatusBadRequest, vif)
	g.ok(nics.Delete(g.ctx, g.ServiceClient, p.UUID).ExtractErr())
	g.refused(nics.Get(g.ctx, g.ServiceClient, p.UUID).Err, http.StatusNotFound, "could not be found")
}

func gopherCluster(g *gopher) {
	all := pagesOf(g, conductors.List(g.ServiceClient, conductors.ListOpts{Detail: true}), conductors.ExtractConductors)
	if len(all) != 1 || all[0].Hostname != "g1" || !all[0].Alive || len(all[0].Drivers) != 1 || all[0].UpdatedAt.IsZero() {
		g.t.Errorf("conductors %+v", all)
	}
	if c := ask(g, conductors.Get(g.ctx, g.ServiceClient, "g1").Extract); !c.Alive {
		g.t.Errorf("conductor %+v", c)
	}
	g.refused(conductors.Get(g.ctx, g.ServiceClient, "nobody").Err, http.StatusNotFound, "could not be found")

	types := pagesOf(g, drivers.ListDrivers(g.ServiceClient, drivers.ListDriversOpts{Detail: true}), drivers.ExtractDrivers)
	if len(types) != 1 || types[0].Name != "fake-hardware" || types[0].DefaultPowerInterface != "fake" || types[0].Hosts[0] != "g1" {
		g.t.Errorf("drivers %+v", types)
	}
	if d := ask(g, drivers.GetDriverDetails(g.ctx, g.ServiceClient, "fake-hardware").Extract); d.Type != "dynamic" {
		g.t.Errorf("driver %+v", d)
	}
	if p := ask(g, drivers.GetDriverProperties(g.ctx, g.ServiceClient, "fake-hardware").Extract); len(*p) == 0 {
		g.t.Error("the driver has no properties")
	}
	if p := ask(g, drivers.GetDriverDiskProperties(g.ctx, g.ServiceClient, "fake-hardware").Extract); (*p)["raid_level"] == nil {
		g.t.Errorf("disk properties %v", p)
	}
	g.refused(drivers.GetDriverDetails(g.ctx, g.ServiceClient, "nonsense").Err, http.StatusNotFound, "nonsense")

	n := g.create(nodes.CreateOpts{Name: "cluster", ResourceClass: "cluster"})
	g.to(n.UUID, nodes.ProvisionStateOpts{Target: nodes.TargetManage}, nodes.Manageable)
	g.to(n.UUID, nodes.ProvisionStateOpts{Target: nodes.TargetProvide}, nodes.Available)
	a := ask(g, allocations.Create(g.ctx, g.ServiceClient, allocations.CreateOpts{
		Name: "mine", ResourceClass: "cluster", CandidateNodes: []string{"cluster"}, Extra: map[string]string{"for": "me"},
	}).Extract)
	eventually(g.t, 10*time.Second, "the allocation is active", func() error {
		a = ask(g, allocations.Get(g.ctx, g.ServiceClient, "mine").Extract)
		if a.State != "active" {
			return errNotYet
		}
		return nil
	})
	if a.NodeUUID != n.UUID || a.Extra["for"] != "me" {
		g.t.Errorf("allocation %+v", a)
	}
	if n := g.get("cluster"); n.InstanceUUID != a.UUID || n.AllocationUUID != a.UUID {
		g.t.Errorf("allocated %+v", n)
	}
	if all := pagesOf(g, allocations.List(g.ServiceClient, allocations.ListOpts{ResourceClass: "cluster", Node: n.UUID, State: "active"}), allocations.ExtractAllocations); len(all) != 1 || all[0].UUID != a.UUID {
		g.t.Errorf("allocations %+v", all)
	}
	g.ok(allocations.Delete(g.ctx, g.ServiceClient, a.UUID).ExtractErr())
	g.refused(allocations.Get(g.ctx, g.ServiceClient, a.UUID).Err, http.StatusNotFound, "could not be found")
	if n := g.get("cluster"); n.InstanceUUID != "" || n.AllocationUUID != "" {
		g.t.Errorf("given back %+v", n)
	}
}
