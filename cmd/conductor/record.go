package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/nodes"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/ports"
	"github.com/spf13/cobra"
)

// recordNoun is a kind of record that belongs to a node.
type recordNoun struct {
	use, what    string // "connector"; "volume connector"
	path, plural string // below /v1; the key of lists
	columns      []string
	filters      []field
	fields       []field // that may be set
	reach        reach
}

// reach is how records of a kind are reached.
type reach interface {
	get(ctx context.Context, c *apiClient, id string) gophercloud.Result
	create(ctx context.Context, c *apiClient, r body) gophercloud.Result
	update(ctx context.Context, c *apiClient, id string, p patch) gophercloud.Result
	delete(ctx context.Context, c *apiClient, id string) error
}

// portReach goes by gophercloud's ports.
type portReach struct{}

func (portReach) get(ctx context.Context, c *apiClient, id string) gophercloud.Result {
	return ports.Get(ctx, c.api(), url.PathEscape(id)).Result
}

func (portReach) create(ctx context.Context, c *apiClient, r body) gophercloud.Result {
	return ports.Create(ctx, c.api(), r).Result
}

func (portReach) update(ctx context.Context, c *apiClient, id string, p patch) gophercloud.Result {
	return ports.Update(ctx, c.api(), url.PathEscape(id), p.ofPort()).Result
}

func (portReach) delete(ctx context.Context, c *apiClient, id string) error {
	return ports.Delete(ctx, c.api(), url.PathEscape(id)).ExtractErr()
}

// pathReach is for kinds that gophercloud does not know: portgroups and volumes.
type pathReach string

func (p pathReach) of(id string) string { return string(p) + "/" + url.PathEscape(id) }

func (p pathReach) get(ctx context.Context, c *apiClient, id string) (r gophercloud.Result) {
	r.Err = c.do(ctx, http.MethodGet, p.of(id), nil, &r.Body)
	return r
}

func (p pathReach) create(ctx context.Context, c *apiClient, b body) (r gophercloud.Result) {
	r.Err = c.do(ctx, http.MethodPost, string(p), b, &r.Body)
	return r
}

func (p pathReach) update(ctx context.Context, c *apiClient, id string, change patch) (r gophercloud.Result) {
	r.Err = c.do(ctx, http.MethodPatch, p.of(id), change, &r.Body)
	return r
}

func (p pathReach) delete(ctx context.Context, c *apiClient, id string) error {
	return c.do(ctx, http.MethodDelete, p.of(id), nil, nil)
}

// recordVerbs are the verbs on a kind of record.
type recordVerbs struct {
	*nodeVerbs
	recordNoun
}

// recordCommand is the noun with all its verbs.
func (n *nodeVerbs) recordCommand(noun recordNoun) *cobra.Command {
	r := &recordVerbs{n, noun}
	return group(noun.use, fmt.Sprintf("Look at %ss and change them", noun.what),
		r.listCommand(), r.showCommand(), r.createCommand(), r.setCommand(), r.unsetCommand(), r.deleteCommand())
}

func (r *recordVerbs) listCommand() *cobra.Command {
	l := &listing{path: "/v1/" + r.path, plural: r.plural}
	for _, name := range r.recordNoun.columns {
		l.columns = append(l.columns, plainColumn(name))
	}
	c := &cobra.Command{
		Use: "list", Short: fmt.Sprintf("List %ss", r.what), Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error { return l.list(c.Context(), r.program, &r.client, &r.output) },
	}
	l.filter(c.Flags(), append([]field{{name: "node", help: "only those of this node"}}, r.filters...))
	r.completeFlag(c)
	return c
}

// completeFlag offers nodes for --node.
func (r *recordVerbs) completeFlag(c *cobra.Command) {
	err := c.RegisterFlagCompletionFunc("node", func(c *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
		return r.client.nodeNames(r.program, c, nil, begun), cobra.ShellCompDirectiveNoFileComp
	})
	if err != nil {
		panic(err) // the flag is not there: a bug in the caller
	}
}

