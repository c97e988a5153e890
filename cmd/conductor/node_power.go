package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/conductor-metal/conductor/pkg/node"
)

// powerVerbs are what a user says, what the API is told, and what the machine is in the end.
var powerVerbs = []struct {
	verb, short   string
	target, final node.PowerState
}{
	{"on", "Switch nodes on", node.PowerOn, node.PowerOn},
	{"off", "Switch nodes off, hard", node.PowerOff, node.PowerOff},
	{"reboot", "Restart nodes, hard", node.PowerReboot, node.PowerOn},
	{"soft-off", "Ask the system on nodes to shut down", node.PowerSoftOff, node.PowerOff},
	{"soft-reboot", "Ask the system on nodes to restart", node.PowerSoftReboot, node.PowerOn},
}

func (n *nodeVerbs) powerCommand() *cobra.Command {
	c := group("power", "Switch nodes on and off")
	var wait time.Duration
	c.PersistentFlags().DurationVar(&wait, "wait", 0, "wait until the state is reached; --wait=1m: at most so long")
	c.PersistentFlags().Lookup("wait").NoOptDefVal = "10m"
	for _, v := range powerVerbs {
		c.AddCommand(&cobra.Command{
			Use: v.verb + " NODE...", Short: v.short, Args: atLeast(1),
			RunE: func(c *cobra.Command, args []string) error {
				done := "accepted: " + string(v.target)
				if wait > 0 {
					done = "is " + string(v.final)
				}
				return n.each(args, func(ref string) error {
					return n.setPower(c.Context(), ref, v.target, v.final, wait)
				}, done)
			},
		})
	}
	return c
}

func (n *nodeVerbs) setPower(ctx context.Context, ref string, target, final node.PowerState, wait time.Duration) error {
	body := map[string]any{"target": target}
	if err := n.client.change(ctx, http.MethodPut, nodePath(ref, "/states/power"), body, nil); err != nil || wait <= 0 {
		return err
	}
	start := time.Now()
	for shown := false; ; {
		var r nodeRecord
		if err := n.client.do(ctx, http.MethodGet, nodePath(ref, "/states"), nil, &r); err != nil {
			return err
		}
		waited := time.Since(start)
		if shown || terminal(n.err) {
			shown = true
			fmt.Fprintf(n.err, "\r%s: %s, %s\x1b[K", ref, text(r.Power), short(waited))
		}
		done, err := reached(ref, r, final)
		if !done && waited > wait {
			done, err = true, &kindError{errTimeout, fmt.Errorf("%s is %q and not %q after %s", ref, text(r.Power), final, wait)}
		}
		if done {
			if shown {
				fmt.Fprint(n.err, "\r\x1b[K")
			}
			return err
		}
		select {
		case <-time.After(300 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// reached says whether a power action is over, and how it ended. While it goes
// on, the node has a target.
func reached(ref string, r nodeRecord, final node.PowerState) (done bool, err error) {
	switch {
	case text(r.PowerTarget) != "":
		return false, nil
	case text(r.Power) == string(final) && text(r.LastError) == "":
		return true, nil
	case text(r.LastError) != "":
		return true, fmt.Errorf("%s is %q: %s", ref, text(r.Power), text(r.LastError))
	}
	return true, fmt.Errorf("%s is %q and not %q: another request came in between", ref, text(r.Power), final)
}

func (n *nodeVerbs) maintenanceCommand() *cobra.Command {
	var reason string
	set := &cobra.Command{
		Use: "set NODE...", Short: "Keep the conductors from acting on nodes by themselves", Args: atLeast(1),
		RunE: func(c *cobra.Command, args []string) error {
			return n.each(args, func(ref string) error {
				return n.client.change(c.Context(), http.MethodPut, nodePath(ref, "/maintenance"), map[string]any{"reason": reason}, nil)
			}, "is in maintenance")
		},
	}
	set.Flags().StringVar(&reason, "reason", "", "why, for others to read")
	annotate(set.Flags(), "reason", fromCommandLineOnly)
	unset := &cobra.Command{
		Use: "unset NODE...", Short: "Give nodes back to the conductors", Args: atLeast(1),
		RunE: func(c *cobra.Command, args []string) error {
			return n.each(args, func(ref string) error {
				return n.client.change(c.Context(), http.MethodDelete, nodePath(ref, "/maintenance"), nil, nil)
			}, "is out of maintenance")
		},
	}
	return group("maintenance", "Take nodes out of the conductors' hands", set, unset)
}
