package task

import (
	"fmt"
	"strings"
)

// Subject is what a notification is about, in a word: provisioning, power, maintenance, console,
// lock, or the kind of the record that was changed.
func (n Notification) Subject() string {
	kind, rest, _ := strings.Cut(strings.TrimPrefix(n.Type, "baremetal."), ".")
	switch {
	case strings.HasPrefix(n.Type, ProvisionSet):
		return "provisioning"
	case strings.HasPrefix(n.Type, PowerSet), n.Type == PowerCorrected:
		return "power"
	case strings.HasPrefix(n.Type, MaintenanceSet):
		return "maintenance"
	case strings.HasPrefix(n.Type, ConsoleSet):
		return "console"
	case kind == "conductor":
		kind, _, _ = strings.Cut(rest, ".")
	}
	return kind
}

// Text is a notification in a sentence for people.
func (n Notification) Text() string {
	status := n.Type[strings.LastIndex(n.Type, ".")+1:]
	switch {
	case n.Type == PowerCorrected:
		return fmt.Sprintf("the machine is %s, the record said %s", known(string(n.PowerState)), known(string(n.FromPower)))
	case n.Type == LockBroken:
		return fmt.Sprintf("the lock of %s for %q was broken by %s: %s", known(n.Holder), n.Purpose, n.User, n.Reason)
	case n.Type == LockLost:
		text := fmt.Sprintf("%s lost its lock for %q: %s", known(n.Holder), n.Purpose, strings.ReplaceAll(n.Reason, "_", " "))
		if n.Owner != "" {
			text += fmt.Sprintf("; %s has it now", n.Owner)
		}
		return text
	case strings.HasPrefix(n.Type, ProvisionSet):
		return n.transition()
	case strings.HasPrefix(n.Type, PowerSet):
		return n.outcome("to "+known(string(n.ToPower)), status)
	case strings.HasPrefix(n.Type, ConsoleSet):
		return n.outcome(n.Purpose, status)
	case strings.HasPrefix(n.Type, MaintenanceSet) && n.Maintenance:
		return withReason("maintenance is set", n.Reason)
	case strings.HasPrefix(n.Type, MaintenanceSet):
		return "maintenance is over"
	}
	return n.changed()
}

// transition tells where the state machine went.
func (n Notification) transition() string {
	text := fmt.Sprintf("from %s to %s by %q", known(string(n.PreviousState)), known(string(n.State)), n.Event)
	if n.Target != "" && n.Target != n.State {
		text += ", towards " + string(n.Target)
	}
	if n.Level == LevelError {
		text = withReason(text, n.LastError)
	}
	return text
}

// outcome tells how far a command is.
func (n Notification) outcome(what, status string) string {
	switch "." + status {
	case Start:
		return what + " is asked for"
	case End:
		return what + " is done"
	case Failure:
		return withReason(what+" failed", n.LastError)
	}
	return what + " " + status
}

// changed tells what was done to a record: its type ends in the kind, the action and the status.
func (n Notification) changed() string {
	parts := strings.Split(n.Type, ".")
	if len(parts) != 4 {
		return n.Type
	}
	text := parts[1]
	if n.Object != "" && n.Object != string(n.Node) {
		text += " " + n.Object
	}
	return text + " " + strings.TrimSuffix(parts[2], "e") + "ed"
}

func known(text string) string {
	if text == "" {
		return "unknown"
	}
	return text
}

func withReason(text, reason string) string {
	if reason == "" {
		return text
	}
	return text + ": " + reason
}
