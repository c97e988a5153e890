package task_test

import (
	"errors"
	"testing"

	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// What is created without a lock is told in the same transaction too.
func TestCreateTells(t *testing.T) {
	bubble(t, "records", func(w *world) {
		c := w.conductor("c1")
		n := &node.Node{Driver: "fake-hardware", Name: "r1"}
		port := &node.Port{Address: "52:54:00:00:00:01"}
		chassis := &node.Chassis{Description: "left"}
		for i, r := range []node.Record{n, port, chassis} {
			port.NodeUUID = n.UUID
			if err := c.Create(w.Context(), r, "ann"); err != nil {
				w.Fatal(err)
			}
			place := string(n.UUID)
			if r == chassis {
				place = string(node.NoNode)
			}
			all := w.events(place)
			e := all[len(all)-1]
			same(w, "type", e.Type, []string{"baremetal.node.create.end", "baremetal.port.create.end", "baremetal.chassis.create.end"}[i])
			same(w, "object", e.Object, r.ID())
			same(w, "user", e.User, "ann")
			same(w, "publisher", e.Publisher, "c1")
			same(w, "revision", e.rev, w.revision())
			same(w, "told", c.told()[i], e.Notification)
		}
		same(w, "revision of the chassis", chassis.Revision, w.revision())
		same(w, "name", w.events(string(n.UUID))[0].Name, "r1")
	})
	bubble(t, "refused", func(w *world) {
		c, id := w.conductor("c1"), w.node("")
		err := c.Create(w.Context(), &node.Node{UUID: id, Driver: "fake-hardware"}, "")
		if !errors.Is(err, node.ErrDuplicate) {
			w.Errorf("got %v, want a duplicate", err)
		}
		same(w, "events", len(c.told())+len(w.keys("events/")), 0)
	})
	bubble(t, "closed", func(w *world) {
		c := w.conductor("c1")
		w.want(c.Close(w.Context()), nil)
		w.want(c.Create(w.Context(), &node.Node{Driver: "fake-hardware"}, ""), task.ErrClosed)
	})
}
