package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/conductor-metal/conductor/internal/embedetcd"
)

// How fast the demonstration goes.
const (
	demoTTL   = 3 * time.Second
	demoDelay = "2" // seconds of each phase of a fake deployment
	demoNodes = 12
)

func (p program) demoCommand() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:   "demo",
		Short: "Show what happens when conductors are killed and frozen, in under a minute",
		Long: `Start an etcd and three conductors on free ports of this host, with a fleet of
fake machines. Deploy them, kill one conductor and freeze another in the middle of
it, and see others take over. At the end the audit reads the history of etcd and
says whether two conductors ever had one machine.

Each line that begins with $ could be typed: "conductor demo" prints the verbs that
it runs. All that it starts ends with it.`,
		Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			if dir == "" {
				var err error
				if dir, err = os.MkdirTemp("", "conductor-demo-"); err != nil {
					return err
				}
				defer os.RemoveAll(dir)
			}
			return p.demo(c.Context(), dir)
		},
	}
	c.Flags().StringVar(&dir, "dir", "", "keep the data and the logs here (none: a directory that goes in the end)")
	annotate(c.Flags(), "dir", fromCommandLineOnly)
	return c
}

// demo is one run of the demonstration.
type demo struct {
	program
	dir    string
	etcd   *embedetcd.Server
	cast   map[string]*actor // the conductors by host name
	fleet  []string
	client apiClient
}

