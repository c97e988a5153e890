package main

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/nodes"
	"github.com/spf13/cobra"
)

// powerVerbs are what a user says, what the API is told, and what the machine is in the end.
var powerVerbs = []struct {
	verb, short string
	target      nodes.TargetPowerState
	final       string
}{
	{"on", "Switch nodes on", nodes.PowerOn, string(nodes.PowerOn)},
	{"off", "Switch nodes off, hard", nodes.PowerOff, string(nodes.PowerOff)},
	{"reboot", "Restart nodes, hard", nodes.Rebooting, string(nodes.PowerOn)},
	{"soft-off", "Ask the system on nodes to shut down", nodes.SoftPowerOff, string(nodes.PowerOff)},
	{"soft-reboot", "Ask the system on nodes to restart", nodes.SoftRebooting, string(nodes.PowerOn)},
}

func (n *nodeVerbs) powerCommand() *cobra.Command {
	c := group("power", "Switch nodes on and off")
	var wait waiting
	var timeout time.Duration
	wait.flags(c.PersistentFlags())
	c.PersistentFlags().DurationVar(&timeout, "power-timeout", 0, "how long the machine may take (0: as the conductor thinks)")
	annotate(c.PersistentFlags(), "power-timeout", fromCommandLineOnly)
	for _, v := range powerVerbs {
		c.AddCommand(&cobra.Command{
			Use: v.verb + " NODE...", Short: v.short, Args: atLeast(1), ValidArgsFunction: n.completeNodes,
			RunE: func(c *cobra.Command, args []string) error {
				if timeout < 0 || timeout%time.Second != 0 {
					return usage(fmt.Errorf("--power-timeout %s: want whole seconds", timeout))
				}
				o := nodes.PowerStateOpts{Target: v.target, Timeout: int(timeout / time.Second)}
				s := newScreen(n.err)
				return n.each(c.Context(), args, s, func(ctx context.Context, ref string) (string, error) {
					err := nodes.ChangePowerState(ctx, n.client.api(), url.PathEscape(ref), o).ExtractErr()
					if err != nil || !wait.asked() {
						return fmt.Sprintf("%s: %s accepted", ref, v.target), err
					}
					return n.await(ctx, ref, s, wait, powerText, func(r *nodes.Node) (bool, error) { return reached(ref, r, v.final) })
				})
			},
		})
	}
	return c
}

// powerText is what a machine's power is at, for people.
func powerText(n *nodes.Node) string {
	if n.PowerState == "" {
		return towards("unknown", n.TargetPowerState)
	}
	return towards(n.PowerState, n.TargetPowerState)
}

// reached says whether a power action is over, and how it ended. While it goes
// on, the node has a target.
func reached(ref string, r *nodes.Node, final string) (done bool, err error) {
	switch {
	case r.TargetPowerState != "":
		return false, nil
	case r.PowerState == final && r.LastError == "":
		return true, nil
	case r.LastError != "":
		return true, fmt.Errorf("%s is %q: %s", ref, r.PowerState, r.LastError)
	}
	return true, fmt.Errorf("%s is %q and not %q: another request came in between", ref, r.PowerState, final)
}
