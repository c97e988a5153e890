package e2e

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/conductor-metal/conductor/pkg/node"
)

// startClockFleet starts a fleet in which the wall clocks of c1 and c2 can be set.
func startClockFleet(t *testing.T, nodes int) *fleet {
	t.Helper()
	f := newFleet(startEtcd(t, 1))
	f.clocks = map[string]*clock{"c1": newClock(t), "c2": newClock(t)}
	f.begin(nodes, fleetTTL, "--check-provision-interval", "500ms", "--deploy-callback-timeout", "30m")
	return f
}

// waiters are nodes whose deployment waits for an agent that will never call, put
// there by the given conductors in turn.
func (f *fleet) waiters(prefix string, hosts ...string) []string {
	f.t.Helper()
	ids := make([]string, 4)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			a := f.ask(http.MethodPost, "/v1/nodes", fmt.Sprintf(`{"name":"%s%d","driver":"fake-hardware","driver_info":{"fake_waits":["deploy.deploy"]}}`, prefix, i))
			if a.status != http.StatusCreated {
				f.t.Errorf("create %s%d: %s", prefix, i, a)
				return
			}
			ids[i] = a.field("uuid")
			for _, w := range []wish{{verb: "manage", state: node.StateManageable}, {verb: "provide", state: node.StateAvailable}} {
				f.want(ids[i], w)
			}
		})
	}
	wg.Wait()
	if f.t.Failed() {
		f.t.FailNow()
	}
	for i, id := range ids {
		f.conductor(hosts[i%len(hosts)]).provisionHere(id, "active")
	}
	for _, id := range ids {
		eventually(f.t, 15*time.Second, "node "+id+" waits for its agent", func() error {
			if n := f.latest(id); n.ProvisionState != node.StateWaitCallBack {
				return fmt.Errorf("%s", told(n))
			}
			return nil
		})
	}
	return ids
}

// lookedAll waits until each conductor has looked for overdue nodes: three of the
// intervals at which they do.
func (f *fleet) lookedAll() { <-time.After(1500 * time.Millisecond) }

// The wall clocks of two of three conductors jump in the midst of load, one an hour
// ahead, the other an hour back, and later to the right time again. No lock is lost,
// nothing fails, no node that waits is given up early, whoever stamped it.
func TestFleetClock(t *testing.T) {
	need(t)
	t.Parallel()
	f := startClockFleet(t, 40)
	f.load()
	waiting := f.waiters("before", "c1", "c2", "c3")
	f.goesOn(30, 60*time.Second)
	jump := func(ahead, back time.Duration) time.Duration {
		f.clocks["c1"].set(ahead)
		f.clocks["c2"].set(back)
		f.conductor("c1").shows(ahead)
		f.conductor("c2").shows(back)
		return f.goesOn(30, 60*time.Second)
	}
	went := jump(time.Hour, -time.Hour)
	waiting = append(waiting, f.waiters("during", "c1", "c2")...)
	stamped := map[time.Duration]int{}
	for _, id := range waiting {
		stamped[time.Until(f.latest(id).ProvisionUpdatedAt).Round(time.Hour)]++
	}
	f.lookedAll()
	back := jump(0, 0)
	f.lookedAll()
	f.goesOn(20, 60*time.Second)
	f.settled()
	f.orderly()
	f.unfailed()
	for _, id := range waiting {
		if n := f.latest(id); n.ProvisionState != node.StateWaitCallBack {
			t.Errorf("node %s was given up early: %s", id, told(n))
		}
	}
	if stamped[time.Hour] == 0 || stamped[-time.Hour] == 0 {
		t.Errorf("the stamps of nodes that wait are wrong by %v: want some by an hour, both ways", stamped)
	}
	f.kept()
	faultRow(t, "wall clocks of two conductors jump by an hour, one ahead, one back, and to the right time again; 40 nodes",
		"no lock is lost, nothing fails, nodes that wait are not given up early, whoever stamped them",
		fmt.Sprintf("30 requests more were done %s after the jump and %s after the way back; %d of %d requests done, %d nodes waited on",
			went.Round(time.Millisecond), back.Round(time.Millisecond), f.done("done"), f.done("accepted"), len(waiting)))
}

// A conductor that is cut off from etcd at the moment at which its wall clock is set
// back by an hour does not trust its session for longer for that.
func TestFleetClockCutOff(t *testing.T) {
	need(t)
	t.Parallel()
	f := startClockFleet(t, 40)
	way := startProxy(t, f.members[0].url)
	f.ways = map[string][]*proxy{"c2": {way}}
	f.shun("c2", false)
	f.drainOut("c2")
	c2 := f.serve("c2")
	f.load()
	f.goesOn(30, 60*time.Second)
	f.atWork("c2")
	f.shun("c2", true)
	at := time.Now()
	f.clocks["c2"].set(-time.Hour)
	way.lose(loss{requests: true, answers: true})
	left := f.chronicle.sections("c2")
	said, commanded := f.silenced("c2", at, fleetTTL+8*time.Second)
	gone := f.gone("c2", at, fleetTTL+30*time.Second) // etcd may take its time
	f.inGoodHands(left, at, fleetTTL+40*time.Second)
	if commanded.After(gone) || said.After(gone) {
		t.Errorf("it sent commands until %s and was ready until %s, but its session was over at %s", commanded, said, gone)
	}
	healed := time.Now()
	way.heal()
	c2.shows(-time.Hour)
	ready := f.reborn("c2", healed)
	f.clocks["c2"].set(0) // an hour ahead, for the new session
	c2.shows(0)
	f.goesOn(20, 60*time.Second)
	f.settled()
	f.orderly()
	faultRow(t, "cut off from etcd, both ways, at the moment at which the wall clock is set back by an hour",
		"no command is sent and `/readyz` is not 200 after etcd may end the session; ready again with the clock as it is",
		fmt.Sprintf("at %d nodes: last command %s, `/readyz` %s, session over %s; healed: ready after %s",
			len(left), commanded.Sub(at).Round(time.Millisecond), said.Sub(at).Round(time.Millisecond), gone.Sub(at).Round(time.Millisecond), ready.Round(time.Millisecond)))
}
