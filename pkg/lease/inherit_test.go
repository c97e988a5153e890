package lease_test

import (
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/lease/leasetest"
)

// deaf loses the events that a session should hear of, as far as which says.
func (b *lab) deaf(client string, which func(key string) bool) {
	b.etcd.SetNetwork(client, leasetest.Network{Answer: func(c leasetest.Call) leasetest.Fate {
		r, ok := c.Answer.(*pb.WatchResponse)
		return leasetest.Fate{Lost: ok && len(r.Events) > 0 && which(string(r.Events[0].Kv.Key))}
	}})
}

// A release hands over to who waits in the same session: no event and no read of its own is needed, and
// what comes with the grant is what the release has left.
func TestInherit(t *testing.T) {
	inLab(t, func(b *lab) {
		s, record := b.session("a"), b.root+"nodes/n"
		l := b.acquire(s, lease.Request{Name: "n"})
		first := b.later(s, lease.Request{Name: "n", Wait: lease.Patient, Read: []string{record}})
		b.queued("n", 2)
		second := b.later(s, lease.Request{Name: "n", Wait: lease.Patient, Mode: lease.Shared})
		b.queued("n", 3)
		time.Sleep(time.Second) // the session has seen them
		asked := 0
		b.etcd.SetNetwork("a", leasetest.Network{
			Request: func(c leasetest.Call) leasetest.Fate {
				if c.Method == "Txn" || c.Method == "Range" {
					asked++
				}
				return leasetest.Fate{}
			},
			Answer: func(c leasetest.Call) leasetest.Fate {
				r, ok := c.Answer.(*pb.WatchResponse)
				return leasetest.Fate{Lost: ok && len(r.Events) > 0}
			},
		})
		start, token := time.Now(), l.Token()
		b.want(l.Release(b.Context(), b.put("nodes/n", "left")), nil)
		for _, c := range []<-chan outcome{first, second} {
			o := <-c
			if o.err != nil {
				b.Fatal(o.err)
			}
			if o.lock.Token() <= token {
				b.Errorf("token %d after %d", o.lock.Token(), token)
			}
			token = o.lock.Token()
			if kvs := o.lock.Records().KVs; o.lock.Mode() == lease.Exclusive && (len(kvs) != 1 || !strings.HasPrefix(string(kvs[0].Value), "left")) {
				b.Errorf("came with %v", kvs)
			}
			b.release(o.lock)
		}
		if took := time.Since(start); asked != 3 || took > time.Second {
			b.Errorf("%d requests in %s, want one for each release", asked, took)
		}
	})
}

// Who seems to be next by a stale view, and is not, waits on.
func TestInheritFromAStaleView(t *testing.T) {
	for _, mode := range []lease.Mode{lease.Exclusive, lease.Shared} {
		t.Run(string(mode), func(t *testing.T) {
			inLab(t, func(b *lab) {
				s := b.session("a")
				l := b.acquire(s, lease.Request{Name: "n"})
				time.Sleep(time.Second)
				other := b.session("b")
				b.deaf("a", func(key string) bool { return strings.Contains(key, other.ID()) })
				rival := b.later(other, lease.Request{Name: "n", Mode: mode, Wait: lease.Patient})
				b.queued("n", 2)
				heir := b.later(s, lease.Request{Name: "n", Wait: lease.Patient})
				b.queued("n", 3)
				time.Sleep(time.Second)
				b.release(l)
				o := <-rival
				if o.err != nil {
					b.Fatal(o.err)
				}
				select {
				case <-heir:
					b.Fatal("two hold it")
				case <-time.After(5 * time.Second):
				}
				b.deaf("a", func(string) bool { return false })
				b.release(o.lock)
				b.want((<-heir).err, nil)
			})
		})
	}
}

// A reader that goes hands nothing over while another one stays.
func TestInheritBehindAReader(t *testing.T) {
	contract(t, func(w *world) {
		s := w.open("a")
		stays := w.acquire(s, lease.Request{Name: "n", Mode: lease.Shared})
		goes := w.acquire(s, lease.Request{Name: "n", Mode: lease.Shared})
		heir := w.later(s, lease.Request{Name: "n", Wait: lease.Patient})
		w.queued("n", 3)
		w.release(goes)
		w.queued("n", 2)
		third := w.acquire(w.open("b"), lease.Request{Name: "other"}) // a while passes
		w.release(third)
		select {
		case o := <-heir:
			w.Fatalf("held beside a reader: %v", o)
		default:
		}
		w.release(stays)
		o := <-heir
		w.want(o.err, nil)
		w.release(o.lock)
	})
}
