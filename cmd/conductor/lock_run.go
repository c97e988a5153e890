package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
)

// running is one "lock run".
type running struct {
	*lockVerbs
	mode          choice
	wait          patience
	purpose, host string
	ttl, margin   time.Duration
	settle        bool
}

func (l *lockVerbs) runCommand() *cobra.Command {
	r := &running{lockVerbs: l, mode: choice{value: string(lease.Exclusive), of: []string{string(lease.Exclusive), string(lease.Shared)}}}
	host, _ := os.Hostname()
	c := &cobra.Command{
		Use:   "run [flags] NODE -- COMMAND [ARG...]",
		Short: "Run a command while holding the lock of a node",
		Long: `Run a command while holding the lock of a node, beside the conductors and with
the same rights: none of them acts on the node meanwhile.

The command runs in a process group of its own. Signals are passed on to it. When
the lock is lost (broken, or etcd out of reach) the group gets SIGTERM, and SIGKILL
before the lease can have run out; then the exit code is 7. It does not outlive
this program (on Linux), though its own children may. Otherwise its exit code is
passed through, 128 and the signal's number if a signal ended it.

In its environment: CONDUCTOR_LOCK_KEY and CONDUCTOR_LOCK_REV (key and create
revision of the lock in etcd, for a compare in a transaction; also as ETCD_LOCK_KEY
and ETCD_LOCK_REV) and CONDUCTOR_LOCK_TOKEN, a number that grows from holder to holder.`,
		Example: `  conductor lock run r1-u01 --purpose "firmware by hand" -- ipmitool -H 192.0.2.11 mc info
  conductor lock run r1-u01 --wait 30s --mode shared -- ./check.sh
  conductor lock run r1-u01 --settle -- ipmitool -H 192.0.2.11 power status`,
		Args: func(c *cobra.Command, args []string) error {
			if c.ArgsLenAtDash() != 1 || len(args) < 2 {
				return usage(fmt.Errorf("want %s", c.UseLine()))
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return r.run(c.Context(), args[0], args[1:]) },
	}
	f := c.Flags()
	f.Var(&r.mode, "mode", "exclusive, or shared with others who only look")
	f.Var(&r.wait, "wait", "how long to wait for the lock")
	f.StringVar(&r.purpose, "purpose", "", "what others are told (default: the command's name without its arguments)")
	f.StringVar(&r.host, "holder", host, "who others are told has the lock")
	f.DurationVar(&r.ttl, "lease-ttl", 15*time.Second, "how long the lock outlives a dead holder")
	f.DurationVar(&r.margin, "lease-margin", 0, "how long before its end a lease is no longer trusted (0: a third of it)")
	f.BoolVar(&r.settle, "settle", false, "if the command succeeds, what a dead holder left undone counts as dealt with")
	annotate(f, "settle", fromCommandLineOnly)
	return c
}

func (r *running) run(ctx context.Context, ref string, args []string) error {
	if err := tooLong(map[string]string{"purpose": r.purpose, "holder": r.host}); err != nil {
		return err
	}
	if err := checkLease(r.ttl, r.margin); err != nil {
		return err
	}
	path, err := lookPath(args[0])
	if err != nil {
		return err
	}
	command := filepath.Base(args[0]) // all that others are told: arguments may be secrets
	if r.purpose == "" {
		r.purpose = command
	}
	if r.margin == 0 {
		r.margin = r.ttl / 3
	}
	return r.with(ctx, func(k keyspace) error {
		find, cancel := r.timed(ctx)
		name, id, err := k.find(find, ref)
		cancel()
		if err != nil {
			return err
		}
		if name == "" {
			name = id
		}
		open, cancel := r.timed(ctx)
		session, err := lease.Open(open, k.client, lease.Config{
			Root: r.etcd.root(), Holder: r.host, Client: true, User: me(), TTL: r.ttl, Margin: r.margin,
		})
		cancel()
		if err != nil {
			return err
		}
		defer session.Close(context.WithoutCancel(ctx))
		lock, err := r.acquire(ctx, k, session, name, lease.Request{
			Name: id, Mode: lease.Mode(r.mode.value), Purpose: r.purpose, Task: uuid.NewString(), Detail: command,
			Require: k.nodes.Keys().Node(node.ID(id)),
		})
		if err != nil {
			return err
		}
		return r.hold(ctx, k, lock, name, path, args)
	})
}

// lookPath finds the command before the lock is taken for nothing.
func lookPath(name string) (string, error) {
	path, err := exec.LookPath(name)
	switch {
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, os.ErrNotExist):
		return "", &kindError{errNoCommand, fmt.Errorf("%s: command not found", name)}
	case err != nil:
		return "", &kindError{errNotRunnable, fmt.Errorf("%s: %w", name, err)}
	}
	return path, nil
}

