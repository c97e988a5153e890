package e2e

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

const root = "/conductor/v1/"

// etcd is a cluster of one or three members, each a process.
type etcd struct {
	t       *testing.T
	members []*member
	watcher *clientv3.Client
}

type member struct {
	*process
	name, url, dir string
	peer           string   // its address for the others
	socket         string   // where it listens to clients, if not at url
	enter          []string // starts a program in its network, if that is not the machine's
	args           []string
}

// startEtcd starts a cluster with a data directory of its own.
func startEtcd(t *testing.T, members int, flags ...string) *etcd {
	t.Helper()
	need(t, "etcd", "etcdctl")
	e := &etcd{t: t}
	for range members {
		e.members = append(e.members, &member{
			url: fmt.Sprintf("http://127.0.0.1:%d", freePort(t)), peer: fmt.Sprintf("http://127.0.0.1:%d", freePort(t)),
		})
	}
	e.start(flags...)
	return e
}

// start starts all members, whose addresses are known.
func (e *etcd) start(flags ...string) {
	t := e.t
	t.Helper()
	dir := t.TempDir()
	var cluster []string
	for i, m := range e.members {
		m.name = fmt.Sprintf("m%d", i+1)
		m.dir = filepath.Join(dir, m.name)
		m.args = append([]string{
			"--name", m.name, "--data-dir", m.dir, "--log-level", "warn",
			"--listen-client-urls", cmp.Or(m.socket, m.url), "--advertise-client-urls", m.url,
			"--listen-peer-urls", m.peer, "--initial-advertise-peer-urls", m.peer,
		}, flags...)
		cluster = append(cluster, m.name+"="+m.peer)
	}
	for _, m := range e.members {
		m.args = append(m.args, "--initial-cluster", strings.Join(cluster, ","))
		m.start(t)
	}
	for _, m := range e.members {
		m.healthy(t)
	}
}

func (m *member) start(t *testing.T) {
	t.Helper()
	line := slices.Concat(m.enter, []string{program(t, "etcd")}, m.args)
	m.process = start(t, "etcd "+m.name, nil, line[0], line[1:]...)
}

func (m *member) healthy(t *testing.T) {
	t.Helper()
	eventually(t, time.Minute, "etcd "+m.name+" is healthy", func() error {
		text, err := fetch(m.url + "/health")
		if err == nil && !strings.Contains(text, `"true"`) {
			err = fmt.Errorf("it says %s", text)
		}
		return err
	})
}

// endpoints are those of all members, as flags want them.
func (e *etcd) endpoints() string {
	var urls []string
	for _, m := range e.members {
		urls = append(urls, m.url)
	}
	return strings.Join(urls, ",")
}

// client is the tests' own, which sees what etcd sees.
func (e *etcd) client() *clientv3.Client {
	e.t.Helper()
	if e.watcher == nil {
		c, err := clientv3.New(clientv3.Config{
			Endpoints: strings.Split(e.endpoints(), ","), DialTimeout: 10 * time.Second, Logger: zap.NewNop(),
		})
		if err != nil {
			e.t.Fatal(err)
		}
		e.t.Cleanup(func() { c.Close() })
		e.watcher = c
	}
	return e.watcher
}

// etcdctl runs etcdctl, which must succeed, and returns what it wrote.
func (e *etcd) etcdctl(args ...string) string {
	e.t.Helper()
	r := run(e.t, e.etcdctlEnv(), program(e.t, "etcdctl"), args...)
	if r.code != 0 {
		e.t.Fatalf("etcdctl %s: %s", strings.Join(args, " "), r)
	}
	return r.out
}

func (e *etcd) etcdctlEnv() []string { return []string{"ETCDCTL_ENDPOINTS=" + e.endpoints()} }

