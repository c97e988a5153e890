package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
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

var errFull = errors.New("etcd is full (alarm NOSPACE): compact it, run etcdctl defrag for each member, then etcdctl alarm disarm")

// hasSpace asks one member of etcd whether any of them is at its quota. It costs etcd
// no entry in its log, as a list of alarms would. If it cannot tell, there is space; if it
// does not answer in time, it is as good as away.
func hasSpace(ctx context.Context, c *clientv3.Client) error {
	conn := c.ActiveConnection()
	if conn == nil { // an etcd in memory
		return nil
	}
	r, err := pb.NewMaintenanceClient(conn).Status(ctx, &pb.StatusRequest{})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err == nil && slices.ContainsFunc(r.Errors, func(text string) bool { return strings.Contains(text, pb.AlarmType_NOSPACE.String()) }) {
		return errFull
	}
	return nil
}

// readyz is GET /readyz: etcd answers a linearizable read and has space, locks can be
// taken, and new work is.
func readyz(ctx context.Context, c *call) error {
	checks := []struct {
		name string
		run  func(context.Context) error
	}{
		{"etcd", func(ctx context.Context) error {
			_, err := c.cfg.Locks.Client.Get(ctx, c.cfg.Locks.Root+"meta/schema", clientv3.WithKeysOnly())
			if err != nil {
				return err
			}
			return hasSpace(ctx, c.cfg.Locks.Client)
		}},
		{"session", func(context.Context) error {
			_, err := c.cfg.Sessions.Current()
			return err
		}},
		{"work", func(context.Context) error {
			if c.cfg.Cluster.draining() {
				return errDraining
			}
			return nil
		}},
	}
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, fmt.Errorf("no answer within %s: %w", readyTimeout, context.DeadlineExceeded))
	defer cancel()
	var out bytes.Buffer
	var failed []string
	status := http.StatusOK
	for _, check := range checks {
		if err := check.run(ctx); err != nil {
			status = http.StatusServiceUnavailable
			failed = append(failed, check.name)
			fmt.Fprintf(&out, "[-]%s failed: %v\n", check.name, err)
			continue
		}
		fmt.Fprintf(&out, "[+]%s ok\n", check.name)
	}
	c.noteReady(ctx, strings.Join(failed, ", "), out.String())
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

// noteReady logs what fails when that changes, not with each probe.
func (a *api) noteReady(ctx context.Context, failed, checks string) {
	was, _ := a.unready.Swap(failed).(string)
	switch {
	case failed == was:
	case failed == "":
		a.cfg.Logger.InfoContext(ctx, "ready again")
	default:
		a.cfg.Logger.WarnContext(ctx, "not ready", "failed", failed, "checks", checks)
	}
}
