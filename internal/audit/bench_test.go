package audit

import (
	"fmt"
	"testing"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/pkg/lease"
)

// BenchmarkRevision is the judgement of one revision, of cycles on a thousand names.
func BenchmarkRevision(b *testing.B) {
	replay, err := lease.NewReplay("/r/")
	if err != nil {
		b.Fatal(err)
	}
	a := newAuditor("/r/", 0, replay)
	rev := int64(1)
	event := func(what mvccpb.Event_EventType, key, value string) *clientv3.Event {
		return &clientv3.Event{Type: what, Kv: &mvccpb.KeyValue{
			Key: []byte("/r/" + key), Value: []byte(value), ModRevision: rev, CreateRevision: rev - 1,
		}}
	}
	for i := 0; b.Loop(); i++ {
		name, ticket := fmt.Sprint("n", i/3%1000), fmt.Sprint("t", i/3)
		rev++
		entry, record := "locks/"+name+"/exclusive/"+ticket, "nodes/"+name
		by := fmt.Sprintf(`{"uuid":"x","driver":"d","properties":{},"written_by":{"ticket":%q,"token":%d}}`, ticket, rev-1)
		switch i % 3 {
		case 0:
			ev := event(clientv3.EventTypePut, entry, `{"holder":"c1","mode":"exclusive","purpose":"p","since":"2026-01-02T03:04:05Z","session":"s"}`)
			ev.Kv.CreateRevision = rev
			a.revision([]*clientv3.Event{ev}, rev)
		case 1:
			a.revision([]*clientv3.Event{event(clientv3.EventTypePut, record, by)}, rev)
		case 2:
			by = fmt.Sprintf(`{"uuid":"x","written_by":{"ticket":%q,"token":%d}}`, ticket, rev-2)
			a.revision([]*clientv3.Event{event(clientv3.EventTypePut, record, by), event(clientv3.EventTypeDelete, entry, "")}, rev)
		}
	}
	if !a.report.OK() {
		b.Fatal(a.report.Violations[0])
	}
}