func (p program) demo(ctx context.Context, dir string) (err error) {
	d := &demo{program: p, dir: dir, cast: map[string]*actor{}, client: apiClient{timeout: 10 * time.Second}}
	defer func() { err = errors.Join(err, d.close()) }()
	for _, act := range []func(context.Context) error{d.begin, d.enroll, d.kill, d.freeze, d.audit} {
		if err := act(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.out, "\n# "+format+"\n", args...) }

// do runs a verb as a user would, and shows the line and, if shown, what it prints.
func (d *demo) do(ctx context.Context, shown bool, args ...string) error {
	fmt.Fprintf(d.out, "$ conductor %s\n", brief(args))
	q := d.program
	q.env = func(name string) string {
		switch name {
		case "CONDUCTOR_SERVER":
			return d.client.server.String()
		case "CONDUCTOR_ETCD_ENDPOINTS":
			return d.etcd.Endpoint()
		}
		return ""
	}
	var said strings.Builder
	q.err = &said
	if !shown {
		q.out = io.Discard
	}
	if code := q.run(ctx, args); code != exitOK {
		return fmt.Errorf("conductor %s: exit code %d: %s", brief(args), code, strings.TrimSpace(said.String()))
	}
	return nil
}

// brief leaves most of a long row of nodes out.
func brief(args []string) string {
	if len(args) < 8 {
		return strings.Join(args, " ")
	}
	return strings.Join(slices.Concat(args[:4], []string{"..."}, args[len(args)-2:]), " ")
}

func (d *demo) begin(ctx context.Context) (err error) {
	d.say("An etcd, and three conductors with leases of %s.", demoTTL)
	if d.etcd, err = embedetcd.Start(ctx, embedetcd.Config{Dir: filepath.Join(d.dir, "etcd"), ClientURL: "http://127.0.0.1:0"}); err != nil {
		return err
	}
	for _, host := range []string{"c1", "c2", "c3"} {
		if d.cast[host], err = d.start(ctx, host); err != nil {
			return err
		}
	}
	d.client.server = address(d.cast["c1"].url)
	return d.do(ctx, true, "member", "list")
}

func (d *demo) enroll(ctx context.Context) error {
	d.say("%d machines are enrolled, looked at and cleaned. Each is worked on by the conductor that it prefers.", demoNodes)
	var inventory strings.Builder
	inventory.WriteString("nodes:\n")
	for i := range demoNodes {
		name := fmt.Sprintf("m%02d", i+1)
		d.fleet = append(d.fleet, name)
		// Known uuids, with which each conductor has a third of the ring.
		fmt.Fprintf(&inventory, "- {name: %s, uuid: 00000004-0000-4000-8000-%012d, driver: fake-hardware}\n", name, i+1)
	}
	file := filepath.Join(d.dir, "fleet.yaml")
	if err := os.WriteFile(file, []byte(inventory.String()), 0o600); err != nil {
		return err
	}
	return errors.Join(
		d.do(ctx, false, "node", "create", file),
		d.do(ctx, false, d.with("node", "manage", "--wait")...),
		d.do(ctx, false, d.with("node", "provide", "--wait")...),
	)
}

// with adds the whole fleet to a verb.
func (d *demo) with(verb ...string) []string { return slices.Concat(verb, d.fleet) }

func (d *demo) kill(ctx context.Context) error {
	d.say("All are deployed, which takes some seconds.")
	if err := d.do(ctx, false, d.with("node", "deploy")...); err != nil {
		return err
	}
	if err := d.do(ctx, true, "lock", "list"); err != nil {
		return err
	}
	victims, err := d.heldBy(ctx, "c2")
	if err != nil {
		return err
	}
	d.say("c2 is killed (kill -9) with %s in its hands. Its locks end with its lease.", strings.Join(victims, ", "))
	d.cast["c2"].kill()
	if err := d.takenOver(ctx, victims, "c2"); err != nil {
		return err
	}
	if err := d.settled(ctx); err != nil {
		return err
	}
	if err := d.do(ctx, true, "node", "list", "--fields", "name,provision_state,last_error"); err != nil {
		return err
	}
	d.say("Nobody knows how far c2 had come, and a deployment must not be begun anew unseen: its nodes failed, and say why. They are deployed again.")
	failed, err := d.in(ctx, "deploy failed")
	if err != nil || len(failed) == 0 {
		return err
	}
	return d.do(ctx, false, slices.Concat([]string{"node", "deploy", "--wait"}, failed)...)
}

func (d *demo) freeze(ctx context.Context) error {
	d.say("c2 comes back. All are built anew, and c3 is frozen in the middle of it (SIGSTOP), for longer than its lease.")
	var err error
	if d.cast["c2"], err = d.start(ctx, "c2"); err != nil {
		return err
	}
	if err := d.do(ctx, false, d.with("node", "rebuild")...); err != nil {
		return err
	}
	victims, err := d.heldBy(ctx, "c3")
	if err != nil {
		return err
	}
	if err := d.cast["c3"].cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	if err := d.takenOver(ctx, victims, "c3"); err != nil {
		return err
	}
	d.say("c3 thaws, and finds that its locks are gone: it sends no command, and etcd refuses what it would still write.")
	if err := d.cast["c3"].cmd.Process.Signal(syscall.SIGCONT); err != nil {
		return err
	}
	if err := d.settled(ctx); err != nil {
		return err
	}
	return errors.Join(
		d.do(ctx, true, "node", "list", "--fields", "name,provision_state"),
		d.do(ctx, true, "member", "list"),
	)
}

func (d *demo) audit(ctx context.Context) error {
	d.say("Was there ever a moment at which two had one machine, or a write of one who no longer held it? etcd's history says:")
	return d.do(ctx, true, "audit")
}

// takenOver waits until nodes are in other hands, and says how long that took.
func (d *demo) takenOver(ctx context.Context, nodes []string, from string) error {
	start := time.Now()
	err := d.until(ctx, 30*time.Second, func() (bool, error) {
		held, err := d.heldBy(ctx, from)
		return len(held) == 0, err
	})
	if err != nil || len(nodes) == 0 {
		return err
	}
	if err := d.until(ctx, 30*time.Second, func() (bool, error) {
		left, err := d.abandoned(ctx, from)
		return len(left) == 0, err
	}); err != nil {
		return err
	}
	d.say("After %s others had all %d.", time.Since(start).Round(100*time.Millisecond), len(nodes))
	return nil
}

// settled waits until no machine is worked on.
func (d *demo) settled(ctx context.Context) error {
	return d.until(ctx, time.Minute, func() (bool, error) {
		busy, err := d.in(ctx, "deploying")
		return len(busy) == 0, err
	})
}

func (d *demo) until(ctx context.Context, limit time.Duration, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not within %s", limit))
	defer cancel()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// in are the nodes that stand in a provision state.
func (d *demo) in(ctx context.Context, state string) ([]string, error) {
	return d.nodes(ctx, func(n demoNode) bool { return n.State == state })
}

// heldBy are the nodes that a conductor has locked.
func (d *demo) heldBy(ctx context.Context, host string) ([]string, error) {
	return d.nodes(ctx, func(n demoNode) bool { return n.Holder == host })
}

type demoNode struct {
	Name   string `json:"name"`
	State  string `json:"provision_state"`
	Holder string `json:"reservation"`
}

func (d *demo) nodes(ctx context.Context, match func(demoNode) bool) ([]string, error) {
	var list struct{ Nodes []demoNode }
	err := d.client.do(ctx, http.MethodGet, "/v1/nodes?fields=name,provision_state,reservation", nil, &list)
	var names []string
	for _, n := range list.Nodes {
		if match(n) {
			names = append(names, n.Name)
		}
	}
	slices.Sort(names)
	return names, err
}
