package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// startGuarded starts an etcd of one member with more flags, at a URL, and waits
// until it answers etcdctl.
func startGuarded(t *testing.T, scheme string, flags ...string) *etcd {
	t.Helper()
	need(t, "etcd", "etcdctl")
	peer := fmt.Sprintf("http://127.0.0.1:%d", freePort(t))
	m := &member{name: "m1", url: fmt.Sprintf("%s://127.0.0.1:%d", scheme, freePort(t)), dir: filepath.Join(t.TempDir(), "m1")}
	m.args = append([]string{
		"--name", "m1", "--data-dir", m.dir, "--log-level", "warn", "--initial-cluster", "m1=" + peer,
		"--listen-client-urls", m.url, "--advertise-client-urls", m.url,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
	}, flags...)
	m.start(t)
	return &etcd{t: t, members: []*member{m}}
}

// someone is a user of etcd, by a password or by certificates.
type someone struct {
	e            *etcd
	user         string // NAME:PASSWORD
	ca, crt, key string
}

// env is what etcdctl, and every verb of ours, has in its environment.
func (s someone) env() []string {
	env := []string{"ETCDCTL_ENDPOINTS=" + s.e.endpoints(), "CONDUCTOR_ETCD_ENDPOINTS=" + s.e.endpoints(), "ETCDCTL_DIAL_TIMEOUT=10s", "ETCDCTL_COMMAND_TIMEOUT=10s"}
	for name, value := range map[string]string{"USER": s.user, "CACERT": s.ca, "CERT": s.crt, "KEY": s.key} {
		if value != "" {
			env = append(env, "ETCDCTL_"+name+"="+value)
		}
	}
	return env
}

// flags are those of serve.
func (s someone) flags() []string {
	flags := []string{"--etcd-endpoints", s.e.endpoints()}
	for name, value := range map[string]string{"user": s.user, "cacert": s.ca, "cert": s.crt, "key": s.key} {
		if value != "" {
			flags = append(flags, "--etcd-"+name, value)
		}
	}
	return flags
}

func (s someone) run(line ...string) result {
	s.e.t.Helper()
	path := conductorProgram.get(s.e.t)
	switch line[0] {
	case "etcdctl":
		path, line = program(s.e.t, "etcdctl"), line[1:]
	case "roles":
		path, line = filepath.Join("deploy", "etcd-roles.sh"), line[1:]
	}
	env := append(s.env(), "PATH="+filepath.Dir(program(s.e.t, "etcdctl"))+":"+os.Getenv("PATH"))
	return run(s.e.t, env, path, line...)
}

// may runs a line that must succeed.
func (s someone) may(line ...string) string {
	s.e.t.Helper()
	r := s.run(line...)
	if r.code != 0 {
		s.e.t.Fatalf("%s: %s", strings.Join(line, " "), r)
	}
	return r.out
}

// mayNot runs a line that etcd must refuse.
func (s someone) mayNot(line ...string) {
	s.e.t.Helper()
	r := s.run(line...)
	if r.code == 0 || !strings.Contains(r.err, "permission denied") && !strings.Contains(r.err, "user name is empty") {
		s.e.t.Errorf("%s: %s, want a refusal", strings.Join(line, " "), r)
	}
}

