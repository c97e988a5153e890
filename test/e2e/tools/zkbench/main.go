// Zkbench compares node locks with ZooKeeper, the fastest of the safe peers, in work that is equal:
// take a lock, read 8 kB of the node, write 1 kB and give the lock back. It starts a ZooKeeper
// (Debian's package of that name, with a Java to run it) with its data on the disk of -dir, and
// lets it and "conductor bench", which starts an etcd likewise, work in turn.
//
//	zkbench -conductor bin/conductor [-markdown docs/performance.md]
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

type options struct {
	conductor, jar, dir, markdown string
	workers                       []int
	conns, rounds                 int
	slice, warm                   time.Duration
}

// result is one number of workers, as medians over the rounds.
type result struct {
	Workers   int     `json:"workers"`
	ZooKeeper float64 `json:"zookeeper_per_second"`
	P50       float64 `json:"zookeeper_p50_ms"`
	P99       float64 `json:"zookeeper_p99_ms"`
	Locks     float64 `json:"locks_per_second"`
	LocksP50  float64 `json:"locks_p50_ms"`
	LocksP99  float64 `json:"locks_p99_ms"`
	Ratio     float64 `json:"locks_per_zookeeper"` // the median of the rounds' own
}

func main() {
	var o options
	workers := flag.String("workers", "16,64,256", "numbers of workers")
	flag.StringVar(&o.conductor, "conductor", "conductor", "the program to compare with")
	flag.StringVar(&o.jar, "jar", "/usr/share/java/zookeeper.jar", "ZooKeeper")
	flag.StringVar(&o.dir, "dir", os.TempDir(), "where both have their data")
	flag.StringVar(&o.markdown, "markdown", "", "document whose lines between <!-- zookeeper --> and <!-- end of zookeeper --> become the table")
	flag.IntVar(&o.conns, "conns", 16, "connections to ZooKeeper")
	flag.IntVar(&o.rounds, "rounds", 5, "turns of each")
	flag.DurationVar(&o.slice, "slice", 400*time.Millisecond, "how long one turn is")
	flag.DurationVar(&o.warm, "warm", 150*time.Millisecond, "before it")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := o.run(ctx, *workers)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "zkbench:", err)
		os.Exit(1)
	}
}

func (o *options) run(ctx context.Context, workers string) error {
	for text := range strings.SplitSeq(workers, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return fmt.Errorf("-workers %s: want numbers", workers)
		}
		o.workers = append(o.workers, n)
	}
	z, err := startZooKeeper(ctx, o)
	if err != nil {
		return err
	}
	defer z.stop()
	var results []result
	for _, n := range o.workers {
		var rounds []result
		for range o.rounds {
			r, err := o.round(ctx, z, n)
			if err != nil {
				return err
			}
			rounds = append(rounds, r)
		}
		results = append(results, medians(rounds))
	}
	text, err := json.MarshalIndent(results, "", "  ")
	if err != nil {
		return err
	}
	fmt.Println(string(text))
	if o.markdown == "" {
		return nil
	}
	return splice(o.markdown, table(results))
}

// round gives each of the two its turn.
func (o *options) round(ctx context.Context, z *zookeeper, workers int) (result, error) {
	r := result{Workers: workers}
	var err error
	if r.ZooKeeper, r.P50, r.P99, err = z.slice(ctx, o, workers); err != nil {
		return r, err
	}
	cmd := exec.CommandContext(ctx, o.conductor, "bench", "--only", "cycles", "--rounds", "1", "-o", "json",
		"--workers", strconv.Itoa(workers), "--slice", o.slice.String(), "--dir", o.dir)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	out, err := cmd.Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return r, fmt.Errorf("conductor bench: %w", err)
	}
	var report struct {
		Rows []struct {
			What, Doing string
			Rate        float64 `json:"per_second"`
			P50         float64 `json:"p50_ms"`
			P99         float64 `json:"p99_ms"`
		}
	}
	if err := json.Unmarshal(out, &report); err != nil {
		return r, fmt.Errorf("conductor bench: %w", err)
	}
	for _, row := range report.Rows {
		if row.What == "locks" && row.Doing == "with records" {
			r.Locks, r.LocksP50, r.LocksP99 = row.Rate, row.P50, row.P99
		}
	}
	r.Ratio = r.Locks / r.ZooKeeper
	fmt.Fprintf(os.Stderr, "%d workers: ZooKeeper %.0f, node locks %.0f per second\n", workers, r.ZooKeeper, r.Locks)
	return r, nil
}

func medians(rs []result) result {
	over := func(f func(result) float64) float64 {
		var vs []float64
		for _, r := range rs {
			vs = append(vs, f(r))
		}
		slices.Sort(vs)
		return vs[len(vs)/2]
	}
	return result{
		Workers:   rs[0].Workers,
		ZooKeeper: over(func(r result) float64 { return r.ZooKeeper }),
		P50:       over(func(r result) float64 { return r.P50 }),
		P99:       over(func(r result) float64 { return r.P99 }),
		Locks:     over(func(r result) float64 { return r.Locks }),
		LocksP50:  over(func(r result) float64 { return r.LocksP50 }),
		LocksP99:  over(func(r result) float64 { return r.LocksP99 }),
		Ratio:     over(func(r result) float64 { return r.Ratio }),
	}
}

func table(rs []result) string {
	var b strings.Builder
	b.WriteString("| workers | ZooKeeper per second | p50 ms | p99 ms | node locks per second | p50 ms | p99 ms | x ZooKeeper |\n")
	b.WriteString("| --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for _, r := range rs {
		fmt.Fprintf(&b, "| %d | %.0f | %.2f | %.2f | %.0f | %.2f | %.2f | %.2f |\n",
			r.Workers, r.ZooKeeper, r.P50, r.P99, r.Locks, r.LocksP50, r.LocksP99, r.Ratio)
	}
	return b.String()
}

// splice replaces the part of a document that is the table.
func splice(file, table string) error {
	old, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	const begin, end = "<!-- zookeeper -->\n", "<!-- end of zookeeper -->"
	before, rest, ok := strings.Cut(string(old), begin)
	_, after, ended := strings.Cut(rest, end)
	if !ok || !ended {
		return fmt.Errorf("%s has no lines %s and %s", file, strings.TrimSpace(begin), end)
	}
	return os.WriteFile(file, []byte(before+begin+"\n"+table+"\n"+end+after), 0o644)
}
