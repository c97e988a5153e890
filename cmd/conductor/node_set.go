package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"

	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/nodes"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const valuesHelp = `The value of KEY=VALUE is JSON if it can be, and text if not: n=5 sets a number,
n='"5"' a text. a/b=1 sets b within a; a slash in a key is written ~1.`

// dryRun is --dry-run.
type dryRun bool

func (d *dryRun) flag(f *pflag.FlagSet) {
	f.BoolVar((*bool)(d), "dry-run", false, "only show what would be asked for, as a JSON Patch")
	annotate(f, "dry-run", fromCommandLineOnly)
}

// show shows a patch.
func (p patch) show(o *output) error {
	v := view{data: p, header: []string{"OP", "PATH", "VALUE"}}
	for _, op := range p {
		v.names = append(v.names, op.Path)
		v.rows = append(v.rows, []string{op.Op, op.Path, string(op.Value)})
	}
	return o.show(v)
}

var errNothingToChange = usage(errors.New("nothing to change: give a flag for each field (see --help)"))

func (n *nodeVerbs) setCommand() *cobra.Command {
	var (
		dry   dryRun
		reset bool
		given *given
	)
	c := &cobra.Command{
		Use: "set NODE...", Short: "Set fields of nodes", Args: atLeast(1), ValidArgsFunction: n.completeNodes,
		Long: "Set fields of nodes, under their locks and each node's all at once.\n\n" + valuesHelp,
		Example: `  conductor node set r1-u01 --driver-info address=10.0.0.5 --resource-class gold
  conductor node set r1-u01 r1-u02 --extra rack/row=7 --owner team-a`,
		RunE: func(c *cobra.Command, args []string) error {
			return n.change(c.Context(), args, given.patch(), bool(dry), reset)
		},
	}
	given = give(c.Flags(), nodeFields)
	dry.flag(c.Flags())
	c.Flags().BoolVar(&reset, "reset-interfaces", false, "with --driver: all other interfaces as that driver has them")
	annotate(c.Flags(), "reset-interfaces", fromCommandLineOnly)
	return c
}

func (n *nodeVerbs) unsetCommand() *cobra.Command {
	var (
		dry   dryRun
		taken *taken
	)
	c := &cobra.Command{
		Use: "unset NODE...", Short: "Unset fields of nodes", Args: atLeast(1), ValidArgsFunction: n.completeNodes,
		Long:    "Unset fields of nodes. Those that have a default get it.",
		Example: "  conductor node unset r1-u01 --owner --extra rack/row",
		RunE: func(c *cobra.Command, args []string) error {
			p, err := taken.patch()
			if err != nil {
				return err
			}
			return n.change(c.Context(), args, p, bool(dry), false)
		},
	}
	taken = take(c.Flags(), nodeFields)
	dry.flag(c.Flags())
	return c
}

func (n *nodeVerbs) change(ctx context.Context, refs []string, p patch, dry, reset bool) error {
	switch {
	case len(p) == 0:
		return errNothingToChange
	case dry:
		return p.show(&n.output)
	}
	return n.each(ctx, refs, newScreen(n.err), func(ctx context.Context, ref string) (string, error) {
		done := ref + " changed"
		if reset { // gophercloud has no place for it
			var changed json.RawMessage
			return done, n.client.do(ctx, http.MethodPatch, nodePath(ref)+"?reset_interfaces=true", p, &changed)
		}
		return done, nodes.Update(ctx, n.client.api(), url.PathEscape(ref), p.ofNode()).Err
	})
}
