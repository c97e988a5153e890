package e2e

import (
	"net/http"
	"time"

	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/nodes"
)

// ready makes a node that is available.
func (g *gopher) ready(name string) string {
	g.t.Helper()
	n := g.create(nodes.CreateOpts{Name: name})
	g.to(n.UUID, nodes.ProvisionStateOpts{Target: nodes.TargetManage}, nodes.Manageable)
	g.to(n.UUID, nodes.ProvisionStateOpts{Target: nodes.TargetProvide}, nodes.Available)
	return n.UUID
}

func gopherLife(g *gopher) {
	id := g.create(nodes.CreateOpts{Name: "life"}).UUID
	g.to(id, nodes.ProvisionStateOpts{Target: nodes.TargetManage}, nodes.Manageable)
	n := g.to(id, nodes.ProvisionStateOpts{Target: nodes.TargetInspect}, nodes.Manageable)
	if n.InspectionFinishedAt == nil || n.InspectionFinishedAt.IsZero() {
		g.t.Errorf("inspected: %+v", n)
	}
	g.to(id, nodes.ProvisionStateOpts{Target: nodes.TargetProvide}, nodes.Available)
	update := nodes.UpdateOpts{
		nodes.UpdateOperation{Op: nodes.AddOp, Path: "/instance_info/image_source", Value: "http://127.0.0.1/image"},
		nodes.UpdateOperation{Op: nodes.AddOp, Path: "/instance_uuid", Value: "5dd55a58-6b26-4af5-a3e8-3a5c59f4a1b6"},
	}
	if n := ask(g, nodes.Update(g.ctx, g.ServiceClient, id, update).Extract); n.InstanceUUID == "" {
		g.t.Errorf("updated: %+v", n)
	}
	g.to(id, nodes.ProvisionStateOpts{
		Target:      nodes.TargetActive,
		ConfigDrive: nodes.ConfigDrive{MetaData: map[string]any{"name": "life"}, UserData: "#!/bin/sh"},
		DeploySteps: []nodes.DeployStep{{Interface: nodes.InterfacePower, Step: nodes.StepPowerOn, Priority: 150, Args: map[string]any{}}},
	}, nodes.Active)
	if n := g.get(id); n.PowerState != string(nodes.PowerOn) || n.InstanceInfo["image_source"] == nil {
		g.t.Errorf("deployed: %+v", n)
	}
	g.refused(nodes.Delete(g.ctx, g.ServiceClient, id).Err, http.StatusConflict, "is associated with instance")
	g.refused(nodes.ChangeProvisionState(g.ctx, g.ServiceClient, id, nodes.ProvisionStateOpts{Target: nodes.TargetRescue}).Err, http.StatusBadRequest, "rescue_password")
	g.to(id, nodes.ProvisionStateOpts{Target: nodes.TargetRescue, RescuePassword: "s3cret"}, nodes.Rescue)
	g.to(id, nodes.ProvisionStateOpts{Target: nodes.TargetUnrescue}, nodes.Active)
	g.to(id, nodes.ProvisionStateOpts{Target: nodes.TargetRebuild}, nodes.Active)
	n = g.to(id, nodes.ProvisionStateOpts{Target: nodes.TargetDeleted}, nodes.Available)
	if n.InstanceUUID != "" || len(n.InstanceInfo) != 0 {
		g.t.Errorf("undeployed: %+v", n)
	}
	g.ok(nodes.Delete(g.ctx, g.ServiceClient, id).ExtractErr())
	g.refused(nodes.Get(g.ctx, g.ServiceClient, id).Err, http.StatusNotFound, "could not be found")
}

