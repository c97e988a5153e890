package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// prometheus is a server that scrapes as deploy/prometheus says, only more often.
type prometheus struct {
	*process
	url string
}

func startPrometheus(t *testing.T, conductors []*conductor, e *etcd) *prometheus {
	t.Helper()
	config, dir := monitoring(t, "prometheus/prometheus.yml"), t.TempDir()
	replace := func(old, text string) {
		if !strings.Contains(config, old) {
			t.Fatalf("prometheus.yml has no %s (any more)", old)
		}
		config = strings.ReplaceAll(config, old, text)
	}
	replace("_interval: 15s", "_interval: 500ms")
	for i, c := range conductors {
		replace(fmt.Sprintf("conductor%d:6385", i+1), strings.TrimPrefix(c.url, "http://"))
		replace(fmt.Sprintf("etcd%d:2379", i+1), strings.TrimPrefix(e.members[i].url, "http://"))
	}
	for name, text := range map[string]string{"prometheus.yml": config, "rules.yml": monitoring(t, "prometheus/rules.yml")} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	address := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	p := &prometheus{url: "http://" + address, process: start(t, "prometheus", nil, program(t, "prometheus"),
		"--config.file", filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path", filepath.Join(dir, "data"),
		"--web.listen-address", address, "--log.level", "warn")}
	eventually(t, 20*time.Second, "Prometheus is ready", func() error {
		_, err := fetch(p.url + "/-/ready")
		return err
	})
	return p
}

// query returns the values of an instant query.
func (p *prometheus) query(expr string) ([]float64, error) {
	text, err := fetch(p.url + "/api/v1/query?query=" + url.QueryEscape(expr))
	if err != nil {
		return nil, err
	}
	var answer struct {
		Data struct{ Result []struct{ Value [2]any } }
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		return nil, fmt.Errorf("%s: %w", text, err)
	}
	var values []float64
	for _, r := range answer.Data.Result {
		v, err := strconv.ParseFloat(r.Value[1].(string), 64)
		if err != nil {
			return nil, err
		}
		values = append(values, v)
	}
	return values, nil
}

// says waits until a query has one value, and this.
func (p *prometheus) says(want float64, expr string) {
	p.t.Helper()
	eventually(p.t, 20*time.Second, fmt.Sprintf("%s is %v", expr, want), func() error {
		got, err := p.query(expr)
		if err == nil && !slices.Equal(got, []float64{want}) {
			err = fmt.Errorf("it is %v", got)
		}
		return err
	})
}

// alert waits until an alert is there for a conductor.
func (p *prometheus) alert(state, name string, c *conductor) {
	p.t.Helper()
	p.says(1, fmt.Sprintf("count(ALERTS{alertname=%q, alertstate=%q, instance=%q})", name, state, strings.TrimPrefix(c.url, "http://")))
}

// TestPrometheus has a real Prometheus watch three conductors to which things happen.
func TestPrometheus(t *testing.T) {
	need(t, "prometheus", "promtool")
	t.Parallel()
	e := startEtcd(t, 3)
	var cs []*conductor
	for i := range 3 {
		cs = append(cs, serve(t, fmt.Sprintf("c%d", i+1), "--etcd-endpoints", e.endpoints(), "--lease-ttl", "6s",
			"--fake-delay", "power=1", "--lock-delay", "100ms"))
	}
	p := startPrometheus(t, cs, e)
	p.says(3, `sum(up{job="conductor"})`)
	p.says(3, `sum(up{job="conductor-etcd"})`)
	for i := range 6 {
		e.create(fmt.Sprintf("n%d", i))
	}

	// Work: twelve power actions, and one that has to wait for another.
	for i, c := range cs {
		for _, target := range []string{"on", "off"} {
			c.node("power", target, fmt.Sprintf("n%d", 2*i), fmt.Sprintf("n%d", 2*i+1), "--wait=30s")
		}
	}
	p.says(6, `sum(conductor_lock_hold_seconds_count{purpose="power on"})`)
	p.says(12, `sum(conductor_bmc_requests_total{operation="power.Set", result="ok"})`)
	p.says(12, `sum(conductor_background_tasks_total{result="ok"})`)

	// Somebody works by hand; a conductor is refused, one waits, and the lock is broken.
	byHand := e.startRun([]string{"--purpose", "by hand"}, "n0", "cat")
	e.queued(cs[0].states("n0").UUID, 1)
	if status, text := cs[0].call(http.MethodPut, "/v1/nodes/n0/states/power", `{"target":"power on"}`); status != http.StatusConflict {
		t.Errorf("power on of a locked node: %d %s", status, text)
	}
	waits := start(t, "node power on", nil, conductorProgram.get(t), "node", "--server", cs[1].url, "power", "on", "n0", "--wait=30s", "--lock-wait", "30s")
	p.says(1, `sum(conductor_lock_waiters)`)
	must(t, append(e.lockCommand("break", "--reason", "a test", "--yes", "--even-if-alive", "--revision", holderIn(t, must(t, append(e.lockCommand("show", "-o", "json"), "n0")...))), "n0")...)
	if r := waits.finish(30 * time.Second); r.code != 0 {
		t.Errorf("power on after a wait: %s", r)
	}
	byHand.exit(10 * time.Second)
	p.says(0, `sum(conductor_lock_waiters)`)
	p.says(13, `sum(conductor_bmc_requests_total{operation="power.Set", result="ok"})`)

	checkExpressions(t, p)
	checkNames(t, cs, e)
	faults(t, p, cs, e)
	e.audit()
}

