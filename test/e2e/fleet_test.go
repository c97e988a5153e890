package e2e

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/pkg/node"
)

const (
	fleetTTL = 5 * time.Second // of conductors that are expected to die
)

// fleet is three conductors on an etcd, and nodes that somebody always wants
// something of.
type fleet struct {
	*etcd
	chronicle *chronicle
	machines  *machines
	history   *history
	clocks    map[string]*clock   // of conductors whose wall clocks can be set
	ways      map[string][]*proxy // to each member of etcd, of conductors that can be cut off
	flags     []string
	ids       []string

	mu         sync.Mutex
	conductors map[string]*conductor
	away       map[string]bool // who gets no requests, as behind a balancer that asks for health
	casualties map[string]bool // who was killed, frozen or cut off: work may name them as the cause of its end
	stop       chan struct{}
	drivers    sync.WaitGroup
	counts     map[string]int
	cutOff     map[string]*conductor // who was asked, by the ids of requests whose connection was lost
}

// startFleet starts conductors c1, c2 and c3, and enrolls nodes through their API.
func startFleet(t *testing.T, members, nodes int, ttl time.Duration, flags ...string) *fleet {
	t.Helper()
	return startFleetOn(startEtcd(t, members), nodes, ttl, flags...)
}

// startFleetOn does so on an etcd that is there.
func startFleetOn(e *etcd, nodes int, ttl time.Duration, flags ...string) *fleet {
	e.t.Helper()
	f := newFleet(e)
	f.begin(nodes, ttl, flags...)
	return f
}

// newFleet starts the machines.
func newFleet(e *etcd) *fleet {
	e.t.Helper()
	need(e.t)
	countRun(e.t)
	f := &fleet{
		etcd: e, conductors: map[string]*conductor{}, away: map[string]bool{}, casualties: map[string]bool{},
		stop: make(chan struct{}), counts: map[string]int{}, cutOff: map[string]*conductor{},
	}
	f.chronicle = f.follow()
	f.startMachines()
	f.history = newHistory()
	return f
}

// begin starts the conductors and enrolls the nodes.
func (f *fleet) begin(nodes int, ttl time.Duration, flags ...string) {
	f.t.Helper()
	f.flags = append([]string{
		"--lease-ttl", ttl.String(), "--command-timeout", "6s", "--lock-delay", "2s", "--max-concurrent-clean", "-1",
		"--fake-machines", f.machines.url, "--power-sync-interval", "5s",
	}, flags...)
	var wg sync.WaitGroup
	for _, host := range []string{"c1", "c2", "c3"} {
		wg.Go(func() { f.serve(host) })
	}
	wg.Wait()
	if f.t.Failed() || len(f.conductors) < 3 {
		f.t.FailNow()
	}
	f.t.Cleanup(f.halt)
	f.enroll(nodes)
}

// serve starts a conductor, or starts it again. Later flags win.
func (f *fleet) serve(host string, flags ...string) *conductor {
	f.t.Helper()
	endpoints := []string{f.endpoints()}
	if ways := f.ways[host]; ways != nil { // no other: the flag adds to what it was given before
		endpoints = nil
		for _, way := range ways {
			endpoints = append(endpoints, way.url)
		}
	}
	all := append([]string{"--etcd-endpoints", strings.Join(endpoints, ",")}, f.flags...)
	all = append(all, flags...)
	var c *conductor
	if clock := f.clocks[host]; clock != nil {
		c = serveAs(f.t, clockProgram, clock.env(), host, all...)
	} else {
		c = serve(f.t, host, all...)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.conductors[host] = c
	delete(f.away, host)
	return c
}

func (f *fleet) conductor(host string) *conductor {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.conductors[host]
}

// shun takes a conductor out of the balancer. blame says that its work may fail.
func (f *fleet) shun(host string, blame bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.away[host] = true
	if blame {
		f.casualties[host] = true
	}
}

// welcome puts a conductor back into the balancer.
func (f *fleet) welcome(host string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.away, host)
}

// anyone is a conductor that gets requests.
func (f *fleet) anyone() *conductor {
	f.mu.Lock()
	defer f.mu.Unlock()
	var open []string
	for _, host := range slices.Sorted(maps.Keys(f.conductors)) {
		if !f.away[host] {
			open = append(open, host)
		}
	}
	if len(open) == 0 {
		return nil
	}
	return f.conductors[open[rand.IntN(len(open))]]
}

