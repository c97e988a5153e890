package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/conductor-metal/conductor/pkg/node"
)

func (n *nodeVerbs) createCommand() *cobra.Command {
	var files []string
	c := &cobra.Command{
		Use:   "create FILE...",
		Short: "Create the nodes of an inventory, with their ports and portgroups",
		Long: `Create the nodes of an inventory, with their ports and portgroups. The file has
the format of "baremetal create", in JSON or YAML.

All files are checked before the first node is created. Then an entry that the
conductor refuses is named and left out, with all below it, and the others are
still created; the exit code says that something is missing.`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args)+len(files) == 0 {
				return usage(fmt.Errorf("want %s", c.UseLine()))
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return n.create(c.Context(), append(files, args...)) },
	}
	c.Flags().StringArrayVarP(&files, "file", "f", nil, "the same as FILE")
	annotate(c.Flags(), "file", fromCommandLineOnly)
	return c
}

// created is a node that was created, and what was created with it.
type created struct {
	UUID       string   `json:"uuid"`
	Name       string   `json:"name,omitempty"`
	Ports      []string `json:"ports"`
	Portgroups []string `json:"portgroups"`
}

func (n *nodeVerbs) create(ctx context.Context, files []string) error {
	var nodes []entry
	var wrong []error
	for _, file := range files {
		list, errs := readInventory(file)
		nodes, wrong = append(nodes, list...), append(wrong, errs...)
	}
	if len(wrong) > 0 {
		return usage(fmt.Errorf("%w\nnothing was created", errors.Join(wrong...)))
	}
	v := view{header: []string{"NAME", "UUID", "PORTS", "PORTGROUPS"}}
	all := []created{}
	k := creator{nodeVerbs: n}
	for i, e := range nodes {
		if k.gone {
			k.missing += e.count()
			fmt.Fprintf(n.err, "%s and the %d nodes after it: not tried\n", e.where, len(nodes)-i-1)
			for _, rest := range nodes[i+1:] {
				k.missing += rest.count()
			}
			break
		}
		made := created{Name: e.label, Ports: []string{}, Portgroups: []string{}}
		if made.UUID = k.create(ctx, e, nil, &made); made.UUID == "" {
			continue
		}
		all = append(all, made)
		v.names = append(v.names, made.UUID)
		v.rows = append(v.rows, []string{made.Name, made.UUID, fmt.Sprint(len(made.Ports)), fmt.Sprint(len(made.Portgroups))})
	}
	v.data = all
	if len(all) > 0 {
		if err := n.output.show(v); err != nil {
			return err
		}
	}
	if k.first != nil {
		return &kindError{k.first, fmt.Errorf("%d of %d nodes created; %d records are missing, as told above", len(all), len(nodes), k.missing)}
	}
	return nil
}

// creator creates entries one after the other and keeps count of what is missing.
type creator struct {
	*nodeVerbs
	first   error // the first refusal; its kind gives the exit code
	gone    bool  // the conductor does not answer any more
	missing int
}

var collections = map[node.Kind]string{
	node.KindNode: "/v1/nodes", node.KindPort: "/v1/ports", node.KindPortgroup: "/v1/portgroups",
}

// create creates an entry and all below it, and returns its uuid, empty if it was refused.
func (k *creator) create(ctx context.Context, e entry, above map[string]any, made *created) string {
	body := maps.Clone(e.fields)
	maps.Copy(body, above)
	var answer struct {
		UUID string `json:"uuid"`
	}
	if err := k.client.do(ctx, http.MethodPost, collections[e.kind], body, &answer); err != nil {
		k.refused(e, err)
		return ""
	}
	below := map[string]any{"node_uuid": answer.UUID}
	switch e.kind {
	case node.KindPort:
		made.Ports = append(made.Ports, answer.UUID)
	case node.KindPortgroup:
		made.Portgroups = append(made.Portgroups, answer.UUID)
		below = map[string]any{"node_uuid": above["node_uuid"], "portgroup_uuid": answer.UUID}
	}
	for _, child := range e.children {
		if k.gone {
			k.missing += child.count()
			fmt.Fprintf(k.err, "%s: not tried\n", child.where)
			continue
		}
		k.create(ctx, child, below, made)
	}
	return answer.UUID
}

func (k *creator) refused(e entry, err error) {
	if k.first == nil {
		k.first = err
	}
	k.gone = errors.Is(err, errUnreachable) || errors.Is(err, errTimeout) || errors.Is(err, context.Canceled)
	k.missing += e.count()
	text := "not created"
	if k.gone {
		text = "unknown whether created"
	}
	if below := e.count() - 1; below > 0 {
		text += fmt.Sprintf(", nor the %d records below it", below)
	}
	fmt.Fprintf(k.err, "%s: %s: %v\n", e.where, text, err)
}
