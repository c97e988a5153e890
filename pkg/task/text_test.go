package task_test

import (
	"testing"

	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

func TestNotificationText(t *testing.T) {
	for _, tt := range []struct {
		n             task.Notification
		subject, text string
	}{
		{
			task.Notification{Type: task.ProvisionSet + task.Start, Event: node.EventDeploy, PreviousState: "available", State: "deploying", Target: "active"},
			"provisioning", `from available to deploying by "deploy", towards active`,
		},
		{
			task.Notification{Type: task.ProvisionSet + task.Failure, Level: task.LevelError, Event: node.EventFail, PreviousState: "deploying", State: "deploy failed", LastError: "no disk"},
			"provisioning", `from deploying to deploy failed by "fail": no disk`,
		},
		{
			task.Notification{Type: task.ProvisionSet + task.End, Event: node.EventDone, PreviousState: "deploying", State: "active", LastError: "an old one"},
			"provisioning", `from deploying to active by "done"`,
		},
		{task.Notification{Type: task.PowerSet + task.Start, ToPower: node.PowerOn}, "power", "to power on is asked for"},
		{task.Notification{Type: task.PowerSet + task.End, ToPower: node.PowerOff}, "power", "to power off is done"},
		{task.Notification{Type: task.PowerSet + task.Failure, ToPower: node.PowerOn, LastError: "no route"}, "power", "to power on failed: no route"},
		{task.Notification{Type: task.PowerCorrected, FromPower: node.PowerOn, PowerState: node.PowerOff}, "power", "the machine is power off, the record said power on"},
		{task.Notification{Type: task.PowerCorrected, PowerState: node.PowerOff}, "power", "the machine is power off, the record said unknown"},
		{task.Notification{Type: task.MaintenanceSet + task.End, Maintenance: true, Reason: "fan"}, "maintenance", "maintenance is set: fan"},
		{task.Notification{Type: task.MaintenanceSet + task.End}, "maintenance", "maintenance is over"},
		{task.Notification{Type: task.ConsoleSet + task.End, Purpose: "console on"}, "console", "console on is done"},
		{
			task.Notification{Type: task.LockBroken, Holder: "c1", Purpose: "deploy", User: "ann", Reason: "stuck"},
			"lock", `the lock of c1 for "deploy" was broken by ann: stuck`,
		},
		{
			task.Notification{Type: task.LockLost, Holder: "c1", Purpose: "deploy", Reason: "lease_expired", Owner: "c2"},
			"lock", `c1 lost its lock for "deploy": lease expired; c2 has it now`,
		},
		{task.Notification{Type: task.TypeOf(node.KindNode, task.Deleted), Node: "n", Object: "n"}, "node", "node deleted"},
		{task.Notification{Type: task.TypeOf(node.KindVolumeTarget, task.Updated), Node: "n", Object: "t"}, "volumetarget", "volumetarget t updated"},
		{task.Notification{Type: "of.another"}, "of", "of.another"},
	} {
		if got := tt.n.Text(); got != tt.text {
			t.Errorf("%s: got %q, want %q", tt.n.Type, got, tt.text)
		}
		if got := tt.n.Subject(); got != tt.subject {
			t.Errorf("%s: got subject %q, want %q", tt.n.Type, got, tt.subject)
		}
	}
}
