package node

// ProvisionState is where a node stands in its provisioning life.
// The zero value means "no state", Ironic's null.
//
// Ironic: ironic/common/states.py; the wire values are the same.
type ProvisionState string

// The 30 states of the machine, with Ironic's wire values.
const (
	StateEnroll         ProvisionState = "enroll"
	StateManageable     ProvisionState = "manageable"
	StateAvailable      ProvisionState = "available"
	StateActive         ProvisionState = "active"
	StateError          ProvisionState = "error"
	StateRescue         ProvisionState = "rescue"
	StateVerifying      ProvisionState = "verifying"
	StateDeploying      ProvisionState = "deploying"
	StateWaitCallBack   ProvisionState = "wait call-back"
	StateDeployFailed   ProvisionState = "deploy failed"
	StateDeployHold     ProvisionState = "deploy hold"
	StateCleaning       ProvisionState = "cleaning"
	StateCleanWait      ProvisionState = "clean wait"
	StateCleanFailed    ProvisionState = "clean failed"
	StateCleanHold      ProvisionState = "clean hold"
	StateDeleting       ProvisionState = "deleting"
	StateInspecting     ProvisionState = "inspecting"
	StateInspectFailed  ProvisionState = "inspect failed"
	StateInspectWait    ProvisionState = "inspect wait"
	StateAdopting       ProvisionState = "adopting"
	StateAdoptFailed    ProvisionState = "adopt failed"
	StateRescuing       ProvisionState = "rescuing"
	StateRescueWait     ProvisionState = "rescue wait"
	StateRescueFailed   ProvisionState = "rescue failed"
	StateUnrescuing     ProvisionState = "unrescuing"
	StateUnrescueFailed ProvisionState = "unrescue failed"
	StateServicing      ProvisionState = "servicing"
	StateServiceWait    ProvisionState = "service wait"
	StateServiceFailed  ProvisionState = "service failed"
	StateServiceHold    ProvisionState = "service hold"
)

// Event moves a node from one provision state to another.
//
// Ironic: the events of ironic/common/states.py.
type Event string

// The 18 events of the machine, with Ironic's names.
const (
	EventAbort    Event = "abort"
	EventAdopt    Event = "adopt"
	EventClean    Event = "clean"
	EventDelete   Event = "delete"
	EventDeploy   Event = "deploy"
	EventDone     Event = "done"
	EventFail     Event = "fail"
	EventHold     Event = "hold"
	EventInspect  Event = "inspect"
	EventManage   Event = "manage"
	EventProvide  Event = "provide"
	EventRebuild  Event = "rebuild"
	EventRescue   Event = "rescue"
	EventResume   Event = "resume"
	EventService  Event = "service"
	EventUnhold   Event = "unhold"
	EventUnrescue Event = "unrescue"
	EventWait     Event = "wait"
)

// PowerState is the power state of a node, or the one it is asked to take.
// The zero value means "unknown", Ironic's null.
//
// Ironic: ironic/common/states.py, power states.
type PowerState string

// The five power values that a client may ask for, and the one that only a
// driver reports. A stored power_state is normally PowerOn or PowerOff.
const (
	PowerOn         PowerState = "power on"
	PowerOff        PowerState = "power off"
	PowerReboot     PowerState = "rebooting"
	PowerSoftReboot PowerState = "soft rebooting"
	PowerSoftOff    PowerState = "soft power off"
	PowerError      PowerState = "error"
)

// row is one state of the table: its class, its default target and the
// events that lead out of it.
type row struct {
	state  ProvisionState
	stable bool
	target ProvisionState
	events edges
}

type edges map[Event]ProvisionState