// enroll creates nodes through the API and makes them available.
func (f *fleet) enroll(n int) {
	f.t.Helper()
	f.ids = make([]string, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			a := f.ask(http.MethodPost, "/v1/nodes", fmt.Sprintf(`{"name":"n%d","driver":"fake-hardware"}`, i))
			if a.status != http.StatusCreated {
				f.t.Errorf("create n%d: %s", i, a)
				return
			}
			f.ids[i] = a.field("uuid")
			for _, w := range []wish{{verb: "manage", state: node.StateManageable}, {verb: "provide", state: node.StateAvailable}} {
				f.want(f.ids[i], w)
			}
		})
	}
	wg.Wait()
	if f.t.Failed() {
		f.t.FailNow()
	}
}

// halt ends the load: each driver waits for the end of what it has asked for.
func (f *fleet) halt() {
	f.mu.Lock()
	select {
	case <-f.stop:
	default:
		close(f.stop)
	}
	f.mu.Unlock()
	f.drivers.Wait()
}

// atFault says whether a text names somebody whose work may fail.
func (f *fleet) atFault(text string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for host := range f.casualties {
		if strings.Contains(text, "conductor "+host+",") {
			return true
		}
	}
	return false
}

// settled ends the load and checks what must hold after every fault: nothing is
// held or left open, no node is in a state in which somebody should work, a node
// that failed says whose fault it is, and etcd's history keeps every promise.
func (f *fleet) settled() {
	f.t.Helper()
	f.halt()
	f.none("intents/", 40*time.Second)
	f.none("locks/", 40*time.Second)
	states := map[node.ProvisionState]int{}
	f.caughtUp()
	for _, id := range f.ids {
		n := f.latest(id)
		states[n.ProvisionState]++
		switch {
		case node.Unstable.Has(n.ProvisionState), n.TargetPowerState != "":
			f.t.Errorf("nobody works on node %s: %s", id, told(n))
		case node.Failure.Has(n.ProvisionState) && !f.atFault(n.LastError):
			f.t.Errorf("node %s failed for no known reason: %s", id, told(n))
		}
	}
	f.mu.Lock()
	counts := maps.Clone(f.counts)
	f.mu.Unlock()
	f.t.Logf("requests: %v; nodes at the end: %v", counts, states)
	if counts["done"] == 0 {
		f.t.Error("there was no load")
	}
	f.apart()
	f.history.check(f.t)
	f.audit()
}

// caughtUp waits until the chronicle knows the newest version of every node.
func (f *fleet) caughtUp() {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), 20*time.Second)
	defer cancel()
	r, err := f.client().Get(ctx, root+"nodes/", append(clientv3.WithLastRev(), clientv3.WithPrefix(), clientv3.WithKeysOnly())...)
	if err != nil || len(r.Kvs) != 1 {
		f.t.Fatalf("the newest node: %v, %v", r, err)
	}
	eventually(f.t, 20*time.Second, "all changes of nodes are known", func() error {
		if f.chronicle.revision() < r.Kvs[0].ModRevision {
			return errNotYet
		}
		return nil
	})
}

// unfailed checks that all that was accepted was done: for faults that must not be seen.
func (f *fleet) unfailed() {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := f.counts["failed"]; n > 0 || len(f.casualties) > 0 {
		f.t.Errorf("%d requests failed, casualties %v", n, f.casualties)
	}
}

// ends tells how the requests ended that were accepted.
func (f *fleet) ends() string {
	return fmt.Sprintf("%d of %d requests done, %d failed with a reason", f.done("done"), f.done("accepted"), f.done("failed"))
}

func (f *fleet) done(what string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counts[what]
}

// goesOn waits until the load has come to n more good ends.
func (f *fleet) goesOn(n int, limit time.Duration) time.Duration {
	f.t.Helper()
	before := f.done("done")
	return eventually(f.t, limit, fmt.Sprintf("%d more requests are done", n), func() error {
		if now := f.done("done"); now < before+n {
			return fmt.Errorf("%d are", now-before)
		}
		return nil
	})
}
