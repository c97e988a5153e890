package leasetest_test

import (
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/goleak"

	"github.com/conductor-metal/conductor/pkg/lease/leasetest"
)

// The fake keeps the contract by the clock of a bubble.
func TestContractInBubble(t *testing.T) {
	for _, c := range leasetest.Cases() {
		t.Run(c.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := leasetest.New()
				defer e.Close()
				c.Run(t, e.Client("a"), "/contract/")
			})
		})
	}
}

// The fake keeps the contract by the clock on the wall, and leaves nothing
// behind.
func TestContract(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for leases to expire")
	}
	before := goleak.IgnoreCurrent()
	leasetest.Contract(t, func(t *testing.T) *clientv3.Client {
		e := leasetest.New()
		t.Cleanup(e.Close)
		return e.Client("a")
	})
	if err := goleak.Find(before); err != nil {
		t.Error(err)
	}
}

// The real etcd keeps it too: else it is not a contract, but a wish.
func TestContractOfEtcd(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a real etcd")
	}
	c := realEtcd(t)
	leasetest.Contract(t, func(*testing.T) *clientv3.Client { return c })
}

// realEtcd starts an etcd of one member and returns a client.
func realEtcd(t *testing.T) *clientv3.Client {
	t.Helper()
	loopback := []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}}
	cfg := embed.NewConfig()
	cfg.Dir = t.TempDir()
	cfg.LogLevel, cfg.LogOutputs = "panic", []string{"/dev/null"}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = loopback, loopback
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = loopback, loopback
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	cfg.UnsafeNoFsync = true
	server, err := embed.StartEtcd(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	select {
	case <-server.Server.ReadyNotify():
	case <-time.After(time.Minute):
		t.Fatal("etcd is not ready")
	}
	c, err := clientv3.New(clientv3.Config{
		Endpoints: []string{server.Clients[0].Addr().String()}, DialTimeout: 10 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}
