package lease_test

import (
	"context"
	"net/url"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"

	"github.com/conductor-metal/conductor/pkg/lease"
)

// real is one etcd for all tests of the package; each test has a root of its own in it.
var real struct {
	once     sync.Once
	server   *embed.Etcd
	endpoint string
	err      error
}

func TestMain(m *testing.M) {
	defer func() {
		if real.server != nil {
			real.server.Close()
		}
	}()
	m.Run()
}

func startEtcd(dir string) (*embed.Etcd, string, error) {
	cfg := embed.NewConfig()
	cfg.Dir = dir
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	local := url.URL{Scheme: "http", Host: "127.0.0.1:0"}
	cfg.ListenClientUrls, cfg.ListenPeerUrls = []url.URL{local}, []url.URL{local}
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		return nil, "", err
	}
	<-e.Server.ReadyNotify()
	return e, e.Clients[0].Addr().String(), nil
}

// dial returns a client of the real etcd.
func dial(t testing.TB) *clientv3.Client {
	t.Helper()
	real.once.Do(func() {
		real.server, real.endpoint, real.err = startEtcd(tempDir(t))
	})
	if real.err != nil {
		t.Fatal(real.err)
	}
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{real.endpoint}, Logger: zap.NewNop(), DialTimeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func open(t testing.TB, c *clientv3.Client, cfg lease.Config) *lease.Session {
	t.Helper()
	s, err := lease.Open(t.Context(), c, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Errorf("close session: %v", err)
		}
	})
	return s
}
