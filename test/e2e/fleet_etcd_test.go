package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// The death of etcd's leader, and a rolling restart of etcd, cost a fleet no task.
func TestFleetEtcd(t *testing.T) {
	need(t)
	t.Parallel()
	f := startFleet(t, 3, 40, 15*time.Second)
	f.load()
	f.goesOn(40, 60*time.Second)
	leader := f.leader()
	leader.kill()
	took := f.goesOn(20, 60*time.Second)
	leader.start(t)
	leader.healthy(t)
	var restarts []string
	for _, m := range f.members {
		m.stop()
		m.start(t)
		m.healthy(t)
		restarts = append(restarts, f.goesOn(10, 60*time.Second).Round(time.Millisecond).String())
	}
	f.settled()
	f.unfailed()
	f.kept()
	faultRow(t, "etcd's leader is killed, then each of the three members is restarted, 40 nodes", "nothing fails, no lock is lost",
		fmt.Sprintf("TTL 15s: 20 more requests done %s after the kill, 10 more %s after the restarts; %s", took.Round(time.Millisecond), strings.Join(restarts, ", "), f.ends()))
}
