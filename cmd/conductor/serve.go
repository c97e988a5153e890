package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/conductor-metal/conductor/internal/embedetcd"
)

// serveOptions are the settings of the service, one field a flag.
type serveOptions struct {
	listen, host, dataDir string
	etcd                  etcdOptions
	etcdListen            string
	ttl, margin           time.Duration
	group                 string
	workers               int
	commandTimeout        time.Duration
	lockDelay             time.Duration
	maxWait               time.Duration
	maxListAge            time.Duration
	shutdown              time.Duration
	fakeDelays            pairs
	fakeMachines          string
	types                 []string
	interfaces, defaults  pairs
	drain                 time.Duration
	takeover              bool
	sync                  syncOptions
	secure                secureOptions
	provision             provisionOptions
	log                   logOptions

	ready func(url string) // a test is told where the service is; nil: nobody
}

func (p program) serveCommand() *cobra.Command {
	o := &serveOptions{fakeDelays: pairs{}, interfaces: pairs{}, defaults: pairs{}}
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run a conductor",
		Long: `Run a conductor: the HTTP API, and the work on nodes that it is asked for.

Without --etcd-endpoints it starts an etcd of its own in the data directory, on
127.0.0.1:2379, so that plain etcdctl works. For several conductors that survive
one another, give them an etcd of three members: --etcd-endpoints=URL,URL,URL.

The host name is the conductor's identity: locks are known by it. Two processes
cannot share it, or a data directory. While an earlier process of that name may be
alive, and until etcd answers (--etcd-wait), /readyz says 503.

SIGTERM and SIGINT stop new work. What runs may go on for --shutdown-timeout, but
requests that wait for a lock for 5 s at most; then all locks are given back, within
--lease-ttl. A second signal ends the process at once. SIGUSR2 lets running tasks go
on for --drain-timeout first, while others take the new work; "conductor member
drain" does so without an end of the process.`,
		Example: `  conductor serve
  conductor serve --data-dir ./data --fake-delay power=2
  conductor serve --host c1 --etcd-endpoints http://10.0.0.1:2379,http://10.0.0.2:2379`,
		Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error { return o.run(c.Context(), p) },
	}
	o.flags(c)
	return c
}

func (o *serveOptions) flags(c *cobra.Command) {
	host, _ := os.Hostname() // empty: the flag must be given
	f := c.Flags()
	f.StringVar(&o.listen, "listen", "127.0.0.1:6385", "address of the API")
	f.StringVar(&o.host, "host", host, "who this conductor is; the same after each restart")
	f.StringVar(&o.dataDir, "data-dir", defaultDataDir(), "directory of this conductor, and of its etcd")
	f.StringSliceVar(&o.etcd.endpoints, "etcd-endpoints", nil, "where etcd is; none: start one in --data-dir")
	f.StringVar(&o.etcdListen, "etcd-listen", embedetcd.DefaultClientURL, "where an etcd of our own listens")
	o.etcd.flags(f, 0)
	f.DurationVar(&o.ttl, "lease-ttl", 15*time.Second, "how long locks outlive a dead conductor")
	f.DurationVar(&o.margin, "lease-margin", 0, "how long before its end a lease is no longer trusted (0: a fifth of it)")
	f.StringVar(&o.group, "conductor-group", "", "look after the nodes of this group only")
	f.IntVar(&o.workers, "workers", 300, "background tasks at once")
	f.DurationVar(&o.commandTimeout, "command-timeout", 30*time.Second, "the longest a command to a machine may take")
	f.DurationVar(&o.lockDelay, "lock-delay", 0, "pause before the first command after another's crash (0: --command-timeout)")
	f.DurationVar(&o.maxWait, "max-wait", 5*time.Minute, "the longest a request may wait for a lock")
	f.DurationVar(&o.maxListAge, "max-list-age", 5*time.Second, "the oldest list that a client may ask for, with Cache-Control: max-age (0: each list is as of now)")
	f.DurationVar(&o.shutdown, "shutdown-timeout", time.Minute, "how long requests and tasks may go on after SIGTERM; to give the locks back may take --lease-ttl more")
	f.BoolVar(&o.takeover, "takeover", true, "resume or fail what dead conductors left; false: leave it to others, or to the next one who locks the node")
	f.DurationVar(&o.drain, "drain-timeout", 30*time.Minute, "how long running tasks may go on after SIGUSR2")
	f.Var(o.fakeDelays, "fake-delay", "seconds that a fake interface takes, as power=2 or deploy=5,20")
	f.StringVar(&o.fakeMachines, "fake-machines", "", "URL of what the fake interfaces command (none: the nodes' records)")
	_ = f.MarkHidden("fake-machines") // for tests, which record there who commands which machine and when
	f.StringSliceVar(&o.types, "enabled-hardware-types", nil, "hardware types that nodes may have (none: all)")
	f.Var(o.interfaces, "enabled-interfaces", "implementations that nodes may have, as power=fake (none: all)")
	f.Var(o.defaults, "default-interfaces", "implementation of nodes that name none, as power=fake")
	o.sync.flags(f)
	o.secure.flags(f)
	o.provision.flags(f)
	o.log.flags(f)
}

