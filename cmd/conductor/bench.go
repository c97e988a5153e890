package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strings"

	"github.com/spf13/cobra"

	"github.com/conductor-metal/conductor/internal/bench"
)

// benchOptions are the flags of bench.
type benchOptions struct {
	etcd           etcdOptions
	out            output
	bench          bench.Options
	quick, full    bool
	dir, profile   string
	plot, markdown string
}

func (p program) benchCommand() *cobra.Command {
	var o benchOptions
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure what an etcd can do: raw puts, etcd's own mutex, node locks",
		Long: `Measure what an etcd can do: raw puts, etcd's own concurrency.Mutex, and the locks
of nodes, which do equal work in turns, so that the ratios between them hold on a
machine that is busy, too. It takes about two minutes.

Without --etcd-endpoints it starts an etcd of its own, as a process of its own, on
the disk that has --dir. With them it loads that etcd as hard as it can: do not
choose one whose locks are in use. All keys are written below ` + bench.Root + `
and are deleted in the end, after Ctrl-C too; etcd's history keeps them until it
is compacted.

Scenarios: ` + strings.Join(bench.Scenarios(), ", ") + `.`,
		Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error { return p.bench(c.Context(), &o) },
	}
	f := c.Flags()
	o.etcd.clientFlags(f)
	endpoints := f.Lookup("etcd-endpoints") // a load must not meet an etcd by inheritance
	endpoints.Usage, endpoints.DefValue = "where etcd is (none: one is started for the run)", "[]"
	o.etcd.endpoints = nil
	annotate(f, "etcd-endpoints", fromCommandLineOnly)
	_ = f.MarkHidden("etcd-prefix")
	f.StringSliceVar(&o.bench.Only, "only", nil, "scenarios (none: all)")
	f.BoolVar(&o.quick, "quick", false, "half a minute, and figures to match")
	f.BoolVar(&o.full, "full", false, "up to 100,000 nodes and 10,000 held locks: about six minutes and 3 GB of disk")
	f.IntVar(&o.bench.Rounds, "rounds", 0, "turns of each work (0: 5, quick 2)")
	f.DurationVar(&o.bench.Slice, "slice", 0, "how long one turn is (0: 400ms, quick 200ms)")
	f.IntSliceVar(&o.bench.Workers, "workers", nil, "workers of the cycles (none: 1,16,64,256)")
	f.StringSliceVar(&o.bench.Works, "works", nil, "works of the cycles, such as \"locks with records\" (none: all)")
	f.IntSliceVar(&o.bench.Waiters, "waiters", nil, "waiters of the handoff (none: 2,16,64,128)")
	f.StringVar(&o.dir, "dir", "", "where an etcd of our own has its data, in a directory that goes in the end (none: the system's place for such)")
	f.StringVar(&o.plot, "plot", "", "file for a chart, as SVG")
	f.StringVar(&o.markdown, "markdown", "", `document whose lines between <!-- bench --> and <!-- end of bench --> become the tables`)
	f.StringVar(&o.profile, "profile", "", "directory for the CPU profiles client.pprof and, of an etcd of our own, server.pprof")
	for _, name := range []string{"only", "quick", "full", "rounds", "slice", "workers", "works", "waiters", "dir", "plot", "markdown", "profile"} {
		annotate(f, name, fromCommandLineOnly)
	}
	o.out.flags(f, p.out)
	c.AddCommand(p.benchServerCommand())
	return c
}

func (p program) bench(ctx context.Context, o *benchOptions) (err error) {
	switch {
	case o.quick && o.full:
		return usage(errors.New("--quick and --full exclude each other"))
	case o.quick:
		o.bench.Size = bench.Quick
	case o.full:
		o.bench.Size = bench.Full
	}
	if err := o.bench.Check(); err != nil {
		return usage(err)
	}
	o.bench.Say = func(format string, args ...any) { fmt.Fprintf(p.err, format+"\n", args...) }
	if len(o.etcd.endpoints) == 0 {
		server, err := p.startBenchServer(ctx, o)
		if err != nil {
			return err
		}
		defer server.stop()
		o.etcd.endpoints = []string{server.endpoint}
	}
	config, err := o.etcd.clientConfig()
	if err != nil {
		return err
	}
	o.bench.TLS = config.TLS
	client, err := o.etcd.open(ctx, config)
	if err != nil {
		return err
	}
	defer client.Close()
	stop, err := profileTo(o.profile, "client.pprof")
	if err != nil {
		return err
	}
	report, err := bench.Run(ctx, client, o.bench)
	stop()
	if err != nil {
		return unanswered(o.etcd.endpoints, err)
	}
	report.Conductor = version
	return o.write(report)
}

// write writes the report, as asked for.
func (o *benchOptions) write(r *bench.Report) error {
	if o.plot != "" {
		var b strings.Builder
		if err := errors.Join(r.WritePlot(&b), os.WriteFile(o.plot, []byte(b.String()), 0o644)); err != nil {
			return err
		}
	}
	if o.markdown != "" {
		if err := splice(o.markdown, "bench", r.WriteMarkdown); err != nil {
			return err
		}
	}
	if o.out.format.value == "table" {
		return r.WriteText(o.out.w)
	}
	var names []string
	for _, row := range r.Rows {
		names = append(names, fmt.Sprintf("%s/%d/%s/%s", row.Scenario, row.Workers, row.What, strings.ReplaceAll(row.Doing, " ", "-")))
	}
	return o.out.show(view{data: r, names: names})
}

// splice replaces the part of a document that has a name.
func splice(file, name string, write func(io.Writer) error) error {
	old, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var b strings.Builder
	if err := write(&b); err != nil {
		return err
	}
	text, err := bench.Splice(string(old), name, b.String())
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return os.WriteFile(file, []byte(text), 0o644)
}

// profileTo writes a CPU profile until stop is called. Without a directory it does nothing.
func profileTo(dir, name string) (stop func(), err error) {
	if dir == "" {
		return func() {}, nil
	}
	f, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() {
		pprof.StopCPUProfile()
		_ = f.Close()
	}, nil
}
