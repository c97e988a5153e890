package api

import (
	"net/http/httptest"
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/noauth"
	driverapi "github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/drivers"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/nodes"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/node"
)

// What a client of Ironic that knows nothing of us sends is understood, and it
// understands the answers.
func TestHardwareThroughGophercloud(t *testing.T) {
	s := newServer(t)
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	client, err := noauth.NewBareMetalNoAuth(noauth.EndpointOpts{IronicEndpoint: server.URL + "/v1"})
	if err != nil {
		t.Fatal(err)
	}
	client.Microversion = "1.93"
	s.machine(t)
	s.edit(t, idA, func(n *node.Node) {
		n.DriverInternalInfo[hardware.FirmwareKey] = map[string]any{"bmc": map[string]any{"initial_version": "1", "current_version": "2"}}
	})
	ctx, size := t.Context(), 10
	for name, do := range map[string]func() error{
		"set boot device": func() error {
			return nodes.SetBootDevice(ctx, client, idA, nodes.BootDeviceOpts{BootDevice: "pxe", Persistent: true}).ExtractErr()
		},
		"NMI": func() error { return nodes.InjectNMI(ctx, client, idA).ExtractErr() },
		"RAID": func() error {
			return nodes.SetRAIDConfig(ctx, client, idA, nodes.RAIDConfigOpts{LogicalDisks: []nodes.LogicalDisk{{SizeGB: &size, RAIDLevel: "5"}}}).ExtractErr()
		},
		"attach VIF": func() error {
			return nodes.AttachVirtualInterface(ctx, client, idA, nodes.VirtualInterfaceOpts{ID: idB}).ExtractErr()
		},
		"detach VIF": func() error { return nodes.DetachVirtualInterface(ctx, client, idA, "w").ExtractErr() },
		"attach media": func() error {
			return nodes.AttachVirtualMedia(ctx, client, idA, nodes.AttachVirtualMediaOpts{
				DeviceType: nodes.VirtualMediaCD, ImageURL: "http://192.0.2.1/a.iso", ImageDownloadSource: "http",
			}).ExtractErr()
		},
		"detach media": func() error {
			return nodes.DetachVirtualMedia(ctx, client, idA, nodes.DetachVirtualMediaOpts{
				DeviceTypes: []nodes.VirtualMediaDeviceType{nodes.VirtualMediaFloppy, nodes.VirtualMediaDisk},
			}).ExtractErr()
		},
		"media": func() error { return nodes.GetVirtualMedia(ctx, client, idA).Err },
		"vendor call": func() error {
			r := nodes.CallVendorPassthru(ctx, client, idA, "POST", nodes.VendorPassthruCallOpts{Method: "third_method_sync", Body: object{"bar": "meow"}})
			if r.StatusCode != 200 || r.Body != true {
				t.Errorf("vendor call: %d %v", r.StatusCode, r.Body)
			}
			return r.Err
		},
	} {
		if err := do(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	reads(t, client)
}

func reads(t *testing.T, client *gophercloud.ServiceClient) {
	t.Helper()
	ctx := t.Context()
	if d, err := nodes.GetBootDevice(ctx, client, idA).Extract(); err != nil || d.BootDevice != "pxe" || !d.Persistent {
		t.Errorf("boot device %v, %v", d, err)
	}
	if all, err := nodes.GetSupportedBootDevices(ctx, client, idA).Extract(); err != nil || len(all) != 1 {
		t.Errorf("supported boot devices %v, %v", all, err)
	}
	if all, err := nodes.ListBIOSSettings(ctx, client, idA, nodes.ListBIOSSettingsOpts{Detail: true}).Extract(); err != nil || len(all) != 2 || all[1].Value != "2" {
		t.Errorf("BIOS %v, %v", all, err)
	}
	// Its Extract finds a setting only if that is called Setting.
	if one := nodes.GetBIOSSetting(ctx, client, idA, "a"); one.Err != nil || one.Body.(object)["a"].(object)["value"] != "1" {
		t.Errorf("BIOS setting %v, %v", one.Body, one.Err)
	}
	if all, err := nodes.ListFirmware(ctx, client, idA).Extract(); err != nil || len(all) != 1 || all[0].CurrentVersion != "2" {
		t.Errorf("firmware %v, %v", all, err)
	}
	if i, err := nodes.GetInventory(ctx, client, idA).Extract(); err != nil || i.Inventory.CPU.Count != 4 {
		t.Errorf("inventory %v, %v", i, err)
	}
	if all, err := nodes.ListVirtualInterfaces(ctx, client, idA).Extract(); err != nil || len(all) != 1 || all[0].ID != idB {
		t.Errorf("VIFs %v, %v", all, err)
	}
	if all, err := nodes.ListVendorPassthruMethods(ctx, client, idA).Extract(); err != nil || !all["second_method"].Async {
		t.Errorf("vendor methods %v, %v", all, err)
	}
	if all, err := driverapi.GetDriverDiskProperties(ctx, client, "fake-hardware").Extract(); err != nil || len(*all) != 10 {
		t.Errorf("logical disks %v, %v", all, err)
	}
	if d, err := driverapi.GetDriverDetails(ctx, client, "fake-hardware").Extract(); err != nil || d.DefaultFirmwareInterface != "fake" || len(d.EnabledPowerInterfaces) != 1 {
		t.Errorf("driver %v, %v", d, err)
	}
}