// startEtcdctl starts an etcdctl that stays.
func (e *etcd) startEtcdctl(args ...string) *process {
	e.t.Helper()
	return start(e.t, "etcdctl "+strings.Join(args, " "), e.etcdctlEnv(), program(e.t, "etcdctl"), args...)
}

// keys are the keys below a prefix of ours.
func (e *etcd) keys(prefix string) []string {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(e.t.Context(), 10*time.Second)
	defer cancel()
	r, err := e.client().Get(ctx, root+prefix, clientv3.WithPrefix(), clientv3.WithKeysOnly(), clientv3.WithSerializable())
	if err != nil {
		e.t.Fatal(err)
	}
	var keys []string
	for _, kv := range r.Kvs {
		keys = append(keys, string(kv.Key))
	}
	return keys
}

// none waits until no key is left below a prefix of ours, and returns how long that took.
func (e *etcd) none(prefix string, limit time.Duration) time.Duration {
	e.t.Helper()
	return eventually(e.t, limit, "nothing is left below "+prefix, func() error {
		if keys := e.keys(prefix); len(keys) > 0 {
			return fmt.Errorf("%d keys: %s ...", len(keys), keys[0])
		}
		return nil
	})
}

// queued waits until n entries are in the queue of a name.
func (e *etcd) queued(name string, n int) {
	e.t.Helper()
	eventually(e.t, 15*time.Second, fmt.Sprintf("%d entries for %s", n, name), func() error {
		if keys := e.keys("locks/" + name + "/"); len(keys) != n {
			return fmt.Errorf("there are %v", keys)
		}
		return nil
	})
}

// history returns all events below a prefix of ours, from the first revision on.
func (e *etcd) history(prefix string) []*clientv3.Event {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(e.t.Context(), 20*time.Second)
	defer cancel()
	r, err := e.client().Get(ctx, root, clientv3.WithCountOnly())
	if err != nil {
		e.t.Fatal(err)
	}
	watch := e.client().Watch(ctx, root+prefix, clientv3.WithPrefix(), clientv3.WithRev(1), clientv3.WithPrevKV())
	ask := time.NewTicker(100 * time.Millisecond)
	defer ask.Stop()
	var events []*clientv3.Event
	for {
		select {
		case <-ask.C:
			if err := e.client().RequestProgress(ctx); err != nil {
				e.t.Fatal(err)
			}
		case w, ok := <-watch:
			if !ok || w.Err() != nil {
				e.t.Fatalf("read the history: %v", w.Err())
			}
			if w.IsProgressNotify() && w.Header.Revision >= r.Header.Revision {
				return events
			}
			events = append(events, w.Events...)
		}
	}
}

// metric reads one of etcd's own metrics.
func (m *member) metric(t *testing.T, name string) float64 {
	t.Helper()
	text, err := fetch(m.url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	v, ok := metricIn(text, name)
	if !ok {
		t.Fatalf("etcd has no metric %s", name)
	}
	return v
}

// entries is the number of entries in etcd's raft log.
func (m *member) entries(t *testing.T) float64 {
	t.Helper()
	return m.metric(t, "etcd_server_proposals_committed_total")
}

// metricIn returns the sum of the samples of a metric whose line starts with a text.
func metricIn(exposition, start string) (sum float64, found bool) {
	for lines := bufio.NewScanner(strings.NewReader(exposition)); lines.Scan(); {
		rest, ok := strings.CutPrefix(lines.Text(), start)
		if !ok || rest == "" || !strings.ContainsAny(rest[:1], " {,}") {
			continue
		}
		if v, err := strconv.ParseFloat(rest[strings.LastIndex(rest, " ")+1:], 64); err == nil {
			sum, found = sum+v, true
		}
	}
	return sum, found
}

var quick = &http.Client{Timeout: 5 * time.Second}

// fetch gets a page and returns its text.
func fetch(url string) (string, error) {
	r, err := quick.Get(url)
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err == nil && r.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %s: %s", url, r.Status, text)
	}
	return string(text), err
}
