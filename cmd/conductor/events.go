package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/conductor-metal/conductor/pkg/task"
)

// eventVerb is "events".
type eventVerb struct {
	program
	client apiClient
	output output
	names  map[string]string // of nodes, as other events have told: not all do
	query  url.Values        // node and type
	since  int64
	follow bool
}

func (p program) eventsCommand() *cobra.Command {
	e := &eventVerb{program: p, query: url.Values{}, names: map[string]string{}}
	c := &cobra.Command{
		Use:   "events",
		Short: "List what has happened, or follow what happens",
		Long: `List the events that are kept: transitions, power, maintenance, changes of records,
locks that were lost or broken. docs/events.md tells of each type.

With -f it goes on with each one as it happens, until Ctrl-C; it begins with what
comes, or after the revision of --since. When the conductor goes away it tries
again, and whichever answers goes on where the last one was: no event is shown
twice, and none is missing. The JSON of each event has its revision.`,
		Example: `  conductor events --node r1-u01
  conductor events -f --type node.provision_set
  conductor events -f --since 0 -o json | jq -r .type`,
		Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			if c.Flags().Changed("since") || !e.follow {
				e.query.Set("since", strconv.FormatInt(e.since, 10))
			}
			if e.since < 0 {
				return usage(fmt.Errorf("--since %d: want a revision, or 0 for all that are kept", e.since))
			}
			if e.follow {
				return e.watch(c.Context())
			}
			return e.list(c.Context())
		},
	}
	f := c.Flags()
	f.BoolVarP(&e.follow, "follow", "f", false, "go on with what comes")
	f.Int64Var(&e.since, "since", 0, "only what came after this revision (0: all that are kept)")
	for _, name := range []string{"node", "type"} {
		help := map[string]string{"node": "only events of this node", "type": "only events whose type begins so, as node.power_set"}[name]
		f.Func(name, help, func(v string) error {
			e.query.Set(name, v)
			return nil
		})
	}
	for _, name := range []string{"follow", "since", "node", "type"} {
		annotate(f, name, fromCommandLineOnly)
	}
	e.client.serverFlags(f)
	e.output.flags(f, p.out)
	_ = c.RegisterFlagCompletionFunc("node", func(c *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
		return e.client.nodeNames(p, c, nil, begun), cobra.ShellCompDirectiveNoFileComp
	})
	return c
}

// list shows what is kept.
func (e *eventVerb) list(ctx context.Context) error {
	e.query.Set("follow", "false")
	v := view{header: []string{"TIME", "NODE", "TYPE", "TEXT"}}
	all := []json.RawMessage{}
	err := e.client.eachPage(ctx, "/v1/events", e.query, func(raw map[string]json.RawMessage) error {
		var some []json.RawMessage
		if err := json.Unmarshal(raw["events"], &some); err != nil {
			return fmt.Errorf("%s is no conductor, or of another version: %w", &e.client.server, err)
		}
		for _, one := range some {
			n := notificationOf(one)
			all = append(all, plain(one))
			v.names = append(v.names, n.ID)
			v.rows = append(v.rows, e.row(n))
		}
		return nil
	})
	if err != nil {
		return err
	}
	v.data = all
	return e.output.show(v)
}

// notificationOf reads an event as far as it is understood: of a newer conductor
// there may be types that this program does not know.
func notificationOf(raw json.RawMessage) (n task.Notification) {
	_ = json.Unmarshal(raw, &n)
	return n
}

// row is an event in a table.
func (e *eventVerb) row(n task.Notification) []string {
	if n.Name != "" {
		e.names[string(n.Node)] = n.Name
	}
	label := e.names[string(n.Node)]
	if label == "" {
		label = string(n.Node)
	}
	return []string{stamp(n.At), label, strings.TrimPrefix(n.Type, "baremetal."), n.Text()}
}

// watch shows what comes.
func (e *eventVerb) watch(ctx context.Context) error {
	return e.client.followEvents(ctx, e.err, e.query, func(revision int64, event []byte) error {
		return e.print(fmt.Appendf(nil, `{"revision":%d,%s`, revision, event[1:]))
	})
}

// print shows one event in a line, or in YAML in a document.
func (e *eventVerb) print(raw json.RawMessage) error {
	n := notificationOf(raw)
	switch e.output.format.value {
	case "json":
		_, err := e.out.Write(append(plain(raw), '\n'))
		return err
	case "yaml":
		text, err := asYAML(raw)
		if err == nil {
			_, err = fmt.Fprintf(e.out, "---\n%s", text)
		}
		return err
	case "name":
		_, err := fmt.Fprintln(e.out, printable(n.ID, true))
		return err
	}
	row := e.row(n)
	for i, cell := range row {
		row[i] = printable(cell, true)
	}
	_, err := fmt.Fprintf(e.out, "%s  %-10s  %-24s  %s\n", row[0], row[1], row[2], row[3])
	return err
}
