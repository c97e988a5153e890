package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// others are the members besides one.
func (e *etcd) others(m *member) (all []*member) {
	for _, o := range e.members {
		if o != m {
			all = append(all, o)
		}
	}
	return all
}

// led waits until one of some members leads, and says which.
func (e *etcd) led(ms []*member, limit time.Duration) (leader *member) {
	e.t.Helper()
	eventually(e.t, limit, "etcd has a leader", func() error {
		for _, m := range ms {
			ctx, cancel := context.WithTimeout(e.t.Context(), 5*time.Second)
			st, err := e.client().Status(ctx, m.url)
			cancel()
			if err == nil && st.Header.MemberId == st.Leader {
				leader = m
				return nil
			}
		}
		return errNotYet
	})
	return leader
}

// leaderless waits until a member knows of no leader.
func (m *member) leaderless(t *testing.T, limit time.Duration) {
	t.Helper()
	eventually(t, limit, "etcd "+m.name+" knows of no leader", func() error {
		if m.metric(t, "etcd_server_has_leader") != 0 {
			return errNotYet
		}
		return nil
	})
}

// A member of etcd that its peers do not hear, that does not hear them, or both,
// costs a fleet no task and no lock, although clients still reach that member.
func TestFleetPartition(t *testing.T) {
	cuts := []struct {
		name string
		lost loss
	}{
		{"is cut off from its peers, both ways", loss{requests: true, answers: true}},
		{"does not hear its peers", loss{requests: true}},
		{"is not heard by its peers", loss{answers: true}},
	}
	const ttl = 15 * time.Second
	for _, who := range []string{"a follower", "the leader"} {
		t.Run(who, func(t *testing.T) {
			need(t)
			t.Parallel()
			net := startLAN(t, 3)
			f := startFleetOn(net.startEtcd(3), 40, ttl)
			f.load()
			f.goesOn(20, 2*time.Minute)
			measured := make([]string, len(cuts))
			for i, c := range cuts {
				m := f.led(f.members, time.Minute)
				if who == "a follower" {
					m = f.others(m)[0]
				}
				heal := net.cut(m, c.lost)
				at := time.Now()
				m.leaderless(t, time.Minute)
				alone := time.Since(at)
				f.led(f.others(m), time.Minute)
				f.goesOn(20, 2*time.Minute)
				went := time.Since(at)
				heal()
				healed := time.Now()
				m.healthy(t)
				measured[i] = fmt.Sprintf("TTL %s: the member knew after %s, 20 more requests done after %s; member well %s after the network", ttl,
					alone.Round(time.Millisecond), went.Round(time.Millisecond), time.Since(healed).Round(time.Millisecond))
			}
			f.settled()
			f.unfailed()
			f.kept()
			for i, c := range cuts {
				faultRow(t, who+" of etcd "+c.name+", 40 nodes; clients reach it", "nothing fails, no lock is lost", measured[i])
			}
		})
	}
}

// kept checks that no conductor lost a lock.
func (f *fleet) kept() {
	f.t.Helper()
	for _, host := range []string{"c1", "c2", "c3"} {
		if n := f.conductor(host).metric("conductor_lock_lost_total"); n != 0 {
			f.t.Errorf("%s lost %v locks", host, n)
		}
	}
}
