package main

import (
	"context"
	"net/url"
	"strings"

	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/nodes"
	"github.com/spf13/cobra"
)

// nodeVerbs is what the verbs on nodes share.
type nodeVerbs struct {
	program
	client apiClient
	output output
}

func (p program) nodeCommand() *cobra.Command {
	n := &nodeVerbs{program: p}
	c := group("node", "Look at nodes and command them, through a conductor",
		n.createCommand(), n.listCommand(), n.showCommand(), n.setCommand(), n.unsetCommand(), n.deleteCommand(),
		n.validateCommand(), n.historyCommand(), n.traitsCommand(), n.powerCommand(), n.maintenanceCommand())
	c.AddCommand(n.provisionCommands()...)
	n.client.flags(c.PersistentFlags())
	n.output.flags(c.PersistentFlags(), p.out)
	return c
}

func nodePath(ref string, more ...string) string {
	return "/v1/nodes/" + url.PathEscape(ref) + strings.Join(more, "")
}

func (n *nodeVerbs) deleteCommand() *cobra.Command {
	return &cobra.Command{
		Use: "delete NODE...", Short: "Delete nodes, with all that belongs to them", Args: atLeast(1), ValidArgsFunction: n.completeNodes,
		RunE: func(c *cobra.Command, args []string) error {
			return n.each(c.Context(), args, newScreen(n.err), func(ctx context.Context, ref string) (string, error) {
				return ref + " deleted", nodes.Delete(ctx, n.client.api(), url.PathEscape(ref)).ExtractErr()
			})
		},
	}
}

func (n *nodeVerbs) maintenanceCommand() *cobra.Command {
	var reason string
	set := &cobra.Command{
		Use: "set NODE...", Short: "Keep the conductors from acting on nodes by themselves", Args: atLeast(1), ValidArgsFunction: n.completeNodes,
		RunE: func(c *cobra.Command, args []string) error {
			return n.each(c.Context(), args, newScreen(n.err), func(ctx context.Context, ref string) (string, error) {
				o := nodes.MaintenanceOpts{Reason: reason}
				return ref + " is in maintenance", nodes.SetMaintenance(ctx, n.client.api(), url.PathEscape(ref), o).ExtractErr()
			})
		},
	}
	set.Flags().StringVar(&reason, "reason", "", "why, for others to read")
	annotate(set.Flags(), "reason", fromCommandLineOnly)
	unset := &cobra.Command{
		Use: "unset NODE...", Short: "Give nodes back to the conductors", Args: atLeast(1), ValidArgsFunction: n.completeNodes,
		RunE: func(c *cobra.Command, args []string) error {
			return n.each(c.Context(), args, newScreen(n.err), func(ctx context.Context, ref string) (string, error) {
				return ref + " is out of maintenance", nodes.UnsetMaintenance(ctx, n.client.api(), url.PathEscape(ref)).ExtractErr()
			})
		},
	}
	return group("maintenance", "Take nodes out of the conductors' hands", set, unset)
}

func (n *nodeVerbs) validateCommand() *cobra.Command {
	return &cobra.Command{
		Use: "validate NODE", Short: "Ask each interface of a node whether its record holds what it needs", Args: exactly(1), ValidArgsFunction: n.completeNodes,
		RunE: func(c *cobra.Command, args []string) error {
			// gophercloud's own form of the answer leaves an interface out.
			var all map[string]nodes.DriverValidation
			r := nodes.Validate(c.Context(), n.client.api(), url.PathEscape(args[0]))
			if err := r.ExtractInto(&all); err != nil {
				return err
			}
			v := view{data: r.Body, header: []string{"INTERFACE", "OK", "REASON"}}
			for _, name := range sortedKeys(all) {
				ok := "false"
				if all[name].Result {
					ok = "true"
				}
				v.names = append(v.names, name)
				v.rows = append(v.rows, []string{name, ok, all[name].Reason})
			}
			return n.output.show(v)
		},
	}
}
