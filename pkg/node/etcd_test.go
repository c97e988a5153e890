package node

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"testing"

	"github.com/google/uuid"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

// client speaks to the one etcd of the test binary.
var client *clientv3.Client

func TestMain(m *testing.M) { os.Exit(runWithEtcd(m)) }

func runWithEtcd(m *testing.M) int {
	dir, err := os.MkdirTemp("", "node-etcd-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	loopback := []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}}
	cfg := embed.NewConfig()
	cfg.Dir = dir
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = loopback, loopback
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = loopback, loopback
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	cfg.UnsafeNoFsync = true
	server, err := embed.StartEtcd(cfg)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer server.Close()
	<-server.Server.ReadyNotify()
	client, err = clientv3.New(clientv3.Config{
		Endpoints: []string{"http://" + server.Clients[0].Addr().String()}, Logger: zap.NewNop(),
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer client.Close()
	return m.Run()
}

// newStore answers a store below a root that no other test uses.
func newStore(t *testing.T) *Store {
	t.Helper()
	return NewStore(client, "/t/"+uuid.NewString())
}

// add creates a record and fails the test if that does not work.
func add[R Record](t *testing.T, s *Store, r R) R {
	t.Helper()
	if err := s.Create(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	return r
}

// commit runs a change and fails the test if that does not work.
func commit(t *testing.T, s *Store) func(Change, error) int64 {
	return func(c Change, err error) int64 {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		rev, err := s.Commit(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		return rev
	}
}

// try runs a change and answers what goes wrong.
func try(t *testing.T, s *Store) func(Change, error) error {
	return func(c Change, err error) error {
		t.Helper()
		if err != nil {
			return err
		}
		_, err = s.Commit(t.Context(), c)
		return err
	}
}

// dumpKeys answers all keys below the root, without it, and their values.
func dumpKeys(t *testing.T, s *Store) map[string]string {
	t.Helper()
	resp, err := client.Get(t.Context(), s.keys.Root, clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, kv := range resp.Kvs {
		all[string(kv.Key)[len(s.keys.Root):]] = string(kv.Value)
	}
	return all
}

// wantDuplicate checks the facts of a DuplicateError.
func wantDuplicate(t *testing.T, err error, kind Kind, field, value, owner string) {
	t.Helper()
	d, ok := errors.AsType[*DuplicateError](err)
	if !ok || !errors.Is(err, ErrDuplicate) || *d != (DuplicateError{kind, field, value, owner}) {
		t.Errorf("got %v, want %v", err, &DuplicateError{kind, field, value, owner})
	}
}