func (r *recordVerbs) showCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show a " + r.what, Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			return r.show(r.reach.get(c.Context(), &r.client, args[0]))
		},
	}
}

// show shows all fields of a record that have a value.
func (r *recordVerbs) show(got gophercloud.Result) error {
	record, _ := got.Body.(map[string]any)
	if got.Err != nil {
		return got.Err
	}
	v := view{data: got.Body, names: []string{asText(record["uuid"])}}
	var items []item
	for _, name := range unique(append([]string{"uuid", "name", "node_uuid"}, sortedKeys(record)...)) {
		if object, ok := record[name].(map[string]any); ok {
			items = append(items, lines(name, object))
		} else if name != "links" && name != "ports" {
			items = append(items, line(name, asText(record[name])))
		}
	}
	var p page
	p.section("", items...)
	v.rows = p.rows
	return r.output.show(v)
}

func (r *recordVerbs) createCommand() *cobra.Command {
	var node string
	var given *given
	c := &cobra.Command{
		Use: "create --node NODE", Short: "Create a " + r.what, Long: "Create a " + r.what + ".\n\n" + valuesHelp, Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			if node == "" {
				return usage(fmt.Errorf("--node is needed: the node that the %s belongs to", r.what))
			}
			// Only ports may name their node, and only since 1.94.
			owner, err := nodes.Get(c.Context(), r.client.api(), url.PathEscape(node)).Extract()
			if err != nil {
				return err
			}
			record := given.record()
			record["node_uuid"] = owner.UUID
			return r.show(r.reach.create(c.Context(), &r.client, record))
		},
	}
	c.Flags().StringVar(&node, "node", "", "the node that it belongs to")
	annotate(c.Flags(), "node", fromCommandLineOnly)
	given = give(c.Flags(), append([]field{{name: "uuid", help: "its identity, for ever (none: a new one)"}}, r.fields...))
	r.completeFlag(c)
	return c
}

func (r *recordVerbs) setCommand() *cobra.Command {
	var dry dryRun
	var given *given
	c := &cobra.Command{
		Use: "set ID...", Short: fmt.Sprintf("Set fields of %ss", r.what), Long: fmt.Sprintf("Set fields of %ss.\n\n%s", r.what, valuesHelp), Args: atLeast(1),
		RunE: func(c *cobra.Command, args []string) error {
			return r.change(c.Context(), args, given.patch(), bool(dry))
		},
	}
	given = give(c.Flags(), r.fields)
	dry.flag(c.Flags())
	return c
}

func (r *recordVerbs) unsetCommand() *cobra.Command {
	var dry dryRun
	var taken *taken
	c := &cobra.Command{
		Use: "unset ID...", Short: fmt.Sprintf("Unset fields of %ss", r.what), Args: atLeast(1),
		RunE: func(c *cobra.Command, args []string) error {
			p, err := taken.patch()
			if err != nil {
				return err
			}
			return r.change(c.Context(), args, p, bool(dry))
		},
	}
	taken = take(c.Flags(), r.fields)
	dry.flag(c.Flags())
	return c
}

func (r *recordVerbs) change(ctx context.Context, ids []string, p patch, dry bool) error {
	switch {
	case len(p) == 0:
		return errNothingToChange
	case dry:
		return p.show(&r.output)
	}
	return r.each(ctx, ids, newScreen(r.err), func(ctx context.Context, id string) (string, error) {
		return id + " changed", r.reach.update(ctx, &r.client, id, p).Err
	})
}

func (r *recordVerbs) deleteCommand() *cobra.Command {
	return &cobra.Command{
		Use: "delete ID...", Short: fmt.Sprintf("Delete %ss", r.what), Args: atLeast(1),
		RunE: func(c *cobra.Command, args []string) error {
			return r.each(c.Context(), args, newScreen(r.err), func(ctx context.Context, id string) (string, error) {
				return id + " deleted", r.reach.delete(ctx, &r.client, id)
			})
		},
	}
}
