package hardware

// The wire names of the thirteen interfaces.
//
// Ironic: boot, deploy, management, network and power are core interfaces;
// the others are optional, and vendor is a class of its own.
const (
	InterfaceBIOS       = "bios"
	InterfaceBoot       = "boot"
	InterfaceConsole    = "console"
	InterfaceDeploy     = "deploy"
	InterfaceFirmware   = "firmware"
	InterfaceInspect    = "inspect"
	InterfaceManagement = "management"
	InterfaceNetwork    = "network"
	InterfacePower      = "power"
	InterfaceRAID       = "raid"
	InterfaceRescue     = "rescue"
	InterfaceStorage    = "storage"
	InterfaceVendor     = "vendor"
)

// Interfaces returns the wire names of the thirteen interfaces in alphabetical
// order.
func Interfaces() []string {
	return []string{
		InterfaceBIOS, InterfaceBoot, InterfaceConsole, InterfaceDeploy,
		InterfaceFirmware, InterfaceInspect, InterfaceManagement,
		InterfaceNetwork, InterfacePower, InterfaceRAID, InterfaceRescue,
		InterfaceStorage, InterfaceVendor,
	}
}

// Outcome says whether work an implementation was asked to do is finished.
//
// Ironic: a method returns the state that is reached, or the matching wait
// state when the work goes on without the conductor.
type Outcome uint8

const (
	// Done means that the work is finished.
	Done Outcome = iota
	// Waiting means that the machine works on by itself; the conductor is
	// called, or polls, when it is finished, and the worker and the lock are
	// not needed until then.
	Waiting
)

// String returns "done" or "waiting".
func (o Outcome) String() string {
	if o == Waiting {
		return "waiting"
	}
	return "done"
}

// Documented is implemented by implementations that need something in
// driver_info. Properties returns what, by name, with one sentence each.
//
// Ironic: get_properties, served by GET /v1/drivers/{name}/properties.
type Documented interface {
	Properties() map[string]string
}
