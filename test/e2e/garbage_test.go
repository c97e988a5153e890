package e2e

import (
	"strings"
	"testing"
	"time"
)

// What somebody wrote by hand, and wrongly, is reported where it matters and
// breaks nothing else.
func TestGarbage(t *testing.T) {
	need(t)
	t.Parallel()
	e := startEtcd(t, 1)
	c := serve(t, "c", "--etcd-endpoints", e.endpoints(), "--takeover=false")
	n1, n2, n3 := e.create("n1"), e.create("n2"), e.create("n3")

	// A record that cannot be read.
	e.etcdctl("put", root+"nodes/"+n1, "{ oops")
	r := command(t, "node", "--server", c.url, "show", n1)
	if r.code == 0 || !strings.Contains(r.err, n1) {
		t.Errorf("node show of a broken record: %s", r)
	}
	t.Logf("node show: %s", strings.TrimSpace(r.err))
	r = command(t, "node", "--server", c.url, "power", "on", n1)
	if r.code == 0 {
		t.Errorf("power on of a broken record: %s", r)
	}
	t.Logf("node power on: %s", strings.TrimSpace(r.err))
	if out := c.node("list"); !strings.Contains(out, n2) || !strings.Contains(out, n3) {
		t.Errorf("node list beside a broken record: %s", out)
	}
	c.node("power", "on", "n2", "--wait=10s")

	// An entry that nobody can have written: it counts by its path, as shared.
	e.etcdctl("put", root+"locks/"+n2+"/shared/x", "nonsense: {[\xff")
	if out := must(t, e.lockCommand("show", n2)...); !strings.Contains(out, "shared") {
		t.Errorf("lock show: %s", out)
	}
	must(t, e.lockCommand("list")...)
	must(t, append(e.lockCommand("run", "--mode", "shared"), n2, "--", "true")...)
	if r := command(t, append(e.lockCommand("run"), n2, "--", "true")...); r.code != 4 {
		t.Errorf("lock run beside it: %s", r)
	}
	if r := command(t, "node", "--server", c.url, "power", "off", "n2"); r.code != 4 {
		t.Errorf("power off beside it: %s", r)
	}
	var revision string
	for line := range strings.Lines(must(t, e.lockCommand("show", n2)...)) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == "revision" {
			revision = f[1]
		}
	}
	must(t, append(e.lockCommand("break", "--yes", "--reason", "garbage", "--revision", revision), n2)...)
	c.node("power", "off", "n2", "--wait=10s")

	// An intent that is none.
	e.etcdctl("put", root+"intents/"+n3, "somebody was here")
	if out := must(t, e.lockCommand("list")...); !strings.Contains(out, "abandoned") {
		t.Errorf("lock list: %s", out)
	}
	if out := must(t, e.lockCommand("show", n3)...); !strings.Contains(out, "abandoned") {
		t.Errorf("lock show: %s", out)
	}
	must(t, append(e.lockCommand("run"), n3, "--", "true")...)

	// Keys where none are expected.
	e.etcdctl("put", root+"locks/stray", "x")
	e.etcdctl("put", root+"conductors/ghost", "x")
	must(t, e.lockCommand("list")...)
	c.node("list")
	if status, text := c.call("GET", "/v1/conductors", ""); status != 200 || !strings.Contains(text, `"c"`) {
		t.Errorf("conductors: %d %s", status, text)
	}
	c.ready(time.Second)
	if c.stop() != 0 {
		t.Error("the conductor did not stop in order")
	}
	e.audit()
}

// The audit that ends the tests is not one that finds nothing whatever happened.
func TestAuditFinds(t *testing.T) {
	need(t)
	t.Parallel()
	e := startEtcd(t, 1)
	h := startHolder(t, e.endpoints(), "h")
	h.lock("n", "exclusive")
	h.tell("write n mine")
	h.hear("wrote", 5*time.Second)
	e.audit()
	e.etcdctl("put", root+"nodes/n", `{"value":"theirs","written_by":{"ticket":"another-1","token":1}}`)
	h.close()
	r := command(t, "audit", "--etcd-endpoints", e.endpoints())
	t.Logf("audit: %s", r.out)
	if r.code != 1 || !strings.Contains(r.out, "unowned") || !strings.Contains(r.out, "another-1") {
		t.Errorf("audit of a history with a wrong write: %s", r)
	}
}

// Who waits for a node that is deleted is told so.
func TestDeletedWhileOthersWait(t *testing.T) {
	need(t)
	t.Parallel()
	e := startEtcd(t, 1)
	c := serve(t, "c", "--etcd-endpoints", e.endpoints())
	id := e.create("n1")
	h := startHolder(t, e.endpoints(), "h")
	h.lock(id, "exclusive")
	del := start(t, "node delete", nil, conductorProgram.get(t), "node", "--server", c.url, "delete", "n1", "--lock-wait", "20s")
	e.queued(id, 2)
	run := e.startRun([]string{"--wait", "20s"}, "n1", "echo", "never")
	e.queued(id, 3)
	power := start(t, "power on", nil, conductorProgram.get(t), "node", "--server", c.url, "power", "on", "n1", "--lock-wait", "20s")
	e.queued(id, 4)
	at := time.Now()
	h.tell("release %s", id)
	if r := del.finish(10 * time.Second); r.code != 0 {
		t.Errorf("delete: %s", r)
	}
	r, p := run.finish(10*time.Second), power.finish(10*time.Second)
	t.Logf("all knew %s after the release. lock run: %d %s; power on: %d %s", time.Since(at).Round(time.Millisecond),
		r.code, strings.TrimSpace(r.err), p.code, strings.TrimSpace(p.err))
	if r.code != 3 || strings.Contains(r.out, "never") {
		t.Errorf("lock run of a deleted node: %s, want exit code 3", r)
	}
	if p.code != 3 {
		t.Errorf("power on of a deleted node: %s, want exit code 3", p)
	}
	for _, dir := range []string{"locks/", "intents/", "nodes/"} {
		if keys := e.keys(dir); len(keys) > 0 {
			t.Errorf("left behind: %v", keys)
		}
	}
	h.close()
	c.stop()
	e.audit()
}
