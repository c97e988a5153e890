package task_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// event is a stored notification.
type event struct {
	task.Notification
	rev int64
	raw string
}

// events are those stored below events/<name>/, in order of time.
func (w *world) events(name string) (all []event) {
	w.Helper()
	r, err := w.admin.Get(context.Background(), lease.DefaultRoot+"events/"+name+"/", clientv3.WithPrefix())
	if err != nil {
		w.Fatal(err)
	}
	for _, kv := range r.Kvs {
		e := event{rev: kv.ModRevision, raw: string(kv.Value)}
		if err := json.Unmarshal(kv.Value, &e.Notification); err != nil {
			w.Fatalf("%s: %v", kv.Key, err)
		}
		all = append(all, e)
	}
	return all
}

// revision is that of etcd now.
func (w *world) revision() int64 {
	w.Helper()
	r, err := w.admin.Get(context.Background(), lease.DefaultRoot, clientv3.WithCountOnly())
	if err != nil {
		w.Fatal(err)
	}
	return r.Header.Revision
}

// modified is the revision of a key.
func (w *world) modified(key string) int64 {
	w.Helper()
	r, err := w.admin.Get(context.Background(), lease.DefaultRoot+key)
	if err != nil || len(r.Kvs) != 1 {
		w.Fatalf("%s: %v, %v", key, r, err)
	}
	return r.Kvs[0].ModRevision
}

// What is told stands at the very revision of the write that it is about, which costs etcd nothing
// extra, and the subscriber is told what is stored.
func TestTellGoesWithTheWrite(t *testing.T) {
	port := &node.Port{UUID: "3f2504e0-4f89-41d3-9a0c-0305e82c3301", Address: "52:54:00:00:00:01"}
	extra := func(x *task.Exclusive) { x.Node().Extra = node.Object{"token": x.Token()} }
	for _, to := range []struct {
		name   string
		writes func(ctx context.Context, x *task.Exclusive) error
		record string // of which revision the event must be; empty: the node's
		gone   bool   // the record is deleted by the write
	}{
		{name: "save", writes: func(ctx context.Context, x *task.Exclusive) error {
			extra(x)
			return x.Save(ctx)
		}},
		{name: "release", writes: func(ctx context.Context, x *task.Exclusive) error {
			extra(x)
			x.SaveAtEnd()
			return nil
		}},
		{name: "downgrade", writes: func(ctx context.Context, x *task.Exclusive) error {
			extra(x)
			x.SaveAtEnd()
			return x.Downgrade(ctx, looks)
		}},
		{name: "transition", writes: func(ctx context.Context, x *task.Exclusive) error {
			return x.ProcessEvent(ctx, node.EventManage, task.Transition{})
		}},
		{name: "work", writes: func(ctx context.Context, x *task.Exclusive) error {
			x.SpawnAfter("work", func(ctx context.Context, x *task.Exclusive) error {
				extra(x)
				return x.Save(ctx)
			})
			return nil
		}},
		{name: "create", record: "ports/", writes: func(ctx context.Context, x *task.Exclusive) error {
			p := *port
			p.UUID, p.Address, p.NodeUUID = "", fmt.Sprintf("52:54:00:00:01:%02x", len(x.Records().Ports)), x.Node().UUID
			return x.Create(ctx, &p)
		}},
		{name: "delete", gone: true, writes: func(ctx context.Context, x *task.Exclusive) error {
			return x.Delete(ctx, x.Records().Ports[0])
		}},
	} {
		bubble(t, to.name, func(w *world) {
			c, id := w.conductor("c1"), w.node(node.StateAvailable)
			if to.gone {
				p := *port
				p.NodeUUID = id
				w.create(&p)
			}
			run := func(tell bool) (revisions int64) {
				start := w.revision()
				c.must(id, func(ctx context.Context, x *task.Exclusive) error {
					if tell {
						x.Tell(task.Notification{Type: task.PowerSet + task.Start, ToPower: node.PowerOn})
						x.Tell(task.Notification{Type: task.PowerSet + task.Failure, ToPower: node.PowerOn})
					}
					return to.writes(ctx, x)
				})
				synctest.Wait()
				return w.revision() - start
			}
			told := run(true)
			var es []event
			for _, e := range w.events(string(id)) {
				if strings.HasPrefix(e.Type, task.PowerSet) { // not that of the transition or the port
					es = append(es, e)
				}
			}
			if len(es) != 2 {
				w.Fatalf("%d events stored, want 2", len(es))
			}
			same(w, "revisions of both", es[0].rev, es[1].rev)
			switch {
			case to.record != "":
				same(w, "revision of the record", w.modified(w.keys(to.record)[0]), es[0].rev)
			case !to.gone:
				same(w, "revision of the node", w.stored(id).Revision, es[0].rev)
			}
			same(w, "level of a start", es[0].Level, task.LevelInfo)
			same(w, "level of an error", es[1].Level, task.LevelError)
			same(w, "publisher", es[0].Publisher, "c1")
			same(w, "purpose", es[0].Purpose, "try")
			same(w, "state", es[0].State, w.stored(id).ProvisionState)
			heard := c.told()
			for i, e := range es {
				same(w, "told", heard[i], e.Notification)
				same(w, "lines", strings.Count(e.raw, "\n"), 0)
			}
			if to.name == "transition" || to.gone {
				return // it cannot be done twice
			}
			same(w, "revisions without and with events", run(false), told)
		})
	}
}