func (r *running) acquire(ctx context.Context, k keyspace, s *lease.Session, name string, req lease.Request) (*lease.Lock, error) {
	lock, err := s.Acquire(ctx, req)
	held, ok := errors.AsType[*lease.HeldError](err)
	if ok && r.wait != 0 {
		fmt.Fprintf(r.err, "conductor: waiting: %s\n", r.told(held, name))
		req.Wait = time.Duration(r.wait)
		lock, err = s.Acquire(ctx, req)
		held, ok = errors.AsType[*lease.HeldError](err)
	}
	if ok {
		return nil, &kindError{held, errors.New(r.told(held, name))}
	}
	if lost, ok := errors.AsType[*lease.LostError](err); ok && lost.Reason == lease.Deleted {
		// The entry of one who waits goes with its node.
		find, cancel := r.timed(ctx)
		defer cancel()
		if _, gone := k.nodes.Node(find, node.ID(req.Name)); errors.Is(gone, node.ErrNotFound) {
			return nil, gone
		}
	}
	return lock, err
}

// told is who has the lock, and until when if that one is dead, with the node's name.
func (r *running) told(held *lease.HeldError, name string) string {
	text := strings.Replace(held.Error(), held.Queue.Name, name, 1)
	if by := held.FreeBy(); by > 0 {
		text += fmt.Sprintf("; free at latest in %s if that one is dead", by)
	}
	return text
}

// hold runs the command under the lock and releases it.
func (r *running) hold(ctx context.Context, k keyspace, lock *lease.Lock, name, path string, args []string) error {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, passedOn...)
	defer signal.Stop(signals)
	asked := ctx // ends with a signal that came before these
	ctx = context.WithoutCancel(ctx)
	if left := lock.Abandoned(); left != nil {
		fmt.Fprintf(r.err, "conductor: %s was cut off on %s: look at the machine first\n", cutOff(*left), name)
	}
	env, err := r.environment(ctx, k, lock)
	if err == nil && lock.Mode() == lease.Exclusive {
		err = lock.Declare(lock.Context(), filepath.Base(args[0]))
	}
	if err == nil {
		err = mayStart(asked, lock.Context(), signals)
	}
	if err != nil {
		return errors.Join(err, lock.Release(ctx, lease.Write{}))
	}
	c := &child{
		path: path, args: args, env: env, in: r.in, out: r.out, err: r.err,
		// The lock's context ends half a margin before the lease can have run out.
		grace: max(r.margin/2-250*time.Millisecond, 250*time.Millisecond),
	}
	ended := c.run(lock.Context(), signals)
	if errors.Is(ended, lease.ErrLost) {
		return &codeError{code: exitLost} // the reason has been told
	}
	if r.settle && ended == nil {
		lock.Settle()
	}
	if err := lock.Release(ctx, lease.Write{}); errors.Is(err, lease.ErrLost) {
		return fmt.Errorf("%w, before %s had ended", err, args[0])
	} else if err != nil {
		fmt.Fprintf(r.err, "conductor: release %s: %v (it runs out by itself)\n", name, err)
	}
	return ended
}

// mayStart is the last look before the command: the user may have gone since the
// lock was asked for, and the lock itself too.
func mayStart(asked, lock context.Context, signals <-chan os.Signal) error {
	gone := asked.Err() != nil
	for pending := true; pending && !gone; {
		select {
		case s := <-signals:
			gone = slices.Contains(ending, s)
		default:
			pending = false
		}
	}
	if gone {
		return &kindError{errInterrupted, errors.New("interrupted before the command was started")}
	}
	return context.Cause(lock)
}

func (r *running) environment(ctx context.Context, k keyspace, lock *lease.Lock) ([]string, error) {
	ctx, cancel := r.timed(ctx)
	defer cancel()
	q, err := k.locks.Queue(ctx, lock.Name())
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(q.Entries, func(e lease.Entry) bool { return e.Ticket == lock.Ticket() })
	if i < 0 {
		if err := context.Cause(lock.Context()); err != nil {
			return nil, err
		}
		return nil, lease.ErrLost // the entry is gone, and this is the first to see it
	}
	rev := strconv.FormatInt(q.Entries[i].Create, 10)
	return append(os.Environ(),
		"CONDUCTOR_LOCK_KEY="+lock.Key(), "CONDUCTOR_LOCK_REV="+rev,
		"CONDUCTOR_LOCK_TOKEN="+strconv.FormatInt(int64(lock.Token()), 10),
		"ETCD_LOCK_KEY="+lock.Key(), "ETCD_LOCK_REV="+rev), nil
}
