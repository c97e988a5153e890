package hardware

import (
	"fmt"
	"slices"
	"strings"

	"github.com/conductor-metal/conductor/pkg/node"
)

// WaitsKey is the key in a node's driver_info under which its fake
// implementations are told what to leave to the machine, as a list of texts:
//
//	["deploy.deploy", "deploy.PrepareCleaning", "inspect.Inspect", "rescue.Rescue"]
//
// Each is an interface with a method of it by its Go name, or with a step; case
// does not matter. Such a call does what it would do anyway, and then answers
// [Waiting] instead of [Done]. Deploy.Heartbeat is one of them: with it, what
// the agent does is not finished by the call of the agent. An order that cannot
// be read makes every call, Validate too, fail with [ErrInvalidParameter].
const WaitsKey = "fake_waits"

// waits says whether a call was told to answer Waiting.
func waits(n *node.Node, c Call) bool {
	calls, err := readWaits(n.DriverInfo[WaitsKey])
	return err == nil && slices.ContainsFunc(calls, func(s string) bool { return strings.EqualFold(s, c.String()) })
}

func readWaits(value any) ([]string, error) {
	switch list := value.(type) {
	case nil:
		return nil, nil
	case []string:
		return list, nil
	case []any:
		calls := make([]string, len(list))
		for i, v := range list {
			s, ok := v.(string)
			if !ok || !strings.Contains(s, ".") {
				return nil, fmt.Errorf("driver_info %s: %w: %v is not text such as deploy.deploy", WaitsKey, ErrInvalidParameter, v)
			}
			calls[i] = s
		}
		return calls, nil
	}
	return nil, fmt.Errorf("driver_info %s: %w: it must be a list", WaitsKey, ErrInvalidParameter)
}

// outcome is how a call ends that can be left to the machine.
func outcome(n *node.Node, iface, method string, err error) (Outcome, error) {
	if err == nil && waits(n, Call{Interface: iface, Method: method}) {
		return Waiting, nil
	}
	return Done, err
}
