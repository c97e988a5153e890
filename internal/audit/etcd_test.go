package audit

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/conductor-metal/conductor/internal/embedetcd"
	"github.com/conductor-metal/conductor/pkg/lease/leasetest"
)

// real is one etcd for all tests of the package; each has a root of its own in it.
var real struct {
	once   sync.Once
	dir    string
	server *embedetcd.Server
	err    error
}

func TestMain(m *testing.M) {
	defer func() {
		if real.server != nil {
			real.server.Close()
		}
		os.RemoveAll(real.dir)
	}()
	m.Run()
}

var roots atomic.Int64

// onBoth runs a test on an etcd in memory and on a real one. dial makes a client.
func onBoth(t *testing.T, test func(t *testing.T, dial func() *clientv3.Client, root string)) {
	root := fmt.Sprintf("/audit/%d/", roots.Add(1))
	t.Run("memory", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			e := leasetest.New()
			t.Cleanup(e.Close)
			n := 0
			test(t, func() *clientv3.Client {
				n++
				c := e.Client(fmt.Sprint("c", n))
				t.Cleanup(func() { c.Close() })
				return c
			}, root)
		})
	})
	t.Run("etcd", func(t *testing.T) {
		test(t, func() *clientv3.Client { return dial(t) }, root)
	})
}

func dial(t testing.TB) *clientv3.Client {
	t.Helper()
	real.once.Do(func() {
		if real.dir, real.err = os.MkdirTemp("", "audit-etcd-"); real.err == nil {
			real.server, real.err = embedetcd.Start(t.Context(), embedetcd.Config{Dir: real.dir, ClientURL: "http://127.0.0.1:0"})
		}
	})
	if real.err != nil {
		t.Fatal(real.err)
	}
	cfg := real.server.ClientConfig()
	cfg.Logger = zap.NewNop()
	c, err := clientv3.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}
