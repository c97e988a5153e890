package audit

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/pkg/lease"
)

// auditor judges the history one revision after the other. Only names that a revision touches are
// derived anew.
type auditor struct {
	root   string
	keep   int
	replay *lease.Replay
	report Report

	rev     int64                   // the state is that of this revision
	started bool                    // a first state has been taken
	held    map[string]*holding     // by name
	last    map[string]writer       // the owner that wrote last, by name
	names   map[string]bool         // seen at all
	moved   map[string]*lease.Entry // who owned the node of a record that this revision deletes, by kind and uuid
}

func newAuditor(root string, keep int, replay *lease.Replay) *auditor {
	if keep <= 0 {
		keep = 1000
	}
	return &auditor{
		root: root, keep: keep, replay: replay, report: Report{Root: root, Violations: []Violation{}},
		held: map[string]*holding{}, last: map[string]writer{}, names: map[string]bool{},
	}
}

// begin takes the state at a revision, the first one or the one after a gap. What held a lock
// before a gap and still stands must still hold it.
func (a *auditor) begin(kvs []*mvccpb.KeyValue, rev int64) error {
	replay, err := lease.NewReplay(a.root)
	if err != nil {
		return err
	}
	for _, kv := range kvs {
		replay.Put(kv)
	}
	a.replay, a.rev = replay, rev
	touched := map[string]bool{}
	for name := range a.held {
		touched[name] = true
	}
	for name := range replay.Names() {
		touched[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(touched)) {
		a.settle(name, false)
	}
	if !a.started {
		a.started, a.report.From = true, rev
	}
	return nil
}

// skip notes that the revisions after the present one, up to the given one, cannot be checked.
func (a *auditor) skip(to int64) {
	if a.started && to > a.rev {
		a.report.Gaps = append(a.report.Gaps, Gap{a.rev + 1, to})
		a.rev = to
	}
}

// revision judges all events of one revision: writes by who held the locks before it, locks by
// how they stand after it.
func (a *auditor) revision(evs []*clientv3.Event, rev int64) {
	a.report.Revisions++
	a.rev = rev
	a.moved = nil
	for _, ev := range evs {
		if ev.Type == clientv3.EventTypeDelete {
			a.deleted(ev)
		}
	}
	for _, ev := range evs {
		if ev.Type == clientv3.EventTypePut {
			a.written(ev)
		}
	}
	touched := map[string]bool{}
	for _, ev := range evs {
		if name, ok := a.replay.Apply(ev); ok {
			touched[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(touched)) {
		a.settle(name, true)
	}
}

func (a *auditor) violation(kind Kind, name, detail string, entries ...Entry) {
	a.report.Count++
	if len(a.report.Violations) < a.keep {
		a.report.Violations = append(a.report.Violations, Violation{a.rev, kind, name, detail, entries})
	}
}

func (a *auditor) finish() *Report {
	a.report.To, a.report.Names = a.rev, len(a.names)
	return &a.report
}

// compare says what is wrong if the replayed keys are not those that etcd has.
func (a *auditor) compare(kvs []*mvccpb.KeyValue) error {
	have := map[string]int64{}
	for e := range a.replay.Entries() {
		have[e.Key] = e.Mod
	}
	for _, kv := range kvs {
		// Only a key in a queue can be left out of one: locks/NAME alone is in none.
		if name, _, ok := strings.Cut(strings.TrimPrefix(string(kv.Key), a.replay.Prefix()), "/"); !ok || name == "" {
			continue
		}
		if have[string(kv.Key)] != kv.ModRevision {
			return fmt.Errorf("etcd's watch left out events: %s stands at revision %d, the replay has %d",
				kv.Key, kv.ModRevision, have[string(kv.Key)])
		}
		delete(have, string(kv.Key))
	}
	for key := range have {
		return fmt.Errorf("etcd's watch left out events: %s was deleted", key)
	}
	return nil
}