func TestTellIsDroppedWithTheWrite(t *testing.T) {
	tell := func(x *task.Exclusive) { x.Tell(task.Notification{Type: task.MaintenanceSet + task.End}) }
	bubble(t, "nothing_written", func(w *world) {
		c, id := w.conductor("c1"), w.node(node.StateAvailable)
		c.must(id, func(_ context.Context, x *task.Exclusive) error { tell(x); return nil })
		same(w, "events", len(c.told())+len(w.keys("events/")), 0)
	})
	bubble(t, "body_failed", func(w *world) {
		c, id := w.conductor("c1"), w.node(node.StateAvailable)
		w.want(c.try(id, func(_ context.Context, x *task.Exclusive) error { tell(x); return errBody }), errBody)
		same(w, "events", len(c.told())+len(w.keys("events/")), 0)
	})
	bubble(t, "changed_behind", func(w *world) {
		c, id := w.conductor("c1"), w.node(node.StateAvailable)
		err := c.try(id, func(ctx context.Context, x *task.Exclusive) error {
			key := "nodes/" + string(id)
			r, err := w.admin.Get(ctx, lease.DefaultRoot+key)
			if err != nil {
				return err
			}
			w.put(key, string(r.Kvs[0].Value))
			tell(x)
			x.Node().Extra = node.Object{"a": "b"}
			stale := x.Save(ctx)
			if again := x.Save(ctx); !errors.Is(again, node.ErrStale) {
				w.Errorf("saved again: %v", again)
			}
			return stale
		})
		w.want(err, node.ErrStale)
		same(w, "events", len(c.told())+len(w.keys("events/")), 0)
	})
	bubble(t, "invalid", func(w *world) {
		c, id := w.conductor("c1"), w.node(node.StateAvailable)
		w.want(c.try(id, func(_ context.Context, x *task.Exclusive) error {
			tell(x)
			x.Node().Name = "not a name"
			x.SaveAtEnd()
			return nil
		}), node.ErrInvalid)
		same(w, "events", len(c.told())+len(w.keys("events/")), 0)
	})
	bubble(t, "work_panicked", func(w *world) {
		c, id := w.conductor("c1"), w.node(node.StateAvailable)
		c.must(id, func(_ context.Context, x *task.Exclusive) error {
			x.SpawnAfter("work", func(_ context.Context, x *task.Exclusive) error {
				tell(x)
				x.SaveAtEnd()
				panic("no")
			})
			return nil
		})
		synctest.Wait()
		if got := w.stored(id).LastError; !strings.Contains(got, "panic: no") { // which is written in the end
			w.Errorf("last error %q", got)
		}
		same(w, "events", len(c.told())+len(w.keys("events/")), 0)
	})
	bubble(t, "illegal_event", func(w *world) {
		c, id := w.conductor("c1"), w.node(node.StateAvailable)
		c.must(id, func(ctx context.Context, x *task.Exclusive) error {
			w.want(x.ProcessEvent(ctx, node.EventDone, task.Transition{}), node.ErrInvalidState)
			return nil
		})
		same(w, "events", len(c.told())+len(w.keys("events/")), 0)
	})
	bubble(t, "lost", func(w *world) {
		c, id := w.conductor("c1"), w.node(node.StateAvailable)
		w.want(c.try(id, func(ctx context.Context, x *task.Exclusive) error {
			if _, err := w.admin.Delete(ctx, w.queue(id).Entries[0].Key); err != nil {
				return err
			}
			tell(x)
			x.Node().Extra = node.Object{"a": "b"}
			return x.Save(ctx)
		}), lease.ErrLost)
		for _, e := range w.events(string(id)) {
			if e.Type != task.LockLost {
				w.Errorf("stored: %s", e.raw)
			}
		}
	})
}

// A notification alone is written too: the node stays as it is.
func TestTellAlone(t *testing.T) {
	bubble(t, "save", func(w *world) {
		c, id := w.conductor("c1"), w.node(node.StateAvailable)
		was := w.stored(id).Revision
		c.must(id, func(ctx context.Context, x *task.Exclusive) error {
			x.Tell(task.Notification{Type: task.PowerSet + task.End, ToPower: node.PowerOn})
			return x.Save(ctx)
		})
		same(w, "revision of the node", w.stored(id).Revision, was)
		same(w, "told", len(c.told()), 1)
		same(w, "stored", len(w.events(string(id))), 1)
	})
	bubble(t, "release", func(w *world) {
		c, id := w.conductor("c1"), w.node(node.StateAvailable)
		c.must(id, func(_ context.Context, x *task.Exclusive) error {
			x.Tell(task.Notification{Type: task.PowerSet + task.End, ToPower: node.PowerOn})
			x.SaveAtEnd()
			return nil
		})
		same(w, "told", len(c.told()), 1)
		same(w, "stored", len(w.events(string(id))), 1)
	})
	bubble(t, "too_many", func(w *world) {
		c, id := w.conductor("c1"), w.node(node.StateAvailable)
		c.must(id, func(ctx context.Context, x *task.Exclusive) error {
			for range 1000 {
				x.Tell(task.Notification{Type: task.PowerSet + task.End, ToPower: node.PowerOn})
			}
			return x.Save(ctx)
		})
		same(w, "stored", len(w.events(string(id))), 32)
		same(w, "logged", c.logged("notification dropped"), true)
	})
}
