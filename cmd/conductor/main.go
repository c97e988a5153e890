// Conductor locks bare metal nodes and works on them, on any number of hosts
// that share an etcd. One program is the service (serve), its client (node,
// health) and the tool for its locks, which needs no running service (lock,
// audit). See "conductor help", and "conductor help exit-codes" for scripts.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set by the build: -ldflags "-X main.version=v1.2.3".
var version = "dev"

// program is one run of the program and what it may touch, so that a test can
// run it like a process.
type program struct {
	in       io.Reader
	out, err io.Writer
	env      func(string) string
}

// gcPercent is how far the heap grows before it is collected, unless GOGC says otherwise. A conductor
// and its embedded etcd make much short-lived garbage over a small heap: docs/performance.md has
// what this gains, and docs/operations.md what it costs.
const gcPercent = 400

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	p := program{in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.Getenv}
	// serve and "lock run" handle signals themselves; for all others the
	// first one ends the context, and the second the process.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(p.run(ctx, os.Args[1:]))
}

// run runs one command line and returns the exit code. Errors go to p.err.
func (p program) run(ctx context.Context, args []string) int {
	root := p.root()
	root.SetArgs(args)
	root.SetIn(p.in)
	root.SetOut(p.out)
	root.SetErr(p.err)
	err := root.ExecuteContext(ctx)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = errInterrupted
	}
	if text := errorText(err); text != "" {
		fmt.Fprintf(p.err, "conductor: %s\n", text)
	}
	return exitCode(err)
}

func (p program) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "conductor",
		Short: "Locks and tasks for bare metal nodes, on etcd",
		Long: `Conductor locks bare metal nodes and works on them, on any number of hosts that
share an etcd.

  conductor serve                          an API on 127.0.0.1:6385, an etcd inside
  conductor node create inventory.yaml     tell it of machines
  conductor node power on r1-u01           command one
  conductor lock list                      see who holds what, and why`,
		SilenceUsage:      true,
		SilenceErrors:     true,
		Args:              noSuchVerb,
		RunE:              showHelp,
		PersistentPreRunE: p.applySettings,
	}
	root.PersistentFlags().String("config", "", "YAML file with settings, named as the flags are")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage(err) })
	root.AddCommand(
		p.serveCommand(), p.nodeCommand(), p.lockCommand(), p.eventsCommand(), p.auditCommand(),
		p.memberCommand(), p.demoCommand(), p.benchCommand(), p.healthCommand(), p.versionCommand(), p.configCommand(),
		settingsTopic(), exitCodesTopic(),
	)
	root.AddCommand(p.recordCommands()...)
	return root
}

// group is a noun, whose verbs do the work.
func group(use, short string, verbs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: noSuchVerb, RunE: showHelp}
	c.AddCommand(verbs...)
	return c
}

func showHelp(c *cobra.Command, _ []string) error { return c.Help() }

func noSuchVerb(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	text := fmt.Sprintf("%s has no command %q", c.CommandPath(), args[0])
	for _, s := range c.SuggestionsFor(args[0]) {
		text += fmt.Sprintf("; did you mean %q?", c.CommandPath()+" "+s)
	}
	return usage(errors.New(text + " (see " + c.CommandPath() + " --help)"))
}

// exactly refuses a wrong number of arguments as wrong usage, and says what is wanted.
func exactly(n int) cobra.PositionalArgs { return between(n, n) }

func atMost(n int) cobra.PositionalArgs { return between(0, n) }

func atLeast(n int) cobra.PositionalArgs { return between(n, math.MaxInt) }

func between(least, most int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) < least || len(args) > most {
			return usage(fmt.Errorf("want %s", c.UseLine()))
		}
		if i := slices.Index(args, ""); i >= 0 {
			return usage(fmt.Errorf("argument %d is empty: want %s", i+1, c.UseLine()))
		}
		return nil
	}
}