// defaultDataDir does not depend on where the program is started: a conductor
// that forgets its nodes when it is started elsewhere would be a bad surprise.
func defaultDataDir() string {
	if os.Geteuid() == 0 {
		return "/var/lib/conductor"
	}
	if dir := os.Getenv("XDG_STATE_HOME"); dir != "" {
		return filepath.Join(dir, "conductor")
	}
	if home, err := os.UserHomeDir(); err == nil {
		return filepath.Join(home, ".local", "state", "conductor")
	}
	return "data"
}

// run serves until ctx ends.
func (o *serveOptions) run(ctx context.Context, p program) error {
	w := p.err
	log, forPeople, err := o.log.logger(w)
	if err != nil {
		return err
	}
	if err := errors.Join(checkLease(o.ttl, o.margin), tooLong(map[string]string{"host": o.host}), o.secure.check(), o.sync.check(), o.provision.check()); err != nil {
		return err
	}
	if o.lockDelay == 0 {
		o.lockDelay = o.commandTimeout
	}
	boss, err := newSupervisor(p.env)
	if err != nil {
		return fmt.Errorf("NOTIFY_SOCKET: %w", err)
	}
	s := &service{o: o, log: log}
	err = s.start(ctx)
	if err == nil {
		boss.tell("READY=1", "STATUS=serving on "+s.url())
		done := make(chan struct{})
		defer close(done)
		go boss.reassure(s.dog.healthy, done) // ends with the service
		log.InfoContext(ctx, "serving", "url", s.url(), "conductor", o.host, "etcd", s.endpoints, "version", version)
		if forPeople {
			s.banner(w)
		}
		if o.ready != nil {
			o.ready(s.url())
		}
		err = s.wait(ctx)
		boss.tell("STOPPING=1")
		log.InfoContext(ctx, "stopping: the work that runs may end, locks are given back then", "timeout", o.shutdown, "err", err)
		defer log.InfoContext(ctx, "stopped")
	}
	s.stop(ctx)
	return err
}

// banner tells what to type next.
func (s *service) banner(w io.Writer) {
	server, endpoints := "", ""
	if s.url() != defaultServer {
		server = " --server " + s.url()
	}
	if len(s.endpoints) != 1 || s.endpoints[0] != embedetcd.DefaultClientURL {
		endpoints = " --etcd-endpoints " + joinComma(s.endpoints)
	}
	fmt.Fprintf(w, `
conductor %s is %s, on %s with etcd at %s

  conductor node create examples/inventory.yaml%s
  conductor node power on r1-u01 --wait%s
  conductor lock watch%s
  baremetal --os-auth-type none --os-endpoint %s node list

Ctrl-C ends it.

`, version, s.o.host, s.url(), joinComma(s.endpoints), server, server, endpoints, s.url())
}
