package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/conductor-metal/conductor/pkg/node"
)

// conductor is a process of "conductor serve".
type conductor struct {
	*process
	host, url string
}

// serve starts a conductor on an API port that it picks itself, and waits until
// it is ready. Without --etcd-endpoints among the flags it has an etcd of its own.
func serve(t *testing.T, host string, flags ...string) *conductor {
	t.Helper()
	return serveAs(t, conductorProgram, nil, host, flags...)
}

// serveAs does so with another build of the program and more in its environment.
func serveAs(t *testing.T, program *built, env []string, host string, flags ...string) *conductor {
	t.Helper()
	flags = append([]string{"serve", "--listen", "127.0.0.1:0", "--host", host, "--data-dir", t.TempDir(), "--log-format", "json"}, flags...)
	c := &conductor{host: host, process: start(t, "conductor "+host, env, program.get(t), flags...)}
	var line struct{ URL string }
	text := c.line(c.err, `"serving"`, 30*time.Second)
	if err := json.Unmarshal([]byte(text), &line); err != nil || line.URL == "" {
		t.Fatalf("conductor %s says %s", host, text)
	}
	c.url = line.URL
	c.ready(10 * time.Second)
	return c
}

// ready waits until the conductor says that it can work.
func (c *conductor) ready(limit time.Duration) time.Duration {
	c.t.Helper()
	return eventually(c.t, limit, "conductor "+c.host+" is ready", func() error {
		_, err := fetch(c.url + "/readyz")
		return err
	})
}

// command runs the program to its end.
func command(t *testing.T, args ...string) result {
	t.Helper()
	return run(t, nil, conductorProgram.get(t), args...)
}

// must runs the program, which must succeed, and returns its output.
func must(t *testing.T, args ...string) string {
	t.Helper()
	r := command(t, args...)
	if r.code != 0 {
		t.Fatalf("conductor %s: %s", strings.Join(args, " "), r)
	}
	return r.out
}

// node runs a verb on nodes with this conductor.
func (c *conductor) node(args ...string) string {
	c.t.Helper()
	return must(c.t, append([]string{"node", "--server", c.url}, args...)...)
}

// powerHere asks this very conductor to do what it would otherwise hand to the one
// that the node prefers, as if another had handed it on.
func (c *conductor) powerHere(id, target string) { c.t.Helper(); c.here(id, "power?wait=20s", target) }

// provisionHere does the same with a verb of provisioning.
func (c *conductor) provisionHere(id, verb string) { c.t.Helper(); c.here(id, "provision", verb) }

func (c *conductor) here(id, what, target string) {
	c.t.Helper()
	body := strings.NewReader(`{"target": "` + target + `"}`)
	r, err := http.NewRequestWithContext(c.t.Context(), http.MethodPut, c.url+"/v1/nodes/"+id+"/states/"+what, body)
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Conductor-Forwarded-By", "test")
	resp, err := (&http.Client{Timeout: time.Minute}).Do(r)
	if err != nil {
		c.t.Fatalf("%s of %s: %v", target, id, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		text, _ := io.ReadAll(resp.Body)
		c.t.Fatalf("%s of %s: %d %s", target, id, resp.StatusCode, text)
	}
}

// call sends a request to the API and returns the answer.
func (c *conductor) call(method, path, body string) (status int, answer string) {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.url+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("X-OpenStack-Ironic-API-Version", "1.78")
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := (&http.Client{Timeout: time.Minute}).Do(r)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	return resp.StatusCode, string(text)
}

// states reads what the API says of a node.
func (c *conductor) states(id string) (s nodeStates) {
	c.t.Helper()
	status, text := c.call(http.MethodGet, "/v1/nodes/"+id, "")
	if status != http.StatusOK || json.Unmarshal([]byte(text), &s) != nil {
		c.t.Fatalf("node %s: %d %s", id, status, text)
	}
	return s
}

type nodeStates struct {
	UUID        string  `json:"uuid"`
	Power       *string `json:"power_state"`
	PowerTarget *string `json:"target_power_state"`
	LastError   *string `json:"last_error"`
	Reservation *string `json:"reservation"`
}

func (s nodeStates) String() string {
	text := func(p *string) string {
		if p == nil {
			return "-"
		}
		return *p
	}
	return fmt.Sprintf("power %s, target %s, reservation %s, last error %s", text(s.Power), text(s.PowerTarget), text(s.Reservation), text(s.LastError))
}

// metric is the sum of the samples of one of the conductor's metrics.
func (c *conductor) metric(start string) float64 {
	c.t.Helper()
	text, err := fetch(c.url + "/metrics")
	if err != nil {
		c.t.Fatal(err)
	}
	v, _ := metricIn(text, start)
	return v
}

// lockCommand is a verb on the locks of an etcd.
func (e *etcd) lockCommand(verb string, args ...string) []string {
	return append([]string{"lock", verb, "--etcd-endpoints", e.endpoints()}, args...)
}

// startRun starts "conductor lock run" with a command.
func (e *etcd) startRun(flags []string, node string, cmd ...string) *process {
	e.t.Helper()
	args := append(append(e.lockCommand("run", flags...), node, "--"), cmd...)
	return start(e.t, "lock run "+strings.Join(cmd, " "), nil, conductorProgram.get(e.t), args...)
}

// create makes a node and returns its id.
func (e *etcd) create(name string) string {
	e.t.Helper()
	n := &node.Node{UUID: node.ID(uuid.NewString()), Name: name, Driver: "fake-hardware", ProvisionState: node.StateManageable}
	if err := node.NewStore(e.client(), root).Create(e.t.Context(), n); err != nil {
		e.t.Fatal(err)
	}
	return n.ID()
}

var cleanAudit = regexp.MustCompile(`\d+ grants.*: no violation`)

// audit has etcd's history checked for every promise that locks make.
func (e *etcd) audit() {
	e.t.Helper()
	out := must(e.t, "audit", "--etcd-endpoints", e.endpoints())
	if !cleanAudit.MatchString(out) {
		e.t.Errorf("the audit says %s", out)
	}
	e.t.Logf("audit: %s", strings.TrimSpace(out))
}
