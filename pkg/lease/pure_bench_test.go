package lease

import (
	"fmt"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// What a lock costs without etcd: the walk of its queue, and its JSON.

// queueOf is n exclusive entries as etcd returns them.
func queueOf(n int) (kvs []*mvccpb.KeyValue) {
	for i := range n {
		t := ticket("015bed531ae0", i)
		kvs = append(kvs, kv(inR.entry("n", Exclusive, t), anEntry().String(), int64(i+1)))
	}
	return kvs
}

func anEntry() value {
	return value{
		Holder: "c1.example", Mode: Exclusive, Purpose: "provision state deploy", Task: "de252065-aaaa-4000-8000-000000000000",
		User: "root@c1", Since: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Session: "015bed531ae0", TTL: "15s",
	}
}

func lengths(b *testing.B, f func(b *testing.B, n int)) {
	for _, n := range []int{1, 16, 128} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			f(b, n)
		})
	}
}

// BenchmarkQueueRead makes a queue of a reply.
func BenchmarkQueueRead(b *testing.B) {
	lengths(b, func(b *testing.B, n int) {
		kvs := queueOf(n)
		for b.Loop() {
			readQueue(inR, "n", kvs, int64(n))
		}
	})
}

// BenchmarkQueueGrant asks a queue who holds the lock, for its last entry.
func BenchmarkQueueGrant(b *testing.B) {
	lengths(b, func(b *testing.B, n int) {
		q := readQueue(inR, "n", queueOf(n), int64(n))
		last := q.Entries[n-1].Ticket
		for b.Loop() {
			q.holds(last)
		}
	})
}

// BenchmarkQueueEvent is what each session does for each entry of the cluster: it follows the put
// and the delete of an entry behind n others, and derives the queue after both.
func BenchmarkQueueEvent(b *testing.B) {
	lengths(b, func(b *testing.B, n int) {
		kvs := queueOf(n + 1)
		r := newReplay(inR)
		for _, kv := range kvs[:n] {
			r.Put(kv)
		}
		for b.Loop() {
			for _, t := range []mvccpb.Event_EventType{clientv3.EventTypePut, clientv3.EventTypeDelete} {
				r.Apply(&clientv3.Event{Type: t, Kv: kvs[n]})
				r.Queue("n", int64(n+1))
			}
		}
	})
}

// BenchmarkEntry writes the JSON of an entry and of its intent.
func BenchmarkEntry(b *testing.B) {
	v := anEntry()
	i := Intent{Holder: v.Holder, Session: v.Session, Ticket: ticket(v.Session, 1), Purpose: v.Purpose, Task: v.Task, Since: v.Since}
	b.ReportAllocs()
	for b.Loop() {
		_ = v.String()
		_ = i.String()
	}
}