// TestRoles gives etcd users with passwords, and a conductor, an operator, a viewer
// and two strangers try what they may. Tokens of etcd live for a second, so that
// all who stay need many.
func TestRoles(t *testing.T) {
	t.Parallel()
	e := startGuarded(t, "http", "--auth-token-ttl", "1", "--bcrypt-cost", "4")
	e.members[0].healthy(t)
	passwords := t.TempDir()
	as := func(name string) someone {
		t.Helper()
		if err := os.WriteFile(filepath.Join(passwords, name), []byte("pw-"+name+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return someone{e: e, user: name + ":pw-" + name}
	}
	anybody, admin := someone{e: e}, as("root")
	works, operates, views, nothing := as("c1"), as("olga"), as("vera"), as("nemo")
	users := []string{"roles", "--passwords", passwords, "c1=conductor", "olga=operator", "vera=viewer"}
	if out := anybody.may(users...); !strings.Contains(out, "User vera created") {
		t.Errorf("etcd-roles.sh: %s", out)
	}
	if out := anybody.may(users...); out != "" {
		t.Errorf("a second run changed something: %s", out)
	}
	anybody.may(append(users, "--enable-auth")...)
	if out := admin.may(append(users, "--enable-auth")...); strings.Contains(out, "created") {
		t.Errorf("a fourth run changed something: %s", out)
	}
	admin.may("etcdctl", "user", "add", "nemo:pw-nemo")

	c := serve(t, "c1", append(works.flags(), "--lease-ttl", "20s", "--fake-delay", "power=0.2")...)
	checkWork(t, c)
	before := sessionOf(admin, "c1")
	checkOperator(t, operates, c)
	checkViewer(t, views, e)
	for _, s := range []someone{nothing, anybody} {
		s.mayNot("etcdctl", "get", "--prefix", root)
		s.mayNot("etcdctl", "put", root+"locks/x/exclusive/y", "z")
		s.mayNot("lock", "list")
	}
	if r := (someone{e: e, user: "c1:wrong"}).run("lock", "list"); r.code == 0 || !strings.Contains(r.err, "authentication failed") {
		t.Errorf("with a wrong password: %s", r)
	}

	// etcd forgets all tokens when it starts again.
	e.members[0].kill()
	e.members[0].start(t)
	e.members[0].healthy(t)
	c.ready(20 * time.Second)
	checkWork(t, c)
	checkWoken(t, operates, c)
	if now := sessionOf(admin, "c1"); now != before {
		t.Errorf("the session was %v, and is %v", before, now)
	}
	if out := operates.may("audit"); !cleanAudit.MatchString(out) {
		t.Errorf("audit: %s", out)
	}
	if c.stop() != 0 {
		t.Error("the conductor did not stop in order")
	}
	if out := admin.may("etcdctl", "get", "--prefix", "--keys-only", root+"conductors/"); out != "" {
		t.Errorf("a conductor has left %s", out)
	}
}

// session is the key of a conductor's session: another one has another revision.
type session struct {
	Create int64 `json:"create_revision"`
	Lease  int64
}

func sessionOf(admin someone, host string) session {
	admin.e.t.Helper()
	var answer struct{ Kvs []session }
	out := admin.may("etcdctl", "get", root+"conductors/"+host, "-w", "json")
	if err := json.Unmarshal([]byte(out), &answer); err != nil || len(answer.Kvs) != 1 {
		admin.e.t.Fatalf("the session of %s: %v %s", host, err, out)
	}
	return answer.Kvs[0]
}

// checkWork creates a node, switches it on and off while an idle moment lets tokens
// expire, and deletes it.
func checkWork(t *testing.T, c *conductor) {
	t.Helper()
	if status, text := c.call(http.MethodPost, "/v1/nodes", `{"name":"n1","driver":"fake-hardware"}`); status != http.StatusCreated {
		t.Fatalf("create a node: %d %s", status, text)
	}
	c.node("power", "on", "n1", "--wait=20s")
	renewals := c.metric("conductor_lease_renewals_total{result=\"ok\"}")
	eventually(t, 40*time.Second, "both leases are renewed", func() error {
		if c.metric("conductor_lease_renewals_total{result=\"ok\"}") < renewals+2 {
			return errNotYet
		}
		return nil
	})
	c.node("power", "off", "n1", "--wait=20s")
	c.node("delete", "n1")
	if n := c.metric(`conductor_lease_renewals_total{result="gone"}`); n != 0 {
		t.Errorf("%v sessions were lost", n)
	}
}

// checkOperator has an operator lock a node and break the lock.
func checkOperator(t *testing.T, s someone, c *conductor) {
	t.Helper()
	if status, text := c.call(http.MethodPost, "/v1/nodes", `{"name":"n2","driver":"fake-hardware"}`); status != http.StatusCreated {
		t.Fatalf("create a node: %d %s", status, text)
	}
	path := conductorProgram.get(t)
	holds := start(t, "lock run", s.env(), path, "lock", "run", "--lease-ttl", "8s", "--purpose", "by hand", "n2", "--", "cat")
	eventually(t, 10*time.Second, "the lock shows", func() error {
		if out := s.may("lock", "list"); !strings.Contains(out, "by hand") {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	if status, text := c.call(http.MethodPut, "/v1/nodes/n2/states/power", `{"target":"power on"}`); status != http.StatusConflict {
		t.Errorf("power on beside it: %d %s", status, text)
	}
	if r := s.run("lock", "break", "n2", "--reason", "a test", "--yes", "--even-if-alive", "--revision", holderIn(t, s.may("lock", "show", "-o", "json", "n2"))); r.code != 0 {
		t.Errorf("break: %s", r)
	}
	if code := holds.exit(15 * time.Second); code != 7 {
		t.Errorf("lock run ended with %d, want 7: the lock is lost", code)
	}
	s.may("lock", "run", "--settle", "n2", "--", "true")
	s.mayNot("etcdctl", "put", root+"nodes/x", "{}")
	s.mayNot("etcdctl", "del", "--prefix", root+"conductors/")
}

// checkWoken has the conductor wait for an operator: its watch on the queues must
// have come through the expiry of tokens too, or only a timer wakes it.
func checkWoken(t *testing.T, s someone, c *conductor) {
	t.Helper()
	holds := start(t, "lock run", s.env(), conductorProgram.get(t), "lock", "run", "--purpose", "by hand", "n2", "--", "sh", "-c", "echo holds; read line")
	holds.line(holds.out, "holds", 20*time.Second)
	waits := start(t, "node power on", nil, conductorProgram.get(t), "node", "--server", c.url, "power", "on", "n2", "--wait=30s", "--lock-wait", "30s")
	eventually(t, 20*time.Second, "the conductor waits", func() error {
		if c.metric("conductor_lock_waiters") != 1 {
			return errNotYet
		}
		return nil
	})
	_, _ = fmt.Fprintln(holds.stdin, "done")
	if r := waits.finish(30 * time.Second); r.code != 0 {
		t.Errorf("power on after a wait: %s", r)
	}
	if n := c.metric("conductor_lock_safety_timer_rescues_total"); n != 0 {
		t.Errorf("%v waiters were woken by the timer", n)
	}
}

// checkViewer has a viewer look at locks, and try to change them.
func checkViewer(t *testing.T, s someone, e *etcd) {
	t.Helper()
	watch := start(t, "etcdctl watch", s.env(), program(t, "etcdctl"), "watch", root+"locks-", root+"locks0")
	one := start(t, "etcdctl watch locks/", s.env(), program(t, "etcdctl"), "watch", "--prefix", root+"locks/")
	eventually(t, 20*time.Second, "a viewer sees a lock come and go", func() error {
		// One lock more each time: the watches may begin late.
		admin := someone{e: e, user: "root:pw-root"}
		admin.may("lock", "run", "--purpose", "to be seen", "n2", "--", "true")
		for _, w := range []*process{watch, one} {
			if text := w.out.text(); !strings.Contains(text, "to be seen") || !strings.Contains(text, "DELETE") {
				return fmt.Errorf("%s: %s%s", w.name, text, w.err.text())
			}
		}
		return nil
	})
	watch.kill()
	one.kill()
	if out := s.may("etcdctl", "get", "--prefix", root+"conductors/"); !strings.Contains(out, `"c1"`) {
		t.Errorf("conductors: %s", out)
	}
	for _, line := range [][]string{
		{"put", root + "locks/x/exclusive/y", "z"},
		{"del", "--prefix", root + "locks/"},
		{"get", "--prefix", root + "nodes/"}, // there may be passwords
		{"get", "--prefix", root},
		{"lease", "revoke", strconv.FormatInt(sessionOf(s, "c1").Lease, 16)},
		{"user", "add", "eve:pw"},
		{"auth", "disable"},
	} {
		s.mayNot(append([]string{"etcdctl"}, line...)...)
	}
	s.may("lock", "list")
	s.mayNot("lock", "break", "n2", "--reason", "a test", "--yes", "--revision", "1")
}
