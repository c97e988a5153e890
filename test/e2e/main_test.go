// Package e2e tests conductor as its users run it: processes on a real etcd,
// with foreign programs beside them, killed, stopped, starved and cut off.
//
//	CONDUCTOR_E2E=1          run the tests; without it each is skipped
//	CONDUCTOR_E2E_NO_SKIP=1  what is missing is a failure and not a skip
//
// etcd and etcdctl are looked for in $PATH, then in bin/ of the repository, where
// test/e2e/tools/build.sh puts them. Every run that broke something ends with the
// audit of etcd's history, which must find nothing.
//
// The tests wait for conditions, with a deadline, and measure what they wait
// for: go test -v shows the numbers.
package e2e

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

var (
	repository = filepath.Join("..", "..")
	scratch    string // the programs that are built for this run
)

func TestMain(m *testing.M) {
	flag.Parse()
	if os.Getenv("CONDUCTOR_E2E") == "" {
		m.Run()
		return
	}
	// The tests wait most of their time: for leases to run out.
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		_ = f.Value.Set("6")
	}
	var err error
	if scratch, err = os.MkdirTemp("", "conductor-e2e"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	go startProcesses()
	code := m.Run()
	_ = os.RemoveAll(scratch)
	if err := reportFaults(code == 0); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// need skips the test unless end-to-end tests are wanted and the programs are there.
func need(t *testing.T, programs ...string) {
	t.Helper()
	if os.Getenv("CONDUCTOR_E2E") == "" {
		t.Skip("an end-to-end test: CONDUCTOR_E2E=1 runs it")
	}
	for _, p := range programs {
		if _, err := find(p); err != nil {
			missing(t, "%v", err)
		}
	}
}

// missing skips the test, or fails it where nothing may be missing.
func missing(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CONDUCTOR_E2E_NO_SKIP") != "" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// find returns the path of a foreign program.
func find(program string) (string, error) {
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	path, err := filepath.Abs(filepath.Join(repository, "bin", program))
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		return "", fmt.Errorf("there is no %s: .ci/run install tools, or test/e2e/tools/build.sh bin, brings it", program)
	}
	return path, nil
}

func program(t *testing.T, name string) string {
	t.Helper()
	path, err := find(name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// built is a program of ours, built once for all tests.
type built struct {
	pkg   string
	as    string                   // its file's name; empty: the package's
	flags func() ([]string, error) // more flags of go build; nil: none
	once  sync.Once
	path  string
	err   error
}

var (
	conductorProgram = &built{pkg: "./cmd/conductor"}
	holderProgram    = &built{pkg: "./test/e2e/holder"}
)

func (b *built) get(t *testing.T) string {
	t.Helper()
	b.once.Do(func() { b.path, b.err = b.build() })
	if b.err != nil {
		t.Fatal(b.err)
	}
	return b.path
}

func (b *built) build() (path string, err error) {
	path = filepath.Join(scratch, cmp.Or(b.as, filepath.Base(b.pkg)))
	args := []string{"-n", "19", "go", "build", "-o", path} // other tests measure times
	if b.flags != nil {
		more, err := b.flags()
		if err != nil {
			return "", err
		}
		args = append(args, more...)
	}
	cmd := exec.Command("nice", append(args, b.pkg)...)
	cmd.Dir = repository
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build %s: %w\n%s", b.pkg, err, out)
	}
	return path, nil
}

// eventually looks again and again until look returns nil, and fails the test if
// that is not so in time. It returns how long it took.
func eventually(t *testing.T, limit time.Duration, what string, look func() error) time.Duration {
	t.Helper()
	start := time.Now()
	pause := 5 * time.Millisecond
	for {
		err := look()
		took := time.Since(start)
		if err == nil {
			return took
		}
		if took > limit {
			t.Fatalf("%s: not within %s: %v", what, limit, err)
		}
		select {
		case <-time.After(pause):
			pause = min(2*pause, 100*time.Millisecond)
		case <-t.Context().Done():
			t.Fatalf("%s: %v", what, t.Context().Err())
		}
	}
}

var errNotYet = errors.New("not yet")
