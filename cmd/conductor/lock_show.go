package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/conductor-metal/conductor/pkg/lease"
)

// lockView is the queue of a node as it is shown.
type lockView struct {
	Node    string        `json:"node"`
	Name    string        `json:"name,omitempty"`
	Holders []lockEntry   `json:"holders"`
	Waiters []lockEntry   `json:"waiters"`
	Intent  *lease.Intent `json:"intent,omitempty"`
	// Abandoned says that the intent is that of a dead holder.
	Abandoned bool  `json:"abandoned,omitempty"`
	Revision  int64 `json:"revision"` // of etcd, at which it stood so
}

func viewQueue(q lease.Queue, name string, intent *lease.Intent) lockView {
	v := lockView{Node: q.Name, Name: name, Holders: []lockEntry{}, Waiters: []lockEntry{}, Intent: intent, Revision: q.Revision}
	v.Abandoned = intent != nil
	for _, e := range q.Holders() {
		v.Holders = append(v.Holders, shownEntry(e))
	}
	for _, e := range q.Waiters() {
		v.Waiters = append(v.Waiters, shownEntry(e))
	}
	for _, e := range q.Entries {
		if intent != nil && e.Ticket != "" && e.Ticket == intent.Ticket {
			v.Abandoned = false
		}
	}
	return v
}

func (v lockView) label() string {
	if v.Name != "" {
		return v.Name
	}
	return v.Node
}

func (l *lockVerbs) listCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List all locks: who holds each, for what, since when, and who waits", Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			return l.with(c.Context(), func(k keyspace) error { return l.list(c.Context(), k) })
		},
	}
}

func (l *lockVerbs) list(ctx context.Context, k keyspace) error {
	ctx, cancel := l.timed(ctx)
	defer cancel()
	intents, err := k.locks.Intents(ctx) // before the queues: one that is newer is not abandoned
	if err != nil {
		return err
	}
	queues, err := k.locks.List(ctx)
	if err != nil {
		return err
	}
	names, err := l.names(ctx, k)
	if err != nil {
		return err
	}
	all := []lockView{}
	out := view{header: []string{"NODE", "MODE", "HOLDER", "PURPOSE", "FOR", "WAITING", "REVISION"}}
	add := func(v lockView) {
		all = append(all, v)
		out.names = append(out.names, v.label())
		for i, e := range v.Holders {
			waiting := ""
			if i == 0 && len(v.Waiters) > 0 {
				waiting = strconv.Itoa(len(v.Waiters))
			}
			out.rows = append(out.rows, []string{
				v.label(), string(e.Mode), e.who(), e.Purpose, ago(e.Since), waiting, strconv.FormatInt(e.Revision, 10),
			})
		}
	}
	for _, q := range queues {
		var intent *lease.Intent
		if i, ok := intents[q.Name]; ok {
			intent = &i
		}
		delete(intents, q.Name)
		add(viewQueue(q, names[q.Name], intent))
	}
	for _, node := range sortedKeys(intents) { // nobody holds these
		i := intents[node]
		v := viewQueue(lease.Queue{Name: node}, names[node], &i)
		all = append(all, v)
		out.names = append(out.names, v.label())
		out.rows = append(out.rows, []string{v.label(), "abandoned", i.Holder, i.Purpose, ago(i.Since), "", ""})
	}
	out.data = all
	return l.output.show(out)
}

func (l *lockVerbs) showCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show NODE", Short: "Show the lock of a node", Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			return l.with(c.Context(), func(k keyspace) error {
				ctx, cancel := l.timed(c.Context())
				defer cancel()
				v, err := k.look(ctx, args[0])
				if err != nil {
					return err
				}
				return l.output.show(view{data: v, names: []string{v.label()}, rows: v.fields()})
			})
		},
	}
}

// look reads everything there is to know about the lock of a node.
func (k keyspace) look(ctx context.Context, ref string) (lockView, error) {
	name, uuid, err := k.find(ctx, ref)
	if err != nil {
		return lockView{}, err
	}
	intents, err := k.locks.Intents(ctx)
	if err != nil {
		return lockView{}, err
	}
	q, err := k.locks.Queue(ctx, uuid)
	if err != nil {
		return lockView{}, err
	}
	var intent *lease.Intent
	if i, ok := intents[uuid]; ok {
		intent = &i
	}
	v := viewQueue(q, name, intent)
	for i, e := range q.Holders() {
		if e.Lease == 0 {
			continue
		}
		left, granted, err := k.leaseLeft(ctx, e.Lease)
		if err != nil {
			return v, err
		}
		v.Holders[i].TTL, v.Holders[i].Left = granted.String(), left.String()
		v.Holders[i].FreeBy = (left + electionTime).String()
	}
	return v, nil
}

// fields is the view as a table of two columns.
func (v lockView) fields() [][]string {
	rows := [][]string{{"node", v.Node}}
	if v.Name != "" {
		rows[0][1] = v.Name + " (" + v.Node + ")"
	}
	add := func(key, value string) {
		if value != "" {
			rows = append(rows, []string{key, value})
		}
	}
	if len(v.Holders) == 0 {
		add("lock", "free")
	}
	for _, e := range v.Holders {
		add("lock", string(e.Mode))
		add("holder", e.who())
		add("purpose", e.Purpose)
		if !e.Since.IsZero() {
			add("since", e.Since.UTC().Format(time.RFC3339)+" ("+ago(e.Since)+" ago)")
		}
		add("task", e.Task)
		add("user", e.User)
		add("revision", strconv.FormatInt(e.Revision, 10))
		if e.Left != "" {
			add("lease", fmt.Sprintf("%s, %s of %s left: free at latest in %s if the holder is dead", e.Lease, e.Left, e.TTL, e.FreeBy))
		} else {
			add("lease", "none: it stands until it is released or broken")
		}
	}
	for i, e := range v.Waiters {
		add("waits "+strconv.Itoa(i+1), fmt.Sprintf("%s, %s, for %q, since %s, revision %d", e.who(), e.Mode, e.Purpose, ago(e.Since), e.Revision))
	}
	if v.Intent != nil && v.Abandoned {
		add("abandoned", fmt.Sprintf("%s was cut off: the next holder is told and its first command waits; "+
			"\"conductor lock run --settle %s -- CMD\" closes it", cutOff(*v.Intent), v.label()))
	} else if v.Intent != nil {
		add("step", v.Intent.Detail)
	}
	return rows
}

// cutOff names work that was left undone. An intent that was written by hand says only what it says.
func cutOff(i lease.Intent) string {
	if i.Holder == "" {
		return fmt.Sprintf("work that nobody signed (%q)", i.Detail)
	}
	return fmt.Sprintf("%q of %s, begun %s ago,", i.Purpose, i.Holder, ago(i.Since))
}
