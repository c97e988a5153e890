package embedetcd_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/internal/embedetcd"
)

const anyPort = "http://127.0.0.1:0"

// records keeps what is logged at warn or above.
type records struct {
	slog.Handler
	mu   sync.Mutex
	seen []string
}

func (r *records) Handle(_ context.Context, rec slog.Record) error {
	slow := rec.Message == "slow fdatasync" || rec.Message == "apply request took too long" // the machine's affair
	if rec.Level >= slog.LevelWarn && !slow {
		r.mu.Lock()
		defer r.mu.Unlock()
		text := rec.Message
		rec.Attrs(func(a slog.Attr) bool { text += fmt.Sprintf(" %v", a); return true })
		r.seen = append(r.seen, text)
	}
	return nil
}

func (r *records) Enabled(context.Context, slog.Level) bool { return true }

func start(t *testing.T, dir string) *embedetcd.Server {
	t.Helper()
	s, err := embedetcd.Start(t.Context(), embedetcd.Config{Dir: dir, ClientURL: anyPort})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, s) })
	return s
}

func stop(t *testing.T, s *embedetcd.Server) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	select {
	case <-s.Done():
	default:
		t.Error("Close has returned and Done is open")
	}
	if err := s.Err(); err != nil {
		t.Errorf("Err after a Close: got %v, want nil", err)
	}
}

func client(t *testing.T, s *embedetcd.Server) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(s.ClientConfig())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestTwoServersSideBySideAndARestart(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	dirA, dirB := t.TempDir(), t.TempDir()
	a, b := start(t, dirA), start(t, dirB)
	ca, cb := client(t, a), client(t, b)

	put, err := ca.Put(ctx, "k", "of a")
	if err != nil {
		t.Fatal(err)
	}
	got, err := cb.Get(ctx, "k")
	if err != nil {
		t.Fatal(err)
	}
	if got.Count != 0 {
		t.Errorf("b knows what was written to a")
	}
	if put.Header.ClusterId == got.Header.ClusterId {
		t.Errorf("both are cluster %x", put.Header.ClusterId)
	}
	members, err := ca.MemberList(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if urls := members.Members[0].ClientURLs; len(urls) != 1 || urls[0] != a.Endpoint() {
		t.Errorf("advertised: got %v, want %s", urls, a.Endpoint())
	}

	ca.Close()
	stop(t, a)
	again := start(t, dirA)
	if again.Endpoint() == b.Endpoint() {
		t.Fatalf("both serve %s", b.Endpoint())
	}
	back, err := client(t, again).Get(ctx, "k")
	if err != nil {
		t.Fatal(err)
	}
	if back.Count != 1 || string(back.Kvs[0].Value) != "of a" {
		t.Errorf("after a restart: got %v, want the value of before", back.Kvs)
	}
	if back.Header.ClusterId != put.Header.ClusterId {
		t.Errorf("after a restart it is cluster %x, was %x", back.Header.ClusterId, put.Header.ClusterId)
	}
}

func TestAStartIsQuiet(t *testing.T) {
	var log records
	dir := filepath.Join(t.TempDir(), "data")
	for _, when := range []string{"first start", "second start"} {
		s, err := embedetcd.Start(t.Context(), embedetcd.Config{Dir: dir, ClientURL: anyPort, Logger: slog.New(&log)})
		if err != nil {
			t.Fatal(err)
		}
		stop(t, s)
		log.mu.Lock()
		if len(log.seen) > 0 {
			t.Errorf("%s: warnings nobody needs:\n%s", when, strings.Join(log.seen, "\n"))
		}
		log.seen = nil
		log.mu.Unlock()
	}
}

func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dir := t.TempDir()
	_, err = embedetcd.Start(t.Context(), embedetcd.Config{Dir: dir, ClientURL: "http://" + l.Addr().String()})
	e, ok := errors.AsType[*embedetcd.PortInUseError](err)
	if !ok {
		t.Fatalf("got %v, want a PortInUseError", err)
	}
	if e.Addr != l.Addr().String() {
		t.Errorf("address: got %s, want %s", e.Addr, l.Addr())
	}
	for _, want := range []string{l.Addr().String(), "--etcd-listen", "--etcd-endpoints"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the text %q does not say %q", err, want)
		}
	}
	start(t, dir) // the directory was given back
}

func TestDirInUse(t *testing.T) {
	dir := t.TempDir()
	start(t, dir)
	_, err := embedetcd.Start(t.Context(), embedetcd.Config{Dir: dir, ClientURL: anyPort})
	if e, ok := errors.AsType[*embedetcd.DirInUseError](err); !ok || e.PID != os.Getpid() {
		t.Errorf("got %v, want a DirInUseError of process %d", err, os.Getpid())
	}
}

// An etcd that knows nothing of our lock file has the database open.
func TestDirInUseByAPlainEtcd(t *testing.T) {
	dir := t.TempDir()
	stop(t, start(t, dir))
	f, err := os.OpenFile(filepath.Join(dir, "member", "snap", "db"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	_, err = embedetcd.Start(t.Context(), embedetcd.Config{Dir: dir, ClientURL: anyPort})
	if e, ok := errors.AsType[*embedetcd.DirInUseError](err); !ok || e.PID != 0 {
		t.Errorf("got %v, want a DirInUseError of an unknown process", err)
	}
}

func TestDataThatCannotBeUsed(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(t *testing.T, dir string)
		want  string // in the text
	}{
		{"of a newer etcd", writeStorageVersion("3.9.0"), "3.9.0"},
		{"database is noise", overwrite("snap/db"), "database"},
		{"log is noise", overwrite("wal/*.wal"), "panicked"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			stop(t, start(t, dir))
			tt.spoil(t, dir)
			_, err := embedetcd.Start(t.Context(), embedetcd.Config{Dir: dir, ClientURL: anyPort})
			e, ok := errors.AsType[*embedetcd.DataError](err)
			if !ok {
				t.Fatalf("got %v, want a DataError", err)
			}
			t.Log(e)
			if e.Dir != dir || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want the directory %s and %q in it", err, dir, tt.want)
			}
		})
	}
}

func writeStorageVersion(v string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		db, err := bbolt.Open(filepath.Join(dir, "member", "snap", "db"), 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		err = db.Update(func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte("meta")).Put([]byte("storageVersion"), []byte(v))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func overwrite(pattern string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		files, err := filepath.Glob(filepath.Join(dir, "member", pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("no %s in %s: %v", pattern, dir, err)
		}
		for _, f := range files {
			if err := os.WriteFile(f, []byte(strings.Repeat("noise", 4096)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestConfigThatCannotBe(t *testing.T) {
	tests := []struct{ name, url, want string }{
		{"TLS", "https://127.0.0.1:2379", "--etcd-endpoints"},
		{"no scheme", "127.0.0.1:2379", "etcd listen address"},
		{"no port", "http://127.0.0.1", "ADDRESS:PORT"},
		{"a name", "http://metal.example:2379", "IP address"},
		{"an address of another machine", "http://192.0.2.1:2379", "--etcd-listen"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := embedetcd.Start(t.Context(), embedetcd.Config{Dir: t.TempDir(), ClientURL: tt.url})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: got %v, want an error that says %q", tt.url, err, tt.want)
			}
		})
	}
	if _, err := embedetcd.Start(t.Context(), embedetcd.Config{}); err == nil {
		t.Error("no directory: got no error")
	}
}

func TestStartEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	_, err := embedetcd.Start(ctx, embedetcd.Config{Dir: dir, ClientURL: anyPort})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want it to be of the context", err)
	}
	start(t, dir)
}
