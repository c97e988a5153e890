package node

import (
	"time"
)

// ID is the UUID of a node, in canonical lower-case form.
type ID string

// Writer is the proof of who wrote a record last: the ticket of the lock that
// was held and the token that the lock gave.
type Writer struct {
	Ticket string `json:"ticket"`
	Token  int64  `json:"token"`
}

// Meta is what all records carry. It is the last part of each JSON value.
type Meta struct {
	CreatedAt time.Time `json:"created_at,omitzero"`
	UpdatedAt time.Time `json:"updated_at,omitzero"`
	// WrittenBy is nil for a record that was created without a lock.
	WrittenBy *Writer `json:"written_by,omitempty"`
	// Revision is the etcd mod revision at which the record was read or
	// written; 0 means that it never was. It is not part of the JSON value.
	Revision int64 `json:"-"`
}

// Node is the record of one machine. JSON names and meanings are Ironic's; ""
// and zero times stand for its null. The reservation and the conductor of a
// node are derived from locks and membership and are not stored here.
//
// Ironic: ironic/objects/node.py.
type Node struct {
	UUID ID     `json:"uuid"`
	Name string `json:"name,omitempty"` // unique; letters, digits, -._~

	Driver         string `json:"driver"` // hardware type
	ConductorGroup string `json:"conductor_group,omitempty"`
	ResourceClass  string `json:"resource_class,omitempty"`

	ProvisionState       ProvisionState `json:"provision_state"`
	TargetProvisionState ProvisionState `json:"target_provision_state,omitempty"`
	ProvisionUpdatedAt   time.Time      `json:"provision_updated_at,omitzero"` // last state change, or touch
	PowerState           PowerState     `json:"power_state,omitempty"`
	TargetPowerState     PowerState     `json:"target_power_state,omitempty"`
	LastError            string         `json:"last_error,omitempty"` // cut at 4096 bytes

	Maintenance       bool   `json:"maintenance"`
	MaintenanceReason string `json:"maintenance_reason,omitempty"` // cut at 4096 bytes
	Fault             string `json:"fault,omitempty"`
	Health            string `json:"health,omitempty"`

	InstanceUUID   string `json:"instance_uuid,omitempty"` // unique
	InstanceName   string `json:"instance_name,omitempty"`
	AllocationUUID string `json:"allocation_uuid,omitempty"`
	ChassisUUID    string `json:"chassis_uuid,omitempty"`
	ParentNode     string `json:"parent_node,omitempty"`
	Shard          string `json:"shard,omitempty"`
	Owner          string `json:"owner,omitempty"`
	Lessee         string `json:"lessee,omitempty"`
	Description    string `json:"description,omitempty"`

	DriverInfo         Object   `json:"driver_info"` // how to reach the BMC; holds secrets
	DriverInternalInfo Object   `json:"driver_internal_info"`
	InstanceInfo       Object   `json:"instance_info"`
	Properties         Object   `json:"properties"`
	Extra              Object   `json:"extra"`
	Traits             []string `json:"traits,omitempty"`
	NetworkData        Object   `json:"network_data,omitempty"`

	BIOSInterface       string `json:"bios_interface,omitempty"`
	BootInterface       string `json:"boot_interface,omitempty"`
	ConsoleInterface    string `json:"console_interface,omitempty"`
	DeployInterface     string `json:"deploy_interface,omitempty"`
	FirmwareInterface   string `json:"firmware_interface,omitempty"`
	InspectInterface    string `json:"inspect_interface,omitempty"`
	ManagementInterface string `json:"management_interface,omitempty"`
	NetworkInterface    string `json:"network_interface,omitempty"`
	PowerInterface      string `json:"power_interface,omitempty"`
	RAIDInterface       string `json:"raid_interface,omitempty"`
	RescueInterface     string `json:"rescue_interface,omitempty"`
	StorageInterface    string `json:"storage_interface,omitempty"`
	VendorInterface     string `json:"vendor_interface,omitempty"`

	CleanStep        Object `json:"clean_step,omitempty"` // the step that runs now
	DeployStep       Object `json:"deploy_step,omitempty"`
	ServiceStep      Object `json:"service_step,omitempty"`
	RAIDConfig       Object `json:"raid_config,omitempty"`
	TargetRAIDConfig Object `json:"target_raid_config,omitempty"`

	InspectionStartedAt  time.Time `json:"inspection_started_at,omitzero"`
	InspectionFinishedAt time.Time `json:"inspection_finished_at,omitzero"`

	AutomatedClean  *bool  `json:"automated_clean,omitempty"` // nil: follow the option
	Protected       bool   `json:"protected,omitempty"`
	ProtectedReason string `json:"protected_reason,omitempty"`
	Retired         bool   `json:"retired,omitempty"`
	RetiredReason   string `json:"retired_reason,omitempty"`
	ConsoleEnabled  bool   `json:"console_enabled,omitempty"`
	DisablePowerOff bool   `json:"disable_power_off,omitempty"`
	BootMode        string `json:"boot_mode,omitempty"`
	SecureBoot      *bool  `json:"secure_boot,omitempty"` // nil: not known

	// ConductorAffinity is the hostname of the conductor that last built
	// state of this node on its own disk; never shown to API clients.
	ConductorAffinity string `json:"conductor_affinity,omitempty"`

	// ActionSlot is the place that the node takes among those of the cluster
	// that are being deployed or cleaned at the same time, such as
	// "deploy/000017"; unique, never shown to API clients. A write that brings
	// the node into a state that needs no such place gives it back.
	ActionSlot string `json:"action_slot,omitempty"`

	Meta
}

