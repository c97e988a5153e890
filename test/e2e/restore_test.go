package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestRestore goes back to a backup of etcd as docs/operations.md says, and leaves
// a conductor running meanwhile, as it says not to.
func TestRestore(t *testing.T) {
	need(t, "etcd", "etcdctl", "etcdutl")
	t.Parallel()
	guideSays(t, "etcdctl snapshot save conductor.db", "--bump-revision 1000000000 --mark-compacted", "--initial-cluster-token")
	e := startEtcd(t, 1)
	m := e.members[0]
	flags := []string{"--etcd-endpoints", e.endpoints(), "--lease-ttl", "4s", "--lock-delay", "100ms"}
	stays := serve(t, "c1", flags...)
	goes := serve(t, "c2", flags...)
	e.create("n1")
	stays.node("power", "on", "n1", "--wait=20s")

	// The backup is taken while somebody holds a lock; what comes after it is lost.
	holds := e.startRun([]string{"--purpose", "by hand"}, "n1", "cat")
	e.queued(stays.states("n1").UUID, 1)
	backup := filepath.Join(t.TempDir(), "conductor.db")
	e.etcdctl("snapshot", "save", backup)
	_ = holds.stdin.Close()
	holds.exit(10 * time.Second)
	e.create("n2")
	stays.node("power", "off", "n1", "--wait=20s")
	goes.stop()

	// A new directory, new names for a new cluster, and revisions that were never used.
	m.kill()
	restored := m.dir + "-restored"
	var peer string
	for i, arg := range m.args {
		switch arg {
		case "--data-dir":
			m.args[i+1] = restored
		case "--initial-advertise-peer-urls":
			peer = m.args[i+1]
		}
	}
	if r := run(t, nil, program(t, "etcdutl"), "snapshot", "restore", backup, "--data-dir", restored, "--name", m.name,
		"--initial-cluster", m.name+"="+peer, "--initial-advertise-peer-urls", peer, "--initial-cluster-token", "conductor-2",
		"--bump-revision", "1000000000", "--mark-compacted"); r.code != 0 {
		t.Fatalf("restore: %s", r)
	}
	m.start(t)
	m.healthy(t)
	stays.line(stays.err, "another cluster id", 30*time.Second)
	stays.ready(30 * time.Second)

	// The lock of the backup ends with its lease; its session is gone.
	c := serve(t, "c2", flags...)
	if out := c.node("list", "-o", "name"); strings.TrimSpace(out) != "n1" {
		t.Errorf("the nodes are %s", out)
	}
	c.node("power", "off", "n1", "--wait=60s", "--lock-wait", "60s")
	if status := stays.states("n1"); status.Power == nil || *status.Power != "power off" {
		t.Errorf("n1: %s", status)
	}
	held := start(t, "lock run", nil, conductorProgram.get(t), append(e.lockCommand("run"), "n1", "--", "sh", "-c", "echo $CONDUCTOR_LOCK_TOKEN")...)
	if r := held.finish(20 * time.Second); r.code != 0 || len(strings.TrimSpace(r.out)) < len("1000000000") {
		t.Errorf("a token after the restore: %s", r)
	}
	e.audit()
}

// guideSays checks lines that docs/operations.md must have.
func guideSays(t *testing.T, lines ...string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		if !strings.Contains(string(text), line) {
			t.Errorf("docs/operations.md does not say %q (any more)", line)
		}
	}
}
