package api

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// readyTimeout bounds what readiness asks of etcd.
const readyTimeout = 2 * time.Second

// livez is GET /livez: the process answers. It asks etcd nothing, as a restart
// would not bring etcd back.
func livez(_ context.Context, c *call) error {
	c.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = c.w.Write([]byte("ok\n"))
	return nil
}

// readyz is GET /readyz: etcd answers a linearizable read and locks can be taken.
func readyz(ctx context.Context, c *call) error {
	checks := []struct {
		name string
		run  func(context.Context) error
	}{
		{"etcd", func(ctx context.Context) error {
			_, err := c.cfg.Locks.Client.Get(ctx, c.cfg.Locks.Root+"meta/schema", clientv3.WithKeysOnly())
			return err
		}},
		{"session", func(context.Context) error {
			_, err := c.cfg.Sessions.Current()
			return err
		}},
	}
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, fmt.Errorf("no answer within %s: %w", readyTimeout, context.DeadlineExceeded))
	defer cancel()
	var out bytes.Buffer
	status := http.StatusOK
	for _, check := range checks {
		if err := check.run(ctx); err != nil {
			status = http.StatusServiceUnavailable
			fmt.Fprintf(&out, "[-]%s failed: %v\n", check.name, err)
			continue
		}
		fmt.Fprintf(&out, "[+]%s ok\n", check.name)
	}
	text := "ok\n"
	if status != http.StatusOK {
		text = "not ready\n"
	}
	if status != http.StatusOK || c.r.URL.Query().Has("verbose") {
		text = out.String() + text
	}
	c.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	c.w.WriteHeader(status)
	_, _ = c.w.Write([]byte(text))
	return nil
}
