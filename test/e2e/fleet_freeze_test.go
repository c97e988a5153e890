package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/conductor-metal/conductor/pkg/lease"
)

// orderly checks that no version of a record was written with an older token than
// the one before: that a late write of one who lost the lock was refused.
func (f *fleet) orderly() {
	f.t.Helper()
	for _, id := range f.ids {
		versions, _ := f.chronicle.since(id, 0)
		var last int64
		for _, n := range versions {
			if n.WrittenBy == nil {
				continue
			}
			if n.WrittenBy.Token < last {
				f.t.Errorf("node %s: token %d wrote at revision %d, after %d", id, n.WrittenBy.Token, n.Revision, last)
			}
			last = n.WrittenBy.Token
		}
	}
}

// reborn waits until a host has a new session and is ready, and takes work.
func (f *fleet) reborn(host string, after time.Time) time.Duration {
	f.t.Helper()
	f.conductor(host).ready(30 * time.Second)
	took := time.Since(after)
	f.welcome(host)
	eventually(f.t, 30*time.Second, host+" works again", func() error {
		if !f.takes(host, after) {
			return errNotYet
		}
		return nil
	})
	return took
}

// A conductor that is frozen for longer than its session lives, in the middle of
// deployments, finds its nodes in other hands, writes nothing late, and works again.
func TestFleetFreeze(t *testing.T) {
	need(t)
	t.Parallel()
	f := startFleet(t, 1, 50, fleetTTL)
	f.load()
	f.goesOn(50, 60*time.Second)
	c1 := f.conductor("c1")
	f.atWork("c1")
	f.shun("c1", true)
	at := time.Now()
	f.freeze("c1")
	left := f.chronicle.sections("c1")
	gone := f.gone("c1", at, fleetTTL+10*time.Second)
	last, whose := f.inGoodHands(left, at, fleetTTL+30*time.Second)
	if took := last.Sub(at); took > fleetTTL+5*time.Second {
		t.Errorf("the last node, %s, was in good hands after %s", whose, took)
	}
	f.thaw("c1")
	woke := time.Now()
	ready := f.reborn("c1", woke)
	lost, refused := c1.metric("conductor_lock_lost_total"), c1.metric("conductor_fence_rejections_total")
	faultRow(t, "SIGSTOP of a conductor at work for longer than the TTL, 50 nodes, then SIGCONT",
		"the last node is in good hands within TTL + 5 s; no record is written with an older token after a newer one; a new session, new work",
		fmt.Sprintf("TTL %s, at %d nodes: session over after %s, last node %s; after SIGCONT %v locks lost, %v writes refused, ready after %s",
			fleetTTL, len(left), gone.Sub(at).Round(time.Millisecond), last.Sub(at).Round(time.Millisecond), lost, refused, ready.Round(time.Millisecond)))
	if len(left) == 0 || lost == 0 {
		t.Errorf("it was at %d nodes and lost %v locks", len(left), lost)
	}
	f.goesOn(40, 60*time.Second)
	f.settled()
	f.orderly()
}

// freed is when the last lock of some sections ended.
func (f *fleet) freed(left map[string]lease.Intent, after time.Time) (last time.Time) {
	for id, i := range left {
		entry, ok := f.chronicle.first(time.Time{}, func(d dated) bool {
			return strings.HasPrefix(d.key, "locks/"+id+"/exclusive/") && strings.Contains(d.put, `"ticket":"`+i.Ticket+`"`)
		})
		if !ok {
			f.t.Errorf("no entry with the ticket %s of the intent of %s", i.Ticket, id)
			continue
		}
		d, ok := f.chronicle.first(after, func(d dated) bool { return d.key == entry.key && d.put == "" })
		if ok && d.at.After(last) {
			last = d.at
		}
	}
	return last
}

// A conductor that is cut off from etcd, both ways or so that no answer comes, stops
// commanding machines before etcd can end its session, and says that it is not ready.
func TestFleetCutOff(t *testing.T) {
	for name, l := range map[string]loss{"both ways": {requests: true, answers: true}, "no answers": {answers: true}, "no requests": {requests: true}} {
		t.Run(name, func(t *testing.T) {
			need(t)
			t.Parallel()
			f := startFleet(t, 1, 40, fleetTTL)
			way := startProxy(t, f.members[0].url)
			f.ways = map[string][]*proxy{"c1": {way}}
			f.shun("c1", false)
			f.drainOut("c1")
			f.serve("c1")
			f.load()
			f.goesOn(40, 60*time.Second)
			f.atWork("c1")
			f.shun("c1", true)
			at := time.Now()
			way.lose(l)
			left := f.chronicle.sections("c1")
			said, commanded := f.silenced("c1", at, fleetTTL+8*time.Second)
			gone := f.gone("c1", at, fleetTTL+30*time.Second)
			last, whose := f.inGoodHands(left, at, fleetTTL+30*time.Second)
			freed := f.freed(left, at)
			measured := fmt.Sprintf("TTL %s, at %d nodes: last command %s, `/readyz` %s, session over %s, last lock %s, last node %s",
				fleetTTL, len(left), commanded.Sub(at).Round(time.Millisecond), said.Sub(at).Round(time.Millisecond), gone.Sub(at).Round(time.Millisecond), freed.Sub(at).Round(time.Millisecond), last.Sub(at).Round(time.Millisecond))
			if commanded.After(gone) || said.After(gone) {
				t.Errorf("it sent commands until %s and was ready until %s, but its session was over at %s", commanded, said, gone)
			}
			limit := fleetTTL + 5*time.Second
			if !l.requests { // what it sends until it stops to trust, renews its leases
				limit += fleetTTL
			}
			if took := last.Sub(at); took > limit {
				t.Errorf("the last node, %s, was in good hands after %s, want at most %s", whose, took, limit)
			}
			healed := time.Now()
			way.heal()
			ready := f.reborn("c1", healed)
			faultRow(t, "a conductor is cut off from etcd, "+name+", 40 nodes; then healed",
				"no command is sent and `/readyz` is not 200 after etcd may end the session; the last node is in good hands within TTL + 5 s of the last renewal that etcd hears; a new session, ready, works again",
				fmt.Sprintf("%s; ready %s after the network", measured, ready.Round(time.Millisecond)))
			f.goesOn(20, 60*time.Second)
			f.settled()
			f.orderly()
		})
	}
}

// silenced watches a conductor that was cut off, until no command that changes
// something has come to any machine for a while. It returns when the conductor first
// said that it is not ready, and when the last such command came.
func (f *fleet) silenced(host string, from time.Time, limit time.Duration) (said, commanded time.Time) {
	f.t.Helper()
	c := f.conductor(host)
	unready := make(chan time.Time, 1)
	go func() { // ends with its answer: each question is answered within 2 s
		defer close(unready)
		for time.Since(from) < limit {
			_, err := fetch(c.url + "/readyz")
			if err != nil && (strings.Contains(err.Error(), "[-]etcd failed") || strings.Contains(err.Error(), "[-]session failed")) {
				unready <- time.Now()
				return
			}
		}
	}()
	eventually(f.t, limit, host+" commands nobody any more", func() error {
		commanded = from
		for _, cmd := range f.machines.AllCommands() {
			if cmd.Writes && cmd.Actor.Conductor == host && cmd.Start.After(commanded) {
				commanded = cmd.Start
			}
		}
		if quiet := time.Since(commanded); quiet < fleetTTL {
			return fmt.Errorf("the last command came %s ago", quiet)
		}
		return nil
	})
	said, ok := <-unready
	if !ok {
		f.t.Fatalf("%s is ready all the time", host)
	}
	return said, commanded
}
