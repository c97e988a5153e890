package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
)

// eventLeft is what becomes of one who waits no longer.
const eventLeft lease.EventType = "left"

// lockEvent is one line of "lock watch".
type lockEvent struct {
	At    time.Time       `json:"at"`    // when it was seen here
	Event lease.EventType `json:"event"` // eventLeft besides those of lease
	Node  string          `json:"node"`
	Name  string          `json:"name,omitempty"`
	lockEntry
	By         string `json:"broken_by,omitempty"`
	Why        string `json:"reason,omitempty"`
	AtRevision int64  `json:"at_revision"`
}

func (l *lockVerbs) watchCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "watch [NODE]",
		Short: "Follow the locks of all nodes, or of one: how they stand now, and each change",
		Args:  atMost(1),
		RunE: func(c *cobra.Command, args []string) error {
			return l.with(c.Context(), func(k keyspace) error { return l.watch(c.Context(), k, args) })
		},
	}
}

func (l *lockVerbs) watch(ctx context.Context, k keyspace, args []string) error {
	names, err := l.names(ctx, k)
	if err != nil {
		return err
	}
	uuid := ""
	if len(args) > 0 {
		if _, uuid, err = k.find(ctx, args[0]); err != nil {
			return err
		}
	}
	for ev, err := range k.locks.Watch(ctx, uuid) {
		if err != nil {
			return err
		}
		id := ev.Entry.Name
		if _, known := names[id]; !known { // younger than the list
			names[id] = ""
			if n, err := k.nodes.Node(ctx, node.ID(id)); err == nil {
				names[id] = n.Name
			}
		}
		if err := l.print(ev, names[id]); err != nil {
			return err
		}
	}
	return nil
}

func (l *lockVerbs) print(ev lease.Event, name string) error {
	e := lockEvent{
		At: time.Now().UTC(), Event: ev.Type, Node: ev.Entry.Name, Name: name,
		lockEntry: shownEntry(ev.Entry), AtRevision: ev.Revision,
	}
	if ev.Type == lease.EventReleased && e.Mode == "" { // it never held the lock
		e.Event = eventLeft
	}
	if ev.Break != nil {
		e.By, e.Why = ev.Break.By, ev.Break.Why
	}
	label := name
	if label == "" {
		label = e.Node
	}
	switch l.output.format.value {
	case "json":
		text, err := asJSON(e, "")
		if err == nil {
			_, err = l.out.Write(text)
		}
		return err
	case "yaml":
		text, err := asYAML(e)
		if err == nil {
			_, err = fmt.Fprintf(l.out, "---\n%s", text)
		}
		return err
	case "name":
		_, err := fmt.Fprintln(l.out, printable(label, true))
		return err
	}
	line := fmt.Sprintf("%s  %-8s  %s  %s  %s  %q", e.At.Format("15:04:05.000"), e.Event, label, printable(string(e.Mode), true), e.who(), e.Purpose)
	if ev.Break != nil {
		line += fmt.Sprintf("  by %s: %s", e.By, e.Why)
	}
	_, err := fmt.Fprintln(l.out, printable(line, false))
	return err
}