func gopherClean(g *gopher) {
	id := g.create(nodes.CreateOpts{Name: "clean"}).UUID
	g.to(id, nodes.ProvisionStateOpts{Target: nodes.TargetManage}, nodes.Manageable)
	g.to(id, nodes.ProvisionStateOpts{Target: nodes.TargetClean, CleanSteps: []nodes.CleanStep{
		{Interface: nodes.InterfaceBIOS, Step: "apply_configuration", Args: map[string]any{"settings": []map[string]any{{"name": "vt", "value": "on"}}}},
		{Interface: nodes.InterfacePower, Step: nodes.StepReboot},
	}}, nodes.Manageable)
	all := ask(g, nodes.ListBIOSSettings(g.ctx, g.ServiceClient, id, nodes.ListBIOSSettingsOpts{Detail: true}).Extract)
	if len(all) != 1 || all[0].Name != "vt" || all[0].Value != "on" {
		g.t.Errorf("BIOS settings %+v", all)
	}
	var one map[string]nodes.BIOSSetting // its own Extract knows a setting of one name only
	g.ok(nodes.GetBIOSSetting(g.ctx, g.ServiceClient, id, "vt").ExtractInto(&one))
	if one["vt"].Value != "on" {
		g.t.Errorf("BIOS setting %+v", one)
	}

	// Held in the middle, it goes on where it was, or is given up.
	held := nodes.ProvisionStateOpts{Target: nodes.TargetClean, CleanSteps: []nodes.CleanStep{
		{Interface: nodes.InterfaceDeploy, Step: nodes.StepHold}, {Interface: nodes.InterfaceBIOS, Step: "factory_reset"},
	}}
	n := g.to(id, held, nodes.CleanHold)
	if n.TargetProvisionState != string(nodes.Manageable) || n.Reservation != "" || n.CleanStep["step"] != nodes.StepHold {
		g.t.Errorf("on hold: %+v", n)
	}
	n = g.to(id, nodes.ProvisionStateOpts{Target: nodes.TargetAbort}, nodes.CleanFail)
	if n.LastError == "" {
		g.t.Errorf("aborted: %+v", n)
	}
	g.to(id, nodes.ProvisionStateOpts{Target: nodes.TargetManage}, nodes.Manageable)
	n = g.to(id, nodes.ProvisionStateOpts{Target: nodes.TargetAdopt}, nodes.Active)
	if n.Maintenance {
		g.t.Errorf("adopted: %+v", n)
	}
}

func gopherService(g *gopher) {
	id := g.ready("service")
	g.to(id, nodes.ProvisionStateOpts{Target: nodes.TargetActive}, nodes.Active)
	g.to(id, nodes.ProvisionStateOpts{Target: nodes.TargetService, ServiceSteps: []nodes.ServiceStep{
		{Interface: nodes.InterfaceDeploy, Step: nodes.StepPowerOff}, {Interface: "vendor", Step: "log_passthrough"}, {Interface: nodes.InterfaceDeploy, Step: nodes.StepPowerOn},
	}}, nodes.Active)
	if n := g.get(id); n.PowerState != string(nodes.PowerOn) {
		g.t.Errorf("serviced: %+v", n)
	}
	held := nodes.ProvisionStateOpts{Target: nodes.TargetService, ServiceSteps: []nodes.ServiceStep{
		{Interface: nodes.InterfaceDeploy, Step: nodes.StepHold}, {Interface: nodes.InterfaceDeploy, Step: nodes.StepPowerOff},
	}}
	n := g.to(id, held, nodes.ServiceHold)
	if n.ServiceStep["step"] != nodes.StepHold || n.PowerState != string(nodes.PowerOn) || n.TargetProvisionState != string(nodes.Active) {
		g.t.Errorf("on hold: %+v", n)
	}
	n = g.to(id, nodes.ProvisionStateOpts{Target: nodes.TargetUnhold}, nodes.Active)
	if n.PowerState != string(nodes.PowerOff) || len(n.ServiceStep) != 0 {
		g.t.Errorf("after the hold: %+v", n)
	}
	g.to(id, held, nodes.ServiceHold)
	g.to(id, nodes.ProvisionStateOpts{Target: nodes.TargetAbort}, nodes.Active)
}

