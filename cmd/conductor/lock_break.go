package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/pkg/lease"
)

// breaking is one "lock break".
type breaking struct {
	*lockVerbs
	reason, by     string
	revision       int64
	yes, evenAlive bool
}

func (l *lockVerbs) breakCommand() *cobra.Command {
	b := &breaking{lockVerbs: l}
	c := &cobra.Command{
		Use:   "break NODE",
		Short: "End the lock of a node whose holder will not",
		Long: `End the lock of a node whose holder will not, or the place of one who waits.

It shows what it will break, and asks. A holder that still renews its lease is
left alone unless --even-if-alive is given: it is at work, and the machine may be
in the middle of something. Whatever the holder does, it can write nothing more to
the node's records, and the next holder is told that work was cut off.

Who is not at a terminal gives --yes, and with --revision the lock that is meant
(lock show and lock list tell it), so that another's is not broken by mistake.`,
		Example: `  conductor lock break r1-u01 --reason "c2 is down for good"
  conductor lock break r1-u01 --reason stuck --yes --revision 4711 --even-if-alive`,
		Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			if b.reason == "" {
				return usage(errors.New("--reason is wanted: others will ask why"))
			}
			if (b.revision == 0 || !b.yes) && !terminal(l.in) {
				return usage(errors.New("not at a terminal: give --yes, and --revision with the revision of the lock that is meant"))
			}
			if err := tooLong(map[string]string{"reason": b.reason, "by": b.by}); err != nil {
				return err
			}
			return l.with(c.Context(), func(k keyspace) error { return b.run(c.Context(), k, args[0]) })
		},
	}
	f := c.Flags()
	f.StringVar(&b.reason, "reason", "", "why; kept with the node's events (required)")
	f.Int64Var(&b.revision, "revision", 0, "break this entry only, by its revision")
	f.BoolVarP(&b.yes, "yes", "y", false, "do not ask")
	f.BoolVar(&b.evenAlive, "even-if-alive", false, "also when the holder renews its lease")
	f.StringVar(&b.by, "by", me(), "who breaks it, for the records")
	for _, name := range []string{"reason", "revision", "yes", "even-if-alive"} {
		annotate(f, name, fromCommandLineOnly)
	}
	return c
}

func (b *breaking) run(ctx context.Context, k keyspace, ref string) error {
	look, cancel := b.timed(ctx)
	v, err := k.look(look, ref)
	if err != nil {
		cancel()
		return err
	}
	q, err := k.locks.Queue(look, v.Node)
	cancel()
	if err != nil {
		return err
	}
	e, err := b.pick(q, v.label())
	if err != nil {
		return err
	}
	for _, row := range v.fields() {
		fmt.Fprintf(b.err, "%-10s %s\n", row[0], printable(row[1], false))
	}
	if !b.evenAlive && e.Lease != 0 {
		if err := b.refuseAlive(ctx, k, e); err != nil {
			return err
		}
	}
	if !b.yes && !b.confirmed(e) {
		return &kindError{errInterrupted, errors.New("nothing was broken")}
	}
	end, cancel := b.timed(ctx)
	defer cancel()
	done, err := k.locks.Break(end, v.Node, e.Create, b.by, b.reason)
	if held, ok := errors.AsType[*lease.HeldError](err); ok {
		return fmt.Errorf("nothing was broken, the lock of revision %d is gone: %w", e.Create, held)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(b.err, "broken. %s may have been in the middle of something: look at the machine.\n", v.label())
	return b.output.show(view{data: done, names: []string{v.label()}, rows: [][]string{
		{"broken", done.Key}, {"holder", done.Holder}, {"by", done.By}, {"reason", done.Why}, {"at", stamp(done.At)},
	}})
}

// pick finds the entry that is meant.
func (b *breaking) pick(q lease.Queue, label string) (lease.Entry, error) {
	if b.revision != 0 {
		i := slices.IndexFunc(q.Entries, func(e lease.Entry) bool { return e.Create == b.revision })
		if i < 0 {
			return lease.Entry{}, &kindError{errTaken, fmt.Errorf("nothing was broken: %s has no lock of revision %d (any more)", label, b.revision)}
		}
		return q.Entries[i], nil
	}
	switch holders := q.Holders(); len(holders) {
	case 0:
		return lease.Entry{}, &kindError{lease.ErrMissing, fmt.Errorf("%s is not locked", label)}
	case 1:
		return holders[0], nil
	default:
		return lease.Entry{}, usage(fmt.Errorf("%s has %d holders: say which with --revision", label, len(holders)))
	}
}

func (b *breaking) confirmed(e lease.Entry) bool {
	fmt.Fprintf(b.err, "Break the %s lock of %s (revision %d)? [y/N] ", e.Mode, shownEntry(e).who(), e.Create)
	line, _ := bufio.NewReader(b.in).ReadString('\n')
	answer := strings.ToLower(strings.TrimSpace(line))
	return answer == "y" || answer == "yes"
}

// refuseAlive is an error if the holder renews its lease. A live one renews every
// quarter of the TTL, so that what is left never falls below three quarters by
// much; to tell a renewal from a death that is just young, it has to be awaited.
func (b *breaking) refuseAlive(ctx context.Context, k keyspace, e lease.Entry) error {
	left, granted, err := k.leaseLeft(ctx, e.Lease)
	if err != nil {
		return err
	}
	if left < granted/2 {
		return nil
	}
	fmt.Fprintf(b.err, "looking whether %s renews its lease ...\n", shownEntry(e).who())
	renewed, err := b.renewing(ctx, k, e.Lease, left, granted*3/8+time.Second)
	if err != nil || !renewed {
		return err
	}
	return &kindError{errTaken, fmt.Errorf("nothing was broken: %s is alive and renews its lease; end its work, or break the lock with --even-if-alive",
		shownEntry(e).who())}
}

// renewing watches what is left of a lease. etcd tells it in whole seconds, so a
// renewal shows as a rise, or in the end as too little of a fall.
func (b *breaking) renewing(ctx context.Context, k keyspace, id clientv3.LeaseID, first, within time.Duration) (bool, error) {
	last := first
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(within); time.Now().Before(end); {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
		left, _, err := k.leaseLeft(ctx, id)
		if err != nil {
			return false, err
		}
		if left > last || left == 0 {
			return left > 0, nil
		}
		last = left
	}
	return last > first-within+time.Second, nil
}
