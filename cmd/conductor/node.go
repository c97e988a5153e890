package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

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
		n.createCommand(), n.listCommand(), n.showCommand(), n.deleteCommand(), n.validateCommand(),
		n.powerCommand(), n.maintenanceCommand())
	n.client.flags(c.PersistentFlags())
	n.output.flags(c.PersistentFlags(), p.out)
	return c
}

// nodeRecord is what tables show of a node. The whole is kept as it came.
type nodeRecord struct {
	UUID        string  `json:"uuid"`
	Name        *string `json:"name"`
	Driver      string  `json:"driver"`
	Power       *string `json:"power_state"`
	PowerTarget *string `json:"target_power_state"`
	Provision   *string `json:"provision_state"`
	Maintenance bool    `json:"maintenance"`
	Reservation *string `json:"reservation"`
	LastError   *string `json:"last_error"`
}

func (r nodeRecord) label() string {
	if t := text(r.Name); t != "" {
		return t
	}
	return r.UUID
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func nodePath(ref string, more ...string) string {
	return "/v1/nodes/" + url.PathEscape(ref) + strings.Join(more, "")
}

func (n *nodeVerbs) listCommand() *cobra.Command {
	query := url.Values{}
	c := &cobra.Command{
		Use: "list", Short: "List nodes", Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error { return n.list(c.Context(), query) },
	}
	for flag, field := range map[string]string{
		"state": "provision_state", "driver": "driver", "resource-class": "resource_class", "group": "conductor_group",
	} {
		c.Flags().Func(flag, "only nodes with this "+strings.ReplaceAll(field, "_", " "), func(v string) error {
			query.Set(field, v)
			return nil
		})
	}
	return c
}

func (n *nodeVerbs) list(ctx context.Context, query url.Values) error {
	v := view{header: []string{"UUID", "NAME", "DRIVER", "POWER", "PROVISION", "MAINTENANCE", "LOCKED BY"}}
	all := []json.RawMessage{}
	for path := "/v1/nodes/detail?" + query.Encode(); path != ""; {
		var page struct {
			Nodes  []json.RawMessage `json:"nodes"`
			Next   string            `json:"next"`
			Errors []string          `json:"errors"` // records that cannot be read
		}
		if err := n.client.do(ctx, http.MethodGet, path, nil, &page); err != nil {
			return err
		}
		all = append(all, page.Nodes...)
		for _, text := range page.Errors {
			fmt.Fprintf(n.err, "conductor: left out: %s\n", printable(text, false))
		}
		path = ""
		if next, err := url.Parse(page.Next); err == nil && page.Next != "" {
			path = next.RequestURI()
		}
	}
	for i, raw := range all {
		all[i] = plain(raw)
		var r nodeRecord
		if err := json.Unmarshal(raw, &r); err != nil {
			return err
		}
		power := text(r.Power)
		if t := text(r.PowerTarget); t != "" {
			power += " -> " + t
		}
		v.names = append(v.names, r.label())
		v.rows = append(v.rows, []string{
			r.UUID, text(r.Name), r.Driver, power, text(r.Provision), fmt.Sprint(r.Maintenance), text(r.Reservation),
		})
	}
	v.data = all
	return n.output.show(v)
}

// shown are the fields of "node show" as a table, in this order.
var shown = []string{
	"uuid", "name", "driver", "conductor_group", "conductor", "resource_class",
	"power_state", "target_power_state", "provision_state", "target_provision_state", "last_error",
	"maintenance", "maintenance_reason", "fault", "reservation", "instance_uuid", "properties", "extra", "driver_info",
	"created_at", "updated_at",
}

func (n *nodeVerbs) showCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show NODE", Short: "Show a node", Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			var raw map[string]json.RawMessage
			if err := n.client.do(c.Context(), http.MethodGet, nodePath(args[0]), nil, &raw); err != nil {
				return err
			}
			for field, value := range raw {
				raw[field] = plain(value)
			}
			v := view{data: raw, names: []string{bare(raw["uuid"])}}
			for _, field := range shown {
				if value := bare(raw[field]); value != "" {
					v.rows = append(v.rows, []string{field, value})
				}
			}
			return n.output.show(v)
		},
	}
}

// bare is a JSON value for a table: a text without quotes, nothing for null.
func bare(raw json.RawMessage) string {
	var s *string
	switch {
	case json.Unmarshal(raw, &s) == nil:
		return text(s)
	case string(raw) == "{}":
		return ""
	}
	return string(raw)
}

func (n *nodeVerbs) deleteCommand() *cobra.Command {
	return &cobra.Command{
		Use: "delete NODE...", Short: "Delete nodes, with all that belongs to them", Args: atLeast(1),
		RunE: func(c *cobra.Command, args []string) error {
			return n.each(args, func(ref string) error {
				return n.client.change(c.Context(), http.MethodDelete, nodePath(ref), nil, nil)
			}, "deleted")
		},
	}
}

// each does something for each node, says what became of it, and goes on after
// an error: what is asked for one node does not depend on another. The first
// error gives the exit code.
func (n *nodeVerbs) each(refs []string, do func(ref string) error, done string) error {
	var first error
	for _, ref := range refs {
		err := do(ref)
		switch {
		case err == nil && done != "":
			fmt.Fprintf(n.err, "%s %s\n", ref, done)
		case err != nil && len(refs) > 1:
			fmt.Fprintf(n.err, "%s: %v\n", ref, err)
		}
		if first == nil && err != nil {
			first = err
		}
		if errors.Is(err, errUnreachable) || errors.Is(err, context.Canceled) {
			break
		}
	}
	return first
}

func (n *nodeVerbs) validateCommand() *cobra.Command {
	return &cobra.Command{
		Use: "validate NODE", Short: "Ask each interface of a node whether its record holds what it needs", Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			var raw map[string]struct {
				Result *bool   `json:"result"`
				Reason *string `json:"reason"`
			}
			if err := n.client.do(c.Context(), http.MethodGet, nodePath(args[0], "/validate"), nil, &raw); err != nil {
				return err
			}
			v := view{data: raw, header: []string{"INTERFACE", "OK", "REASON"}}
			for _, name := range sortedKeys(raw) {
				ok := raw[name].Result != nil && *raw[name].Result
				v.names = append(v.names, name)
				v.rows = append(v.rows, []string{name, fmt.Sprint(ok), text(raw[name].Reason)})
			}
			return n.output.show(v)
		},
	}
}
