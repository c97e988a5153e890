package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// fill fills etcd up to its quota, with keys that are nobody's.
func (e *etcd) fill() {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(e.t.Context(), time.Minute)
	defer cancel()
	junk := strings.Repeat("x", 1<<20)
	for i := 0; ; i++ {
		_, err := e.client().Put(ctx, fmt.Sprint("/junk/", i), junk)
		if errors.Is(err, rpctypes.ErrNoSpace) {
			return
		}
		if ctx.Err() != nil {
			e.t.Fatal(err)
		}
	}
}

// compact forgets all that is older than the present revision.
func (e *etcd) compact(opts ...clientv3.CompactOption) error {
	ctx, cancel := context.WithTimeout(e.t.Context(), time.Minute)
	defer cancel()
	r, err := e.client().Get(ctx, root, clientv3.WithCountOnly())
	if err == nil {
		_, err = e.client().Compact(ctx, r.Header.Revision, opts...)
	}
	if errors.Is(err, rpctypes.ErrCompacted) { // so it was done before
		return nil
	}
	return err
}

// makeRoom does what frees an etcd that was full: it goes on after that.
func (e *etcd) makeRoom() {
	e.t.Helper()
	e.etcdctl("--command-timeout", "1m", "del", "--prefix", "/junk/")
	if err := e.compact(clientv3.WithCompactPhysical()); err != nil {
		e.t.Fatal(err)
	}
	for _, m := range e.members {
		if r := run(e.t, []string{"ETCDCTL_ENDPOINTS=" + m.url}, program(e.t, "etcdctl"), "--command-timeout", "1m", "defrag"); r.code != 0 {
			e.t.Fatalf("defrag %s: %s", m.name, r)
		}
	}
	e.etcdctl("--command-timeout", "1m", "alarm", "disarm")
}

// open counts the open sections of all conductors.
func (f *fleet) open() (n int) {
	for _, host := range []string{"c1", "c2", "c3"} {
		n += len(f.chronicle.sections(host))
	}
	return n
}

// At its quota etcd refuses every write. Conductors say so and what to do, what is
// locked stays locked for longer than a lease lives, and when there is room again it
// goes on: nothing has failed.
func TestFleetFullEtcd(t *testing.T) {
	need(t)
	t.Parallel()
	const ttl = 2 * fleetTTL
	f := startFleetOn(startEtcd(t, 3, "--quota-backend-bytes", "16777216"), 40, ttl)
	f.load()
	f.goesOn(20, 2*time.Minute)
	f.fill()
	full := time.Now()
	const remedy = "etcdctl alarm disarm"
	for _, host := range []string{"c1", "c2", "c3"} {
		c := f.conductor(host)
		eventually(t, 15*time.Second, "/readyz of "+host+" says that etcd is full", func() error {
			if _, err := fetch(c.url + "/readyz"); err == nil || !strings.Contains(err.Error(), "NOSPACE") || !strings.Contains(err.Error(), remedy) {
				return fmt.Errorf("it says %w", err)
			}
			return nil
		})
		status, text := c.call(http.MethodPut, "/v1/nodes/"+f.ids[0]+"/maintenance", "{}")
		if status != http.StatusServiceUnavailable && status != http.StatusConflict || status == http.StatusServiceUnavailable && !strings.Contains(text, remedy) {
			t.Errorf("%s, asked for a lock: %d %s", host, status, text)
		}
		if status, text := c.call(http.MethodGet, "/v1/nodes/"+f.ids[0], ""); status != http.StatusOK {
			t.Errorf("%s, asked for a node: %d %s", host, status, text)
		}
	}
	if r := f.startRun(nil, f.ids[0], "true").finish(time.Minute); r.code != 1 || !strings.Contains(r.err, remedy) {
		t.Errorf("lock run: %s", r)
	}
	<-time.After(time.Until(full.Add(ttl + 2*time.Second)))
	waits := f.open()
	if held := f.keys("locks/"); len(held) < waits || waits == 0 {
		t.Errorf("%d sections are open, %d locks stand", waits, len(held))
	}
	lasted := time.Since(full)
	f.makeRoom()
	room := time.Now()
	for _, host := range []string{"c1", "c2", "c3"} {
		f.conductor(host).ready(time.Minute)
	}
	f.goesOn(20+waits, 2*time.Minute)
	again := time.Since(room)
	f.settled()
	f.unfailed()
	f.kept()
	f.whole()
	faultRow(t, "etcd is full (`--quota-backend-bytes`, alarm NOSPACE), 40 nodes; then compaction, defrag, `alarm disarm`",
		"new locks are refused and the answer, `/readyz` and `lock run` say what to do; reads go on; held locks stand and their writes wait; nothing fails, no lock is lost",
		fmt.Sprintf("TTL %s: full for %s with %d sections open, %d more requests done %s after there was room", ttl,
			lasted.Round(time.Millisecond), waits, 20+waits, again.Round(time.Millisecond)))
}