// faults stops one conductor for longer than its lease, takes another's lease away,
// and kills the third: the alerts must say so.
func faults(t *testing.T, p *prometheus, cs []*conductor, e *etcd) {
	t.Helper()
	if got, err := p.query(`ALERTS{alertstate="firing"}`); err != nil || len(got) > 0 {
		t.Errorf("before the faults: %d alerts, %v", len(got), err)
	}
	// The freeze begins within a command, and with a lock: at whom the node prefers.
	var n struct{ Conductor string }
	if status, text := cs[0].call(http.MethodGet, "/v1/nodes/n2", ""); status != http.StatusOK || json.Unmarshal([]byte(text), &n) != nil {
		t.Fatalf("n2: %d %s", status, text)
	}
	i := slices.IndexFunc(cs, func(c *conductor) bool { return c.host == n.Conductor })
	if i < 0 {
		t.Fatalf("n2 prefers %q", n.Conductor)
	}
	frozen, revoked, dead := cs[i], cs[(i+1)%3], cs[(i+2)%3]
	if status, text := frozen.call(http.MethodPut, "/v1/nodes/n2/states/power", `{"target":"power on"}`); status != http.StatusAccepted {
		t.Fatalf("power on: %d %s", status, text)
	}
	frozen.pause()
	p.says(2, `sum(up{job="conductor"})`)
	eventually(t, 30*time.Second, "another conductor has the lock, so the lease is over", func() error {
		if r := command(t, "node", "--server", revoked.url, "power", "on", "n2", "--wait=30s", "--lock-wait", "20s"); r.code != 0 {
			return fmt.Errorf("%s", r)
		}
		return nil
	})
	frozen.resume()
	frozen.ready(20 * time.Second)
	p.alert("firing", "ConductorLocksLost", frozen)

	// Somebody revokes the lease of a session.
	r, err := e.client().Get(t.Context(), root+"conductors/"+revoked.host)
	if err != nil || len(r.Kvs) != 1 {
		t.Fatalf("the session of %s: %v, %v", revoked.host, r, err)
	}
	e.etcdctl("lease", "revoke", strconv.FormatInt(r.Kvs[0].Lease, 16))
	p.alert("firing", "ConductorSessionLost", revoked)

	dead.kill()
	p.alert("pending", "ConductorDown", dead)
	p.says(2, `sum(conductor_lease_trust_seconds > bool 0)`)
}

// checkExpressions asks for all that the dashboard shows and the rules compute.
func checkExpressions(t *testing.T, p *prometheus) {
	t.Helper()
	quiet := []string{"ALERTS{", `result!="ok"`, "conductor_nodes{"} // nothing to see is good news, or was not counted yet
	for _, expr := range dashboard(t) {
		eventually(t, 20*time.Second, "the dashboard shows "+expr, func() error { // a rate needs two samples
			got, err := p.query(expr)
			if err == nil && len(got) == 0 && !slices.ContainsFunc(quiet, func(q string) bool { return strings.Contains(expr, q) }) {
				return errNotYet
			}
			return err
		})
	}
	text, err := fetch(p.url + "/api/v1/rules")
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Name, Health, LastError, Type string }
			}
		}
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		t.Fatal(err)
	}
	for _, g := range answer.Data.Groups {
		for _, r := range g.Rules {
			if r.Health != "ok" {
				t.Errorf("rule %s is %s: %s", r.Name, r.Health, r.LastError)
			}
			if r.Type != "recording" {
				continue
			}
			if got, err := p.query(r.Name); err != nil || len(got) == 0 {
				t.Errorf("%s records nothing: %v", r.Name, err)
			}
		}
	}
}

// holderIn reads from "lock show -o json" what "lock break" wants to be told.
func holderIn(t *testing.T, shown string) (revision string) {
	t.Helper()
	var lock struct{ Holders []struct{ Revision int64 } }
	if err := json.Unmarshal([]byte(shown), &lock); err != nil || len(lock.Holders) != 1 {
		t.Fatalf("lock show: %v: %s", err, shown)
	}
	return strconv.FormatInt(lock.Holders[0].Revision, 10)
}
