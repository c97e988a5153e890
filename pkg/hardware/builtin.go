package hardware

// builtin returns the implementations of this package.
func builtin(c FakeConfig) (Kit, error) {
	f, err := newFake(c)
	if err != nil {
		return Kit{}, err
	}
	return Kit{
		BIOS:       map[string]BIOS{fakeName: fakeBIOS{f}, "no-bios": noBIOS{}},
		Boot:       map[string]Boot{fakeName: fakeBoot{f}},
		Console:    map[string]Console{fakeName: fakeConsole{f}, "no-console": noConsole{}},
		Deploy:     map[string]Deploy{fakeName: fakeDeploy{f}, noop: noopDeploy{}},
		Firmware:   map[string]Firmware{fakeName: fakeFirmware{f}, "no-firmware": noFirmware{}},
		Inspect:    map[string]Inspect{fakeName: fakeInspect{f}, "no-inspect": noInspect{}},
		Management: map[string]Management{fakeName: fakeManagement{f}, noop: noopManagement{}},
		Network:    map[string]Network{noop: noopNetwork{}},
		Power:      map[string]Power{fakeName: fakePower{f}},
		RAID:       map[string]RAID{fakeName: fakeRAID{f}, "no-raid": noRAID{}},
		Rescue:     map[string]Rescue{fakeName: fakeRescue{f}, "no-rescue": noRescue{}},
		Storage:    map[string]Storage{fakeName: fakeStorage{f}, noop: noopStorage{}},
		Vendor:     map[string]Vendor{fakeName: fakeVendor{f}, "no-vendor": noVendor{}},
	}, nil
}

// Generic returns the implementations that suit every kind of machine, by
// interface, the preferred first. A [Type] names its own before or instead of
// them. Not all of them need exist. Ironic: GenericHardware.
func Generic() map[string][]string {
	return map[string][]string{
		InterfaceBIOS:       {"no-bios"},
		InterfaceBoot:       {"ipxe", "pxe", "http-ipxe", "http"},
		InterfaceConsole:    {"no-console", "fake-graphical"},
		InterfaceDeploy:     {"autodetect", "direct", "ansible", "ramdisk", "anaconda", "bootc", "custom-agent"},
		InterfaceFirmware:   {"no-firmware"},
		InterfaceInspect:    {"agent", "no-inspect"},
		InterfaceManagement: {},
		InterfaceNetwork:    {"flat", "neutron", "ironic-networking", noop},
		InterfacePower:      {},
		InterfaceRAID:       {"no-raid", "agent"},
		InterfaceRescue:     {"no-rescue", "agent"},
		InterfaceStorage:    {noop, "cinder", "external"},
		InterfaceVendor:     {"no-vendor"},
	}
}

// fakeHardwareType prefers the fakes wherever there are any. Ironic:
// FakeHardware.
func fakeHardwareType() Type {
	supported := Generic()
	for iface, names := range supported {
		if iface != InterfaceNetwork {
			supported[iface] = append([]string{fakeName}, names...)
		}
	}
	return Type{Name: FakeHardware, Supported: supported, Any: true}
}
