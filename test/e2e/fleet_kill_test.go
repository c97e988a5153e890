package e2e

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"
)

// After kill -9 of a conductor with its hands full, all that it was at is in good
// hands within TTL + 5 s, and who waits for one of its locks has it within TTL + 2 s.
func TestFleetKill(t *testing.T) {
	need(t)
	t.Parallel()
	f := startFleet(t, 1, 60, fleetTTL)
	f.load()
	f.goesOn(60, 60*time.Second)
	c1 := f.conductor("c1")
	waiter, at := f.waitsFor(c1)
	f.shun("c1", true)
	c1.kill()
	left := f.chronicle.sections("c1")
	r := waiter.finish(fleetTTL + 20*time.Second) // it leaves the work to others
	nanos, err := strconv.ParseInt(strings.TrimSpace(r.out), 10, 64)
	if err != nil || r.code != 0 || !strings.Contains(r.err, "cut off") {
		t.Fatalf("the next waiter: %s", r)
	}
	got := time.Unix(0, nanos)
	gone := f.gone("c1", at, fleetTTL+10*time.Second)
	last, whose := f.inGoodHands(left, at, fleetTTL+30*time.Second)
	faultRow(t, "`kill -9` of a conductor at work, 60 nodes", "the next waiter holds its lock within TTL + 2 s, the last node is in good hands within TTL + 5 s",
		fmt.Sprintf("TTL %s, at %d nodes: session over after %s, waiter %s, last node %s",
			fleetTTL, len(left), gone.Sub(at).Round(time.Millisecond), got.Sub(at).Round(time.Millisecond), last.Sub(at).Round(time.Millisecond)))
	if took := got.Sub(at); took > fleetTTL+2*time.Second {
		t.Errorf("the next waiter had its lock after %s, want at most %s", took, fleetTTL+2*time.Second)
	}
	if took := last.Sub(at); took > fleetTTL+5*time.Second {
		t.Errorf("the last node, %s, was in good hands after %s, want at most %s", whose, took, fleetTTL+5*time.Second)
	}
	f.serve("c1")
	f.goesOn(60, 60*time.Second)
	f.settled()
}

// waitsFor has another wait for a node that a conductor is at, one of many, and stops that
// one in the midst of it. The waiter tells the time, in nanoseconds, when it has the lock.
func (f *fleet) waitsFor(c *conductor) (waiter *process, stopped time.Time) {
	f.t.Helper()
	eventually(f.t, 40*time.Second, c.host+" is at many nodes, and another waits", func() error {
		sections := f.chronicle.sections(c.host)
		if len(sections) < 8 {
			return errNotYet
		}
		id, since := "", time.Time{}
		for name, i := range sections {
			if i.Since.After(since) {
				id, since = name, i.Since
			}
		}
		waiter = f.startRun([]string{"--lease-ttl", fleetTTL.String(), "--wait", "30s"}, id, "date", "+%s%N")
		waits := func() bool {
			now := f.chronicle.sections(c.host)[id]
			return waiter.running() && now.Ticket == sections[id].Ticket && len(f.keys("locks/"+id+"/")) == 2
		}
		for waiter.running() {
			if !waits() {
				continue
			}
			c.pause()
			stopped = time.Now()
			<-time.After(300 * time.Millisecond) // what it has sent, arrives
			if waits() {
				return nil
			}
			c.resume()
		}
		return errNotYet
	})
	return waiter, stopped
}

// A conductor that is killed and started again and again under its name, on its
// data directory, does no harm and works in the end.
func TestFleetRestartStorm(t *testing.T) {
	need(t)
	t.Parallel()
	f := startFleet(t, 1, 40, fleetTTL)
	f.load()
	f.shun("c1", true)
	f.conductor("c1").kill()
	dir, kills := t.TempDir(), 1
	flags := append([]string{"serve", "--listen", "127.0.0.1:0", "--host", "c1", "--log-format", "json", "--data-dir", dir, "--etcd-endpoints", f.endpoints()}, f.flags...)
	for begin := time.Now(); time.Since(begin) < 15*time.Second; kills++ {
		p := start(t, "conductor c1", nil, conductorProgram.get(t), flags...)
		<-time.After(time.Duration(200+rand.IntN(2500)) * time.Millisecond)
		p.kill()
	}
	at := time.Now()
	f.serve("c1", "--data-dir", dir)
	ready := time.Since(at)
	f.goesOn(40, 60*time.Second)
	f.settled()
	faultRow(t, "a conductor is killed and started again and again for 15 s, on its data directory", "no harm; ready and working after the last start",
		fmt.Sprintf("%d kills, ready %s after the last; %s", kills, ready.Round(time.Millisecond), f.ends()))
}
