package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"
)

// traitsCommand is for the traits of a node, of which gophercloud knows only the list.
func (n *nodeVerbs) traitsCommand() *cobra.Command {
	type traits struct {
		Traits []string `json:"traits"`
	}
	verb := func(use, short string, args cobra.PositionalArgs, run func(ctx context.Context, path string, names []string) error) *cobra.Command {
		return &cobra.Command{
			Use: use, Short: short, Args: args, ValidArgsFunction: n.completeFirstNode,
			RunE: func(c *cobra.Command, args []string) error {
				err := run(c.Context(), nodePath(args[0], "/traits"), args[1:])
				if err == nil && c.Name() != "list" {
					fmt.Fprintf(n.err, "%s changed\n", args[0])
				}
				return err
			},
		}
	}
	list := verb("list NODE", "List the traits of a node", exactly(1), func(ctx context.Context, path string, _ []string) error {
		var t traits
		if err := n.client.do(ctx, http.MethodGet, path, nil, &t); err != nil {
			return err
		}
		v := view{data: t.Traits, names: t.Traits, header: []string{"TRAIT"}}
		for _, name := range t.Traits {
			v.rows = append(v.rows, []string{name})
		}
		return n.output.show(v)
	})
	set := verb("set NODE TRAIT...", "Give a node these traits, and take all others away", atLeast(2), func(ctx context.Context, path string, names []string) error {
		return n.client.do(ctx, http.MethodPut, path, traits{names}, nil)
	})
	each := func(method string) func(ctx context.Context, path string, names []string) error {
		return func(ctx context.Context, path string, names []string) error {
			for _, name := range names {
				if err := n.client.do(ctx, method, path+"/"+url.PathEscape(name), nil, nil); err != nil {
					return err
				}
			}
			return nil
		}
	}
	add := verb("add NODE TRAIT...", "Give a node more traits", atLeast(2), each(http.MethodPut))
	remove := verb("remove NODE TRAIT...", "Take traits from a node", atLeast(2), each(http.MethodDelete))
	clear := verb("clear NODE", "Take all traits from a node", exactly(1), func(ctx context.Context, path string, _ []string) error {
		return n.client.do(ctx, http.MethodDelete, path, nil, nil)
	})
	return group("traits", "Look at the traits of nodes and change them", list, set, add, remove, clear)
}