func gopherHardware(g *gopher) {
	id := g.ready("hardware")
	power := func(target nodes.TargetPowerState, timeout int, state nodes.TargetPowerState) {
		g.t.Helper()
		g.ok(nodes.ChangePowerState(g.ctx, g.ServiceClient, id, nodes.PowerStateOpts{Target: target, Timeout: timeout}).ExtractErr())
		eventuallyPower(g, id, string(state))
	}
	power(nodes.PowerOn, 0, nodes.PowerOn)
	power(nodes.Rebooting, 0, nodes.PowerOn)
	power(nodes.SoftRebooting, 30, nodes.PowerOn)
	power(nodes.SoftPowerOff, 30, nodes.PowerOff)
	power(nodes.PowerOff, 0, nodes.PowerOff)
	g.refused(nodes.ChangePowerState(g.ctx, g.ServiceClient, id, nodes.PowerStateOpts{Target: "nonsense"}).Err, http.StatusBadRequest, "power state")

	g.ok(nodes.SetBootDevice(g.ctx, g.ServiceClient, id, nodes.BootDeviceOpts{BootDevice: "pxe", Persistent: true}).ExtractErr())
	if d := ask(g, nodes.GetBootDevice(g.ctx, g.ServiceClient, id).Extract); d.BootDevice != "pxe" {
		g.t.Errorf("boot device %+v", d)
	}
	if all := ask(g, nodes.GetSupportedBootDevices(g.ctx, g.ServiceClient, id).Extract); len(all) != 1 || all[0] != "pxe" {
		g.t.Errorf("boot devices %v", all)
	}
	g.refused(nodes.SetBootDevice(g.ctx, g.ServiceClient, id, nodes.BootDeviceOpts{BootDevice: "cdrom"}).Err, http.StatusBadRequest, "boot device")
	g.ok(nodes.InjectNMI(g.ctx, g.ServiceClient, id).ExtractErr())

	size, yes := 100, true
	raid := nodes.RAIDConfigOpts{LogicalDisks: []nodes.LogicalDisk{
		{SizeGB: &size, RAIDLevel: nodes.RAID1, IsRootVolume: &yes}, {RAIDLevel: nodes.RAID5, NumberOfPhysicalDisks: 3},
	}}
	g.ok(nodes.SetRAIDConfig(g.ctx, g.ServiceClient, id, raid).ExtractErr())
	if disks, _ := g.get(id).TargetRAIDConfig["logical_disks"].([]any); len(disks) != 2 {
		g.t.Errorf("RAID %+v", g.get(id).TargetRAIDConfig)
	}

	g.ok(nodes.SetMaintenance(g.ctx, g.ServiceClient, id, nodes.MaintenanceOpts{Reason: "dust"}).ExtractErr())
	if n := g.get(id); !n.Maintenance || n.MaintenanceReason != "dust" {
		g.t.Errorf("in maintenance: %+v", n)
	}
	g.refused(nodes.ChangeProvisionState(g.ctx, g.ServiceClient, id, nodes.ProvisionStateOpts{Target: nodes.TargetActive}).Err, http.StatusBadRequest, "maintenance")
	g.ok(nodes.UnsetMaintenance(g.ctx, g.ServiceClient, id).ExtractErr())
	if n := g.get(id); n.Maintenance || n.MaintenanceReason != "" {
		g.t.Errorf("out of maintenance: %+v", n)
	}

	g.ok(nodes.AttachVirtualMedia(g.ctx, g.ServiceClient, id, nodes.AttachVirtualMediaOpts{DeviceType: nodes.VirtualMediaCD, ImageURL: "http://127.0.0.1/cd.iso"}).ExtractErr())
	g.ok(nodes.GetVirtualMedia(g.ctx, g.ServiceClient, id).Err)
	g.ok(nodes.DetachVirtualMedia(g.ctx, g.ServiceClient, id, nodes.DetachVirtualMediaOpts{DeviceTypes: []nodes.VirtualMediaDeviceType{nodes.VirtualMediaCD}}).ExtractErr())

	methods := ask(g, nodes.ListVendorPassthruMethods(g.ctx, g.ServiceClient, id).Extract)
	if !methods["second_method"].Async || methods["third_method_sync"].Async || len(methods) != 4 {
		g.t.Errorf("vendor methods %+v", methods)
	}
	call := nodes.VendorPassthruCallOpts{Method: "second_method", Body: map[string]any{"bar": "kazoo"}}
	g.ok(nodes.CallVendorPassthru(g.ctx, g.ServiceClient, id, http.MethodPost, call).Err)
	ask(g, nodes.ListFirmware(g.ctx, g.ServiceClient, id).Extract)
}

// eventuallyPower waits until a power state is there and nothing is on its way.
func eventuallyPower(g *gopher, id, state string) {
	g.t.Helper()
	eventually(g.t, 10*time.Second, id+" is "+state, func() error {
		if n := g.get(id); n.PowerState != state || n.TargetPowerState != "" {
			return errNotYet
		}
		return nil
	})
}