// Clone answers a deep copy. A nil node clones to nil.
func (n *Node) Clone() *Node {
	if n == nil {
		return nil
	}
	c := *n
	for _, o := range c.objects() {
		*o = o.Clone()
	}
	c.detach()
	return &c
}

// detach copies what is neither a plain value nor an object.
func (n *Node) detach() {
	n.Traits = append([]string(nil), n.Traits...)
	n.AutomatedClean = cloneBool(n.AutomatedClean)
	n.SecureBoot = cloneBool(n.SecureBoot)
	n.Meta = n.Meta.clone()
}

// objects answers the places of all JSON objects of the node.
func (n *Node) objects() []*Object {
	return []*Object{
		&n.DriverInfo, &n.DriverInternalInfo, &n.InstanceInfo, &n.Properties, &n.Extra, &n.NetworkData,
		&n.CleanStep, &n.DeployStep, &n.ServiceStep, &n.RAIDConfig, &n.TargetRAIDConfig,
	}
}

func (m *Meta) clone() Meta {
	c := *m
	if m.WrittenBy != nil {
		w := *m.WrittenBy
		c.WrittenBy = &w
	}
	return c
}

func cloneBool(b *bool) *bool {
	if b == nil {
		return nil
	}
	return new(*b)
}

// Interfaces answers the place of each hardware interface's name, by the name
// of its JSON field.
//
// Ironic: the *_interface fields of ironic/objects/node.py.
func (n *Node) Interfaces() map[string]*string {
	return map[string]*string{
		"bios_interface":       &n.BIOSInterface,
		"boot_interface":       &n.BootInterface,
		"console_interface":    &n.ConsoleInterface,
		"deploy_interface":     &n.DeployInterface,
		"firmware_interface":   &n.FirmwareInterface,
		"inspect_interface":    &n.InspectInterface,
		"management_interface": &n.ManagementInterface,
		"network_interface":    &n.NetworkInterface,
		"power_interface":      &n.PowerInterface,
		"raid_interface":       &n.RAIDInterface,
		"rescue_interface":     &n.RescueInterface,
		"storage_interface":    &n.StorageInterface,
		"vendor_interface":     &n.VendorInterface,
	}
}
