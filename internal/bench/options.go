package bench

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Root is the prefix below which each run has a prefix of its own.
const Root = "/conductor-bench/"

// Size is how much a run does.
type Size int

// A Normal run takes about two minutes, a Quick one half a minute, and a Full one, which also
// stores 100,000 nodes, about six minutes.
const (
	Normal Size = iota
	Quick
	Full
)

// Options say what to measure. The zero value is a normal run of all scenarios.
type Options struct {
	Size    Size
	Only    []string                         // scenarios; none: all
	Rounds  int                              // 0: 5, quick 2
	Slice   time.Duration                    // measured time of one work in one round; 0: 400 ms, quick 200 ms
	Warm    time.Duration                    // before it; 0: 150 ms, quick 50 ms
	Workers []int                            // of the cycles; none: 1, 16, 64 and 256
	Works   []string                         // of the cycles, such as "locks with records"; none: all
	Waiters []int                            // of the handoff; none: 2, 16, 64 and 128
	Nodes   []int                            // that are stored; none: 1,000 and 10,000, full also 100,000
	Held    []int                            // locks held meanwhile; none: 10 and 1,000, full also 10,000
	TLS     *tls.Config                      // for the servers' metrics; nil: as the endpoints say
	Say     func(format string, args ...any) // what is being done; nil: nothing
}

// Check reports what is wrong with the options; Run does so too.
func (o Options) Check() error { return o.fill() }

func (o *Options) fill() error {
	pick := func(quick, normal, full []int) []int { return [][]int{normal, quick, full}[o.Size] }
	def(&o.Workers, pick([]int{1, 64}, []int{1, 16, 64, 256}, []int{1, 16, 64, 256}))
	def(&o.Waiters, pick([]int{64}, []int{2, 16, 64, 128}, []int{2, 16, 64, 128}))
	def(&o.Nodes, pick([]int{1000, 2000}, []int{1000, 10_000}, []int{1000, 10_000, 100_000}))
	def(&o.Held, pick([]int{10, 500}, []int{10, 1000}, []int{10, 1000, 10_000}))
	quick := o.Size == Quick
	if o.Rounds == 0 {
		o.Rounds = map[bool]int{false: 5, true: 2}[quick]
	}
	if o.Slice == 0 {
		o.Slice = map[bool]time.Duration{false: 400 * time.Millisecond, true: 200 * time.Millisecond}[quick]
	}
	if o.Warm == 0 {
		o.Warm = map[bool]time.Duration{false: 150 * time.Millisecond, true: 50 * time.Millisecond}[quick]
	}
	if o.Say == nil {
		o.Say = func(string, ...any) {}
	}
	if o.Rounds < 0 || o.Rounds > 100 || o.Slice < 0 || o.Slice > time.Minute || o.Warm < 0 || o.Warm > time.Minute {
		return fmt.Errorf("%d rounds of %s after %s: want at most 100 rounds of at most a minute", o.Rounds, o.Slice, o.Warm)
	}
	for what, ns := range map[string][]int{"workers": o.Workers, "waiters": o.Waiters} {
		if slices.Min(ns) < 1 || slices.Max(ns) > 1024 {
			return fmt.Errorf("%s %v: want 1 to 1024", what, ns)
		}
	}
	if err := checkSizes("nodes", o.Nodes, sizeWorkers); err != nil { // each worker has its own
		return err
	}
	if err := checkSizes("held locks", o.Held, 1); err != nil {
		return err
	}
	for _, name := range o.Only {
		if !slices.Contains(Scenarios(), name) {
			return fmt.Errorf("there is no scenario %q: want some of %s", name, strings.Join(Scenarios(), ", "))
		}
	}
	return nil
}

func checkSizes(what string, ns []int, least int) error {
	if slices.Min(ns) < least || slices.Max(ns) > 100_000 || !slices.IsSorted(ns) {
		return fmt.Errorf("%s %v: want %d to 100,000, the smallest first", what, ns, least)
	}
	return nil
}

func def(ns *[]int, to []int) {
	if len(*ns) == 0 {
		*ns = to
	}
}

// wants reports whether a scenario is to run.
func (o *Options) wants(name string) bool { return len(o.Only) == 0 || slices.Contains(o.Only, name) }
