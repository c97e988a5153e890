package hardware

import (
	"maps"
	"slices"
)

// with returns the kit with another one laid over it.
func (k Kit) with(o Kit) Kit {
	return Kit{
		BIOS:       overlay(k.BIOS, o.BIOS),
		Boot:       overlay(k.Boot, o.Boot),
		Console:    overlay(k.Console, o.Console),
		Deploy:     overlay(k.Deploy, o.Deploy),
		Firmware:   overlay(k.Firmware, o.Firmware),
		Inspect:    overlay(k.Inspect, o.Inspect),
		Management: overlay(k.Management, o.Management),
		Network:    overlay(k.Network, o.Network),
		Power:      overlay(k.Power, o.Power),
		RAID:       overlay(k.RAID, o.RAID),
		Rescue:     overlay(k.Rescue, o.Rescue),
		Storage:    overlay(k.Storage, o.Storage),
		Vendor:     overlay(k.Vendor, o.Vendor),
	}
}

func overlay[T any](under, over map[string]T) map[string]T {
	all := make(map[string]T, len(under)+len(over))
	maps.Copy(all, under)
	maps.Copy(all, over)
	return all
}

// names returns the names of the implementations by interface.
func (k Kit) names() map[string][]string {
	return map[string][]string{
		InterfaceBIOS:       sortedKeys(k.BIOS),
		InterfaceBoot:       sortedKeys(k.Boot),
		InterfaceConsole:    sortedKeys(k.Console),
		InterfaceDeploy:     sortedKeys(k.Deploy),
		InterfaceFirmware:   sortedKeys(k.Firmware),
		InterfaceInspect:    sortedKeys(k.Inspect),
		InterfaceManagement: sortedKeys(k.Management),
		InterfaceNetwork:    sortedKeys(k.Network),
		InterfacePower:      sortedKeys(k.Power),
		InterfaceRAID:       sortedKeys(k.RAID),
		InterfaceRescue:     sortedKeys(k.Rescue),
		InterfaceStorage:    sortedKeys(k.Storage),
		InterfaceVendor:     sortedKeys(k.Vendor),
	}
}

func sortedKeys[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }

// parts returns the implementations that names, by interface, stand for.
func (k Kit) parts(names map[string]string) parts {
	return parts{
		bios:       k.BIOS[names[InterfaceBIOS]],
		boot:       k.Boot[names[InterfaceBoot]],
		console:    k.Console[names[InterfaceConsole]],
		deploy:     k.Deploy[names[InterfaceDeploy]],
		firmware:   k.Firmware[names[InterfaceFirmware]],
		inspect:    k.Inspect[names[InterfaceInspect]],
		management: k.Management[names[InterfaceManagement]],
		network:    k.Network[names[InterfaceNetwork]],
		power:      k.Power[names[InterfacePower]],
		raid:       k.RAID[names[InterfaceRAID]],
		rescue:     k.Rescue[names[InterfaceRescue]],
		storage:    k.Storage[names[InterfaceStorage]],
		vendor:     k.Vendor[names[InterfaceVendor]],
	}
}

// impl returns one implementation.
func (k Kit) impl(iface, name string) any {
	return k.parts(map[string]string{iface: name}).impl(iface)
}
