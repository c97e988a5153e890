package task_test

import (
	"context"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
)

// change is a key that came or went.
type change struct {
	key  string
	gone bool
	rev  int64
}

// history is all that happened below a prefix since etcd began, in order.
func (w *world) history(prefix string) []change {
	w.Helper()
	end, err := w.admin.Put(w.Context(), lease.DefaultRoot+"end", "")
	if err != nil {
		w.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var all []change
	for r := range w.admin.Watch(ctx, lease.DefaultRoot, clientv3.WithPrefix(), clientv3.WithRev(1)) {
		for _, ev := range r.Events {
			key := strings.TrimPrefix(string(ev.Kv.Key), lease.DefaultRoot)
			if key == "end" && ev.Kv.ModRevision == end.Header.Revision {
				return all
			}
			if strings.HasPrefix(key, prefix) {
				all = append(all, change{key, ev.Type == clientv3.EventTypeDelete, ev.Kv.ModRevision})
			}
		}
	}
	w.Fatal("the watch ended")
	return nil
}

// locked counts how often a node's lock was taken and released.
func (w *world) locked(id node.ID) (taken, released int) {
	w.Helper()
	for _, c := range w.history("locks/" + string(id) + "/") {
		if c.gone {
			released++
		} else {
			taken++
		}
	}
	return taken, released
}

// once fails unless the lock was taken and released once.
func (w *world) once(id node.ID) {
	w.Helper()
	if taken, released := w.locked(id); taken != 1 || released != 1 {
		w.Errorf("the lock of %s was taken %d times and released %d times, want once each", id, taken, released)
	}
	w.free(id)
}
