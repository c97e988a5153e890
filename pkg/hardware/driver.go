package hardware

import "github.com/conductor-metal/conductor/pkg/node"

// parts are the thirteen implementations composed for a node.
type parts struct {
	bios       BIOS
	boot       Boot
	console    Console
	deploy     Deploy
	firmware   Firmware
	inspect    Inspect
	management Management
	network    Network
	power      Power
	raid       RAID
	rescue     Rescue
	storage    Storage
	vendor     Vendor
}

// impl returns the implementation of an interface, nil for an unknown name.
func (p parts) impl(iface string) any {
	switch iface {
	case InterfaceBIOS:
		return p.bios
	case InterfaceBoot:
		return p.boot
	case InterfaceConsole:
		return p.console
	case InterfaceDeploy:
		return p.deploy
	case InterfaceFirmware:
		return p.firmware
	case InterfaceInspect:
		return p.inspect
	case InterfaceManagement:
		return p.management
	case InterfaceNetwork:
		return p.network
	case InterfacePower:
		return p.power
	case InterfaceRAID:
		return p.raid
	case InterfaceRescue:
		return p.rescue
	case InterfaceStorage:
		return p.storage
	case InterfaceVendor:
		return p.vendor
	}
	return nil
}

// Reader is the part of a node's driver that only reads, bound to the node
// and behind a gate. It is no part of a [Driver] and cannot be turned into
// one. The zero Reader refuses every call with [ErrNoGate].
type Reader struct {
	BIOS       BoundBIOSReader
	Boot       BoundBootReader
	Console    BoundConsoleReader
	Deploy     BoundDeployReader
	Firmware   BoundFirmwareReader
	Inspect    BoundInspectReader
	Management BoundManagementReader
	Network    BoundNetworkReader
	Power      BoundPowerReader
	RAID       BoundRAIDReader
	Rescue     BoundRescueReader
	Storage    BoundStorageReader
	Vendor     BoundVendorReader

	parts   parts
	binding binding
}

// Driver is the whole of a node's driver, bound to the node and behind a gate.
// The zero Driver refuses every call with [ErrNoGate].
type Driver struct {
	BIOS       BoundBIOS
	Boot       BoundBoot
	Console    BoundConsole
	Deploy     BoundDeploy
	Firmware   BoundFirmware
	Inspect    BoundInspect
	Management BoundManagement
	Network    BoundNetwork
	Power      BoundPower
	RAID       BoundRAID
	Rescue     BoundRescue
	Storage    BoundStorage
	Vendor     BoundVendor

	parts   parts
	binding binding
}

// Driver binds the composition to a node and a gate. The node must be the one
// that was composed, or a later copy of it with the same interfaces; its
// record is what the calls read and change. A nil gate refuses every call.
func (c *Composition) Driver(n *node.Node, g Gate) *Driver {
	d := c.bind(n, g)
	return &d
}

func (c *Composition) bind(n *node.Node, g Gate) Driver {
	b, p := binding{n, g}, c.parts
	return Driver{
		BIOS:       bindBIOS(b, p.bios),
		Boot:       bindBoot(b, p.boot),
		Console:    bindConsole(b, p.console),
		Deploy:     bindDeploy(b, p.deploy),
		Firmware:   bindFirmware(b, p.firmware),
		Inspect:    bindInspect(b, p.inspect),
		Management: bindManagement(b, p.management),
		Network:    bindNetwork(b, p.network),
		Power:      bindPower(b, p.power),
		RAID:       bindRAID(b, p.raid),
		Rescue:     bindRescue(b, p.rescue),
		Storage:    bindStorage(b, p.storage),
		Vendor:     bindVendor(b, p.vendor),
		parts:      p,
		binding:    b,
	}
}

// Reader binds the part that only reads, as Driver does the whole.
func (c *Composition) Reader(n *node.Node, g Gate) *Reader {
	d := c.bind(n, g)
	return &Reader{
		BIOS:       d.BIOS.BoundBIOSReader,
		Boot:       d.Boot.BoundBootReader,
		Console:    d.Console.BoundConsoleReader,
		Deploy:     d.Deploy.BoundDeployReader,
		Firmware:   d.Firmware.BoundFirmwareReader,
		Inspect:    d.Inspect.BoundInspectReader,
		Management: d.Management.BoundManagementReader,
		Network:    d.Network.BoundNetworkReader,
		Power:      d.Power.BoundPowerReader,
		RAID:       d.RAID.BoundRAIDReader,
		Rescue:     d.Rescue.BoundRescueReader,
		Storage:    d.Storage.BoundStorageReader,
		Vendor:     d.Vendor.BoundVendorReader,
		parts:      d.parts,
		binding:    d.binding,
	}
}
