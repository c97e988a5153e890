package bench

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// meter reads what the machines have spent.
type meter struct {
	client *clientv3.Client
	http   http.Client
	blind  bool // the servers do not tell their CPU
}

func newMeter(client *clientv3.Client, o *Options) *meter {
	m := &meter{client: client, http: http.Client{Timeout: 5 * time.Second}}
	if o.TLS != nil {
		m.http.Transport = &http.Transport{TLSClientConfig: o.TLS}
	}
	return m
}

// entries is how many entries etcd's log has had.
func (m *meter) entries(ctx context.Context) (uint64, error) {
	st, err := m.client.Status(ctx, m.client.Endpoints()[0])
	if err != nil {
		return 0, fmt.Errorf("status of etcd: %w", err)
	}
	return st.RaftIndex, nil
}

// own is the CPU time that this process has used.
func own() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // cannot fail
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// servers is the CPU time that all servers have used, 0 if one does not tell.
func (m *meter) servers(ctx context.Context) (all time.Duration) {
	for _, e := range m.client.Endpoints() {
		d, err := m.server(ctx, e)
		if m.blind = m.blind || err != nil; m.blind {
			return 0
		}
		all += d
	}
	return all
}

// server reads the CPU time of one server from its metrics.
func (m *meter) server(ctx context.Context, endpoint string) (time.Duration, error) {
	if !strings.Contains(endpoint, "://") {
		scheme := "http://"
		if m.http.Transport != nil {
			scheme = "https://"
		}
		endpoint = scheme + endpoint
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint+"/metrics", http.NoBody)
	if err != nil {
		return 0, err
	}
	r, err := m.http.Do(req)
	if err != nil {
		return 0, err
	}
	defer r.Body.Close()
	var seconds float64
	found := false
	for lines := bufio.NewScanner(r.Body); lines.Scan(); { // all of them, so that the connection can be used again
		if text, ok := strings.CutPrefix(lines.Text(), "process_cpu_seconds_total "); ok {
			seconds, err = strconv.ParseFloat(text, 64)
			found = err == nil
		}
	}
	if !found {
		return 0, fmt.Errorf("metrics of %s: no process_cpu_seconds_total", endpoint)
	}
	return time.Duration(seconds * float64(time.Second)), nil
}
