package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// seeded is the order of random faults: that of CONDUCTOR_E2E_SEED, or a new one. It
// is told, so that it can be repeated.
func seeded(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("CONDUCTOR_E2E_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("CONDUCTOR_E2E_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 1))
}

// lasting is for how long there are faults.
func lasting(t *testing.T, variable string, usual time.Duration) time.Duration {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return usual
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return d
}

// strike is one fault: who or what meets it, and for how long it lasts.
type strike struct {
	fault string
	host  string
	etcd  int // the member
	lost  loss
	lasts time.Duration
}

var allFaults = []string{"kill", "freeze", "cut off", "drain", "etcd stopped", "etcd killed", "compaction"}

// draw takes each fault once before it takes one again, and the same numbers for
// each, so that a seed gives the same order whatever the faults then meet.
func draw(rng *rand.Rand, bag *[]int) strike {
	if len(*bag) == 0 {
		*bag = rng.Perm(len(allFaults))
	}
	fault := allFaults[(*bag)[0]]
	*bag = (*bag)[1:]
	s := strike{
		fault: fault, host: fmt.Sprint("c", 1+rng.IntN(3)), etcd: rng.IntN(3),
		lasts: time.Duration(500+rng.IntN(8000)) * time.Millisecond,
	}
	s.lost = []loss{{requests: true, answers: true}, {requests: true}, {answers: true}}[rng.IntN(3)]
	return s
}

func (s strike) String() string {
	switch s.fault {
	case "kill", "drain":
		return s.fault + " " + s.host
	case "etcd stopped", "etcd killed":
		return fmt.Sprintf("%s m%d", s.fault, s.etcd+1)
	case "compaction":
		return s.fault
	}
	return fmt.Sprintf("%s %s for %s", s.fault, s.host, s.lasts)
}

// suffer has the fleet meet a fault, and returns when it is over.
func (f *fleet) suffer(s strike) {
	f.t.Helper()
	at := time.Now()
	c, m := f.conductor(s.host), f.members[s.etcd]
	switch s.fault {
	case "kill":
		f.shun(s.host, true)
		c.kill()
		f.gone(s.host, at, fleetTTL+30*time.Second)
		f.serve(s.host)
	case "freeze":
		f.shun(s.host, true)
		f.freeze(s.host)
		<-time.After(s.lasts)
		f.thaw(s.host)
		f.back(s.host)
	case "cut off":
		f.shun(s.host, true)
		for _, way := range f.ways[s.host] {
			way.lose(s.lost)
		}
		<-time.After(s.lasts)
		for _, way := range f.ways[s.host] {
			way.heal()
		}
		f.back(s.host)
	case "drain":
		must(f.t, "member", "--server", c.url, "drain", s.host)
		f.idle(s.host, 60*time.Second)
		must(f.t, "member", "--server", c.url, "undrain", s.host)
	case "etcd stopped", "etcd killed":
		if s.fault == "etcd killed" {
			m.kill()
		} else {
			m.stop()
		}
		m.start(f.t)
		m.healthy(f.t)
	case "compaction":
		f.forget()
	}
}

// back waits until a conductor is ready again, and gives it requests.
func (f *fleet) back(host string) {
	f.t.Helper()
	f.conductor(host).ready(60 * time.Second)
	f.welcome(host)
}

// forget takes from etcd what of its history has been seen here.
func (f *fleet) forget() {
	f.t.Helper()
	rev := f.chronicle.revision()
	if _, err := f.client().Compact(f.t.Context(), rev); err != nil {
		f.t.Errorf("compact to revision %d: %v", rev, err)
	}
}

// TestFleetSoak has a fleet at work meet random faults, one after the other.
// CONDUCTOR_E2E_SEED repeats their order, CONDUCTOR_E2E_SOAK is for how long there
// are any, as 20m.
func TestFleetSoak(t *testing.T) {
	need(t)
	t.Parallel()
	lasts, rng := lasting(t, "CONDUCTOR_E2E_SOAK", 20*time.Second), seeded(t)
	f := newFleet(startEtcd(t, 3))
	f.ways = map[string][]*proxy{}
	for _, host := range []string{"c1", "c2", "c3"} {
		f.casualties[host] = true // sooner or later
		for _, m := range f.members {
			f.ways[host] = append(f.ways[host], startProxy(t, m.url))
		}
	}
	f.begin(60, fleetTTL)
	f.load()
	f.goesOn(30, 60*time.Second)
	met := map[string]int{}
	begun, bag := time.Now(), []int(nil)
	for n := 1; time.Since(begun) < lasts; n++ {
		s := draw(rng, &bag)
		t.Logf("%s: fault %d: %s", time.Since(begun).Round(time.Second), n, s)
		met[s.fault]++
		f.suffer(s)
		f.goesOn(10, 60*time.Second)
	}
	f.goesOn(30, 60*time.Second)
	f.settled()
	f.orderly()
	f.whole()
	var all []string
	for _, fault := range allFaults {
		if met[fault] > 0 {
			all = append(all, fmt.Sprintf("%d %s", met[fault], fault))
		}
	}
	faultRow(t, "random faults, one after the other, 60 nodes, three conductors, three etcds", "each of the above, and after each fault the work goes on",
		fmt.Sprintf("in %s: %s; %s", lasts, strings.Join(all, ", "), f.ends()))
}
