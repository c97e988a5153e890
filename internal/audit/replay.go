package audit

import (
	"math"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/pkg/lease"
)

// Replay checks a history that was read while it happened, so that compaction takes nothing
// from it: all events below root (empty: lease.DefaultRoot), in the order of a watch from the
// first revision on. What a watch left out, it cannot see.
func Replay(root string, events []*clientv3.Event) (*Report, error) {
	replay, err := lease.NewReplay(root)
	if err != nil {
		return nil, err
	}
	root = strings.TrimSuffix(replay.Prefix(), "locks/")
	r := &reader{root: root, to: math.MaxInt64, a: newAuditor(root, 0, replay)}
	if err := r.a.begin(nil, 1); err != nil {
		return nil, err
	}
	r.take(events)
	return r.a.finish(), nil
}