// table is the whole machine: 30 states, 93 transitions. It is never changed
// after start; tests compare it with a dump of Ironic's own machine.
var table = []row{
	{StateEnroll, true, "", edges{EventManage: StateVerifying}},
	{StateManageable, true, "", edges{EventProvide: StateCleaning, EventClean: StateCleaning, EventInspect: StateInspecting, EventAdopt: StateAdopting}},
	{StateAvailable, true, "", edges{EventDeploy: StateDeploying, EventManage: StateManageable}},
	{StateActive, true, "", edges{EventRebuild: StateDeploying, EventDelete: StateDeleting, EventRescue: StateRescuing, EventService: StateServicing}},
	{StateError, true, "", edges{EventRebuild: StateDeploying, EventDelete: StateDeleting}},
	{StateRescue, true, "", edges{EventRescue: StateRescuing, EventDelete: StateDeleting, EventUnrescue: StateUnrescuing}},
	{StateVerifying, false, StateManageable, edges{EventDone: StateManageable, EventFail: StateEnroll}},
	{StateDeploying, false, StateActive, edges{EventFail: StateDeployFailed, EventWait: StateWaitCallBack, EventHold: StateDeployHold, EventDone: StateActive}},
	{StateWaitCallBack, false, StateActive, edges{EventHold: StateDeployHold, EventResume: StateDeploying, EventFail: StateDeployFailed, EventAbort: StateDeployFailed, EventDelete: StateDeleting}},
	{StateDeployFailed, false, StateActive, edges{EventRebuild: StateDeploying, EventDeploy: StateDeploying, EventDelete: StateDeleting}},
	{StateDeployHold, false, StateActive, edges{EventUnhold: StateWaitCallBack, EventAbort: StateDeployFailed}},
	{StateCleaning, false, StateAvailable, edges{EventDone: StateAvailable, EventFail: StateCleanFailed, EventWait: StateCleanWait, EventHold: StateCleanHold, EventManage: StateManageable}},
	{StateCleanWait, false, StateAvailable, edges{EventFail: StateCleanFailed, EventAbort: StateCleanFailed, EventHold: StateCleanHold, EventResume: StateCleaning}},
	{StateCleanFailed, false, StateAvailable, edges{EventManage: StateManageable}},
	{StateCleanHold, false, StateAvailable, edges{EventAbort: StateCleanFailed, EventUnhold: StateCleanWait}},
	{StateDeleting, false, StateAvailable, edges{EventFail: StateError, EventClean: StateCleaning}},
	{StateInspecting, false, StateManageable, edges{EventDone: StateManageable, EventFail: StateInspectFailed, EventWait: StateInspectWait}},
	{StateInspectFailed, false, StateManageable, edges{EventManage: StateManageable, EventInspect: StateInspecting}},
	{StateInspectWait, false, StateManageable, edges{EventDone: StateManageable, EventFail: StateInspectFailed, EventAbort: StateInspectFailed, EventResume: StateInspecting}},
	{StateAdopting, false, StateActive, edges{EventDone: StateActive, EventFail: StateAdoptFailed}},
	{StateAdoptFailed, false, StateActive, edges{EventAdopt: StateAdopting, EventManage: StateManageable}},
	{StateRescuing, false, StateRescue, edges{EventDone: StateRescue, EventWait: StateRescueWait, EventFail: StateRescueFailed}},
	{StateRescueWait, false, StateRescue, edges{EventResume: StateRescuing, EventFail: StateRescueFailed, EventAbort: StateRescueFailed, EventDelete: StateDeleting}},
	{StateRescueFailed, false, StateRescue, edges{EventRescue: StateRescuing, EventUnrescue: StateUnrescuing, EventDelete: StateDeleting}},
	{StateUnrescuing, false, StateActive, edges{EventDone: StateActive, EventFail: StateUnrescueFailed}},
	{StateUnrescueFailed, false, StateActive, edges{EventRescue: StateRescuing, EventUnrescue: StateUnrescuing, EventDelete: StateDeleting}},
	{StateServicing, false, StateActive, edges{EventDone: StateActive, EventFail: StateServiceFailed, EventWait: StateServiceWait, EventHold: StateServiceHold}},
	{StateServiceWait, false, StateActive, edges{EventHold: StateServiceHold, EventResume: StateServicing, EventFail: StateServiceFailed, EventAbort: StateServiceFailed, EventDelete: StateDeleting}},
	{StateServiceFailed, false, StateActive, edges{EventService: StateServicing, EventRescue: StateRescuing, EventWait: StateServiceWait, EventHold: StateServiceHold, EventDelete: StateDeleting, EventAbort: StateActive}},
	{StateServiceHold, false, StateActive, edges{EventService: StateServicing, EventUnhold: StateServiceWait, EventFail: StateServiceFailed, EventAbort: StateServiceFailed}},
}
