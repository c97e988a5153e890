package e2e

import (
	"fmt"
	"sort"
	"strings"
	"testing"
	"time"
)

// TestChaos lets four processes do with locks whatever can be done with them, each
// behind a network of its own, beside foreign lockers, while holders are stopped
// and killed, networks are slow and cut, and members of etcd stop and die. After
// that nothing may be left, and the audit must find nothing.
// CONDUCTOR_E2E_SEED repeats the order of the faults, CONDUCTOR_E2E_CHAOS is for how
// long there are any.
func TestChaos(t *testing.T) {
	need(t)
	t.Parallel()
	lasts, rng := lasting(t, "CONDUCTOR_E2E_CHAOS", 20*time.Second), seeded(t)
	e := startEtcd(t, 3)
	e.client()

	// churner is a holder and its way to etcd. The host name changes with each start: a
	// killed one's session lives on for a while.
	type churner struct {
		*holder
		way *proxy
	}
	started := 0
	begin := func() *churner {
		started++
		c := &churner{way: startProxy(t, e.members[started%3].url)}
		c.holder = startHolder(t, c.way.url, fmt.Sprint("h", started), "-ttl", shortTTL.String())
		c.tell("churn c 3")
		c.hear("churning", 20*time.Second)
		return c
	}
	var cs []*churner
	for range 4 {
		cs = append(cs, begin())
	}
	faults := map[string]int{}
	var rivals []*process
	pause := func(p *process) {
		p.pause()
		<-time.After(time.Duration(rng.IntN(5000)) * time.Millisecond)
		p.resume()
	}
	for at := time.Now(); time.Since(at) < lasts; {
		c := rng.IntN(len(cs))
		fault := []string{"stop a holder", "kill a holder", "slow a network", "cut a network", "stop a member of etcd", "kill a member of etcd", "rival", "wait"}[rng.IntN(8)]
		faults[fault]++
		switch fault {
		case "stop a holder":
			pause(cs[c].process)
		case "kill a holder":
			cs[c].kill()
			cs[c] = begin()
		case "slow a network":
			cs[c].way.slow(time.Duration(rng.IntN(2000)) * time.Millisecond)
			<-time.After(time.Second)
			cs[c].way.slow(0)
		case "cut a network":
			close(cs[c].way.cut)
			<-time.After(time.Second)
			cs[c].kill()
			cs[c] = begin()
		case "stop a member of etcd":
			pause(e.members[rng.IntN(3)].process)
		case "kill a member of etcd":
			m := e.members[rng.IntN(3)]
			m.kill()
			<-time.After(time.Duration(rng.IntN(2000)) * time.Millisecond)
			m.start(t)
			m.healthy(t)
		case "rival":
			rivals = append(rivals, e.startEtcdctl("lock", "--ttl", "3", fmt.Sprint(root, "locks/c", rng.IntN(3)), "true"))
		case "wait":
			<-time.After(time.Duration(rng.IntN(1000)) * time.Millisecond)
		}
	}

	// The end begins when etcd is well and each session has had time to notice: one that closes
	// while etcd is silent leaves its locks to run out, and says so.
	for _, m := range e.members {
		m.healthy(t)
	}
	<-time.After(shortTTL)
	total := map[string]float64{}
	for _, c := range cs {
		c.tell("stop")
	}
	for _, c := range cs {
		end := c.hear("churned", 30*time.Second)
		if end.Err != "" {
			t.Errorf("%s: close: %s", c.host, end.Err)
		}
		for what, n := range end.Values {
			total[what] += n
			// That etcd was silent for as long as the caller would wait, has no name to ask for.
			if strings.Contains(what, "unexpected") && !strings.Contains(what, "no answer from etcd within the wait") {
				t.Errorf("%s: %v times %s", c.host, n, what)
			}
		}
		c.close()
	}
	for _, r := range rivals {
		r.exit(30 * time.Second) // a rival may fail when etcd does; it only must not stay
	}
	var lines []string
	for what, n := range total {
		lines = append(lines, fmt.Sprintf("%6.0f %s", n, what))
	}
	sort.Strings(lines)
	t.Logf("faults: %v; by those who lived to tell:\n%s", faults, strings.Join(lines, "\n"))
	e.none("locks/", shortTTL+election+5*time.Second)
	e.audit()
}
