package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// run is one run.
type run struct {
	client *clientv3.Client
	o      Options
	root   string // of its keys
	meter  *meter
	stored int // nodes
	report *Report
}

type scenario struct {
	name string
	run  func(*run, context.Context) error
}

// scenarios in the order in which they run: the one that stores most comes last.
func scenarios() []scenario {
	return []scenario{
		{"cycles", (*run).cycles},
		{"handoff", (*run).handoffs},
		{"readers", (*run).readers},
		{"convert", (*run).conversions},
		{"held", (*run).held},
		{"nodes", (*run).nodes},
	}
}

// Scenarios answers the names that Options.Only may have.
func Scenarios() []string {
	var names []string
	for _, s := range scenarios() {
		names = append(names, s.name)
	}
	return names
}

// Run measures an etcd. It blocks until all is measured or ctx ends, and then until its keys are
// deleted. An error of etcd ends it, for a figure with errors in it would be none. The report is
// nil then.
func Run(ctx context.Context, client *clientv3.Client, o Options) (_ *Report, err error) {
	if err := o.fill(); err != nil {
		return nil, err
	}
	r := &run{client: client, o: o, root: Root + rand.Text() + "/", meter: newMeter(client, &o)}
	if err := r.begin(ctx); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.clean(context.WithoutCancel(ctx))) }()
	for _, s := range scenarios() {
		if !o.wants(s.name) {
			continue
		}
		if err := s.run(r, ctx); err != nil {
			return nil, fmt.Errorf("scenario %s: %w", s.name, err)
		}
	}
	r.report.Took = time.Since(r.report.Started).Round(time.Second)
	return r.report, nil
}

// begin looks at the etcd.
func (r *run) begin(ctx context.Context) error {
	st, err := r.client.Status(ctx, r.client.Endpoints()[0])
	if err != nil {
		return fmt.Errorf("status of etcd: %w", err)
	}
	if err := r.room(st); err != nil {
		return err
	}
	members, err := r.client.MemberList(ctx)
	if err != nil {
		return fmt.Errorf("members of etcd: %w", err)
	}
	r.report = &Report{
		Etcd: st.Version, Members: len(members.Members), Go: runtime.Version(), CPUs: runtime.NumCPU(),
		Started: time.Now().UTC().Truncate(time.Second), Rounds: r.o.Rounds, Slice: r.o.Slice,
	}
	return nil
}

// room refuses a run that could fill the etcd. It counts what is stored, and 4 MB for each second
// of load that stay in the history.
func (r *run) room(st *clientv3.StatusResponse) error {
	nodes := r.o.pool()
	if r.o.wants("nodes") {
		nodes = max(nodes, slices.Max(r.o.Nodes))
	}
	slices := r.o.Rounds * (9*len(r.o.Workers) + 5*len(r.o.Waiters) + 20)
	need := int64(nodes)*2*nodeBytes + int64(slices)*int64((r.o.Slice+r.o.Warm)/time.Millisecond)*4000
	quota := st.DbSizeQuota
	if quota <= 0 { // etcd before 3.6 does not tell; this is its default
		quota = 2 << 30
	}
	if free := quota - st.DbSizeInUse; need > free*8/10 {
		return fmt.Errorf("this run may write %d MB, and etcd has room for %d of its quota's %d: run less (--quick, --only),"+
			" compact and defragment it, or give it a larger --quota-backend-bytes", need>>20, max(free, 0)>>20, quota>>20)
	}
	return nil
}

// turns gives each work a slice in turn, round after round, and adds a row for each to the report.
func (r *run) turns(ctx context.Context, name string, size int, works []work) ([]*Row, error) {
	r.o.Say("%s%s, %d workers: %d rounds of %d works", name, sized(size), works[len(works)-1].workers, r.o.Rounds, len(works))
	rows := make([][]*Row, len(works))
	for i, w := range works {
		for _, doing := range slices.Concat(w.parts, []string{w.doing})[:max(len(w.parts), 1)] {
			rows[i] = append(rows[i], &Row{Scenario: name, Size: size, Workers: w.workers, What: w.what, Doing: doing})
		}
	}
	for round := range r.o.Rounds {
		for n := range works {
			i := (n + round) % len(works)
			s, err := r.slice(ctx, &works[i])
			if err != nil {
				return nil, fmt.Errorf("%s %s: %w", works[i].what, works[i].doing, err)
			}
			for p, row := range rows[i] {
				row.add(s, p)
			}
			if works[i].after == nil {
				continue
			}
			if err := works[i].after(ctx, rows[i][0], s); err != nil {
				return nil, err
			}
		}
	}
	all := slices.Concat(rows...)
	for _, row := range all {
		row.sum()
		for _, other := range all {
			if rank(other) < rank(row) && (other.Doing == row.Doing || other.Doing == "") {
				row.beside(other.What, other)
			}
		}
	}
	r.report.Rows = append(r.report.Rows, all...)
	return all, nil
}

// rank orders the works: each is compared with those before it.
func rank(r *Row) int {
	return slices.Index([]string{"put", "bare", "mutex", "unbatched", "locks"}, r.What)
}

func sized(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" at %d", n)
}
