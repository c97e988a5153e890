package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"

	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/nodes"
	"github.com/spf13/cobra"

	"github.com/conductor-metal/conductor/pkg/node"
)

func (n *nodeVerbs) createCommand() *cobra.Command {
	var (
		files []string
		skip  bool
		given *given
	)
	c := &cobra.Command{
		Use:   "create [FILE...]",
		Short: "Create a node, or the nodes of an inventory with their ports and portgroups",
		Long: `Create a node from flags, or the nodes of an inventory with their ports and
portgroups. The file has the format of "baremetal create", in JSON or YAML.

All files are checked before the first node is created. Then an entry that the
conductor refuses is named and left out, with all below it, and the others are
still created; the exit code says that something is missing. With --skip-existing a
node whose name or uuid is there is named and left as it is, with its ports, and
nothing is missing then.

` + valuesHelp,
		Example: `  conductor node create examples/inventory.yaml
  conductor node create --name r1-u01 --driver fake-hardware --property cpus=8`,
		Args: func(c *cobra.Command, args []string) error {
			switch inventory := len(args)+len(files) > 0; {
			case inventory && given.any():
				return usage(errors.New("a node from flags and an inventory exclude each other"))
			case !inventory && !given.any():
				return usage(fmt.Errorf("want %s, or --driver and more", c.UseLine()))
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			if given.any() {
				return n.createOne(c.Context(), given.record(), skip)
			}
			return n.create(c.Context(), append(files, args...), skip)
		},
	}
	c.Flags().StringArrayVarP(&files, "file", "f", nil, "the same as FILE")
	annotate(c.Flags(), "file", fromCommandLineOnly)
	c.Flags().BoolVar(&skip, "skip-existing", false, "leave nodes as they are whose name or uuid is there")
	given = give(c.Flags(), createFields)
	return c
}

// body makes a record one of gophercloud's, whose own lack fields.
type body map[string]any

// ToNodeCreateMap makes it one of gophercloud's.
func (b body) ToNodeCreateMap() (map[string]any, error) { return b, nil }

// ToPortCreateMap makes it one of gophercloud's.
func (b body) ToPortCreateMap() (map[string]any, error) { return b, nil }

func (n *nodeVerbs) createOne(ctx context.Context, record map[string]any, skip bool) error {
	r := nodes.Create(ctx, n.client.api(), body(record))
	made, err := r.Extract()
	if skip && exists(err) {
		fmt.Fprintf(n.err, "left as it is: %v\n", err)
		return nil
	}
	if err != nil {
		return err
	}
	return n.output.show(view{
		data: r.Body, names: []string{made.UUID}, header: []string{"NAME", "UUID", "STATE"},
		rows: [][]string{{made.Name, made.UUID, made.ProvisionState}},
	})
}

// created is a node that was created, and what was created with it.
type created struct {
	UUID       string   `json:"uuid"`
	Name       string   `json:"name,omitempty"`
	Ports      []string `json:"ports"`
	Portgroups []string `json:"portgroups"`
}

func (n *nodeVerbs) create(ctx context.Context, files []string, skip bool) error {
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
	k := creator{nodeVerbs: n, skip: skip}
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
	skip    bool  // nodes that exist are not missing
	first   error // the first refusal; its kind gives the exit code
	gone    bool  // the conductor does not answer any more
	missing int
}

var collections = map[node.Kind]string{
	node.KindNode: "/v1/nodes", node.KindPort: "/v1/ports", node.KindPortgroup: "/v1/portgroups",
}

// create creates an entry and all below it, and returns its uuid, empty if it was refused.
func (k *creator) create(ctx context.Context, e entry, above map[string]any, made *created) string {
	fields := maps.Clone(e.fields)
	maps.Copy(fields, above)
	var answer struct {
		UUID string `json:"uuid"`
	}
	if err := k.client.do(ctx, http.MethodPost, collections[e.kind], fields, &answer); err != nil {
		if k.skip && e.kind == node.KindNode && exists(err) {
			fmt.Fprintf(k.err, "%s: left as it is: %v\n", e.where, err)
		} else {
			k.refused(e, err)
		}
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

// exists says whether a record was refused because there is one of its name or uuid.
func exists(err error) bool {
	refused, ok := errors.AsType[*apiError](err)
	return ok && refused.Kind == "duplicate" && (refused.Field == "name" || refused.Field == "uuid")
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
