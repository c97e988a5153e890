package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/internal/embedetcd"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
)

// asProgram makes the test binary the program itself.
const asProgram = "CONDUCTOR_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Unsetenv(asProgram)
		main()
	}
	os.Exit(m.Run())
}

// lab is an etcd with a node, and no conductor.
type lab struct {
	t        *testing.T
	client   *clientv3.Client
	server   *embedetcd.Server
	endpoint string
	node     *node.Node
}

func newLab(t *testing.T) *lab {
	t.Helper()
	server, err := embedetcd.Start(t.Context(), embedetcd.Config{Dir: t.TempDir(), ClientURL: "http://127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	client, err := clientv3.New(server.ClientConfig())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	l := &lab{t, client, server, server.Endpoint(), &node.Node{Name: "n1", Driver: "fake-hardware"}}
	if err := node.NewStore(client, lease.DefaultRoot).Create(t.Context(), l.node); err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *lab) env() map[string]string {
	return map[string]string{"CONDUCTOR_ETCD_ENDPOINTS": l.endpoint}
}

// shown is what "lock show -o json" says.
func (l *lab) shown() lockView {
	l.t.Helper()
	code, out, errs := runAs(l.t, l.env(), "lock", "show", "n1", "-o", "json")
	var v lockView
	if err := json.Unmarshal([]byte(out), &v); code != exitOK || err != nil {
		l.t.Fatalf("lock show: got code %d, %v: %s", code, err, errs)
	}
	return v
}

// process is a "lock run" that is a process.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	out    *bufio.Reader
	stderr *syncBuffer
}

// holdBy starts "lock run" and waits until its command has said a line.
func (l *lab) holdBy(args ...string) *process {
	l.t.Helper()
	p := &process{t: l.t, cmd: exec.Command(os.Args[0], append([]string{"lock", "run"}, args...)...), stderr: &syncBuffer{}}
	p.cmd.Env = append(os.Environ(), asProgram+"=1", "CONDUCTOR_ETCD_ENDPOINTS="+l.endpoint)
	p.cmd.Stderr = p.stderr
	pipe, err := p.cmd.StdoutPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	p.out = bufio.NewReader(pipe)
	if line, err := p.out.ReadString('\n'); err != nil {
		l.t.Fatalf("the command said %q, %v: %s", line, err, p.stderr)
	}
	return p
}

// end waits for its end and returns the exit code and what the command said last.
func (p *process) end() (code int, out string) {
	p.t.Helper()
	rest, err := io.ReadAll(p.out) // ends when nobody holds the pipe any more
	if err != nil {
		p.t.Fatal(err)
	}
	err = p.cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), string(rest)
	}
	return 0, string(rest)
}

func TestLockRunPassesThrough(t *testing.T) {
	l := newLab(t)
	notRunnable := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(notRunnable, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		code int
		args []string
	}{
		{"success", 0, []string{"n1", "--", "true"}},
		{"code", 42, []string{"n1", "--", "sh", "-c", "exit 42"}},
		{"signal", 137, []string{"n1", "--", "sh", "-c", "kill -9 $$"}},
		{"by uuid", 0, []string{string(l.node.UUID), "--", "true"}},
		{"no command", 127, []string{"n1", "--", "no-such-command"}},
		{"not runnable", 126, []string{"n1", "--", notRunnable}},
		{"no node", 3, []string{"nosuch", "--", "true"}},
		{"no node of that uuid", 3, []string{"00000000-0000-4000-8000-000000000000", "--", "true"}},
	} {
		code, _, errs := runAs(t, l.env(), append([]string{"lock", "run"}, c.args...)...)
		if code != c.code {
			t.Errorf("%s: got code %d, want %d: %s", c.name, code, c.code, errs)
		}
	}
	if v := l.shown(); len(v.Holders) != 0 || v.Intent != nil {
		t.Errorf("afterwards: got %+v, want a free lock and no intent", v)
	}
}

func TestLockRunEnvironment(t *testing.T) {
	l := newLab(t)
	_, out, errs := runAs(t, l.env(), "lock", "run", "n1", "--", "sh", "-c",
		`echo "$CONDUCTOR_LOCK_KEY $CONDUCTOR_LOCK_REV $CONDUCTOR_LOCK_TOKEN $ETCD_LOCK_KEY $ETCD_LOCK_REV"`)
	f := strings.Fields(out)
	if len(f) != 5 || !strings.HasPrefix(f[0], lease.DefaultRoot+"locks/"+string(l.node.UUID)+"/exclusive/") || f[0] != f[3] || f[1] != f[4] {
		t.Fatalf("got %q (%s)", out, errs)
	}
	if rev, err := strconv.ParseInt(f[1], 10, 64); err != nil || rev < 2 {
		t.Errorf("revision: got %q", f[1])
	}
}

func TestLockRunExcludes(t *testing.T) {
	l := newLab(t)
	p := l.holdBy("--purpose", "by hand", "--holder", "h1", "n1", "--", "sh", "-c", "echo up; exec sleep 1000")
	v := l.shown()
	if len(v.Holders) != 1 || v.Holders[0].Holder != "h1" || v.Holders[0].Purpose != "by hand" || v.Holders[0].FreeBy == "" || v.Abandoned {
		t.Errorf("lock show: got %+v", v)
	}
	code, _, errs := runAs(t, l.env(), "lock", "run", "n1", "--", "true")
	if code != exitConflict || !strings.Contains(errs, `n1 is locked (exclusive) by h1 for "by hand"`) {
		t.Errorf("a second one: got code %d and %q", code, errs)
	}
	if code, _, errs := runAs(t, l.env(), "lock", "run", "--wait", "100ms", "n1", "--", "true"); code != exitTimeout {
		t.Errorf("one that waits: got code %d and %q", code, errs)
	}
	code, out, _ := runAs(t, l.env(), "lock", "list")
	if code != exitOK || !strings.Contains(out, "n1") || !strings.Contains(out, "by hand") {
		t.Errorf("lock list: got code %d and %q", code, out)
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil { // passed on to the command
		t.Fatal(err)
	}
	if code, _ := p.end(); code != 128+int(syscall.SIGTERM) {
		t.Errorf("a signal: got code %d, want 143: %s", code, p.stderr)
	}
}

func TestLockRunShared(t *testing.T) {
	l := newLab(t)
	p := l.holdBy("--mode", "shared", "n1", "--", "sh", "-c", "echo up; trap 'exit 0' TERM; while :; do sleep 0.1; done")
	if code, _, errs := runAs(t, l.env(), "lock", "run", "--mode", "shared", "n1", "--", "true"); code != exitOK {
		t.Errorf("another shared one: got code %d: %s", code, errs)
	}
	if code, _, _ := runAs(t, l.env(), "lock", "run", "n1", "--", "true"); code != exitConflict {
		t.Errorf("an exclusive one: got code %d, want 4", code)
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	if code, _ := p.end(); code != 0 {
		t.Errorf("got code %d, want that of the trap, 0", code)
	}
}

func TestLockBreak(t *testing.T) {
	l := newLab(t)
	// The command does not heed SIGTERM.
	p := l.holdBy("--lease-ttl", "10s", "n1", "--", "sh", "-c", "trap 'echo no' TERM; echo up; while :; do sleep 0.1; done")
	rev := strconv.FormatInt(l.shown().Holders[0].Revision, 10)
	code, _, errs := runAs(t, l.env(), "lock", "break", "n1", "--reason", "test", "--yes", "--revision", "1")
	if code != exitConflict {
		t.Errorf("another revision: got code %d and %q", code, errs)
	}
	code, _, errs = runAs(t, l.env(), "lock", "break", "n1", "--reason", "test", "--yes", "--revision", rev)
	if code != exitConflict || !strings.Contains(errs, "--even-if-alive") {
		t.Errorf("a live holder: got code %d and %q", code, errs)
	}
	code, out, errs := runAs(t, l.env(), "lock", "break", "n1", "--reason", "test", "--yes", "--revision", rev, "--even-if-alive", "-o", "json")
	var b lease.Break
	if code != exitOK || json.Unmarshal([]byte(out), &b) != nil || b.Why != "test" || b.By == "" {
		t.Fatalf("got code %d and %q: %s", code, out, errs)
	}
	if code, out := p.end(); code != exitLost || !strings.Contains(out, "no") || !strings.Contains(p.stderr.String(), "broken by") {
		t.Errorf("the holder: got code %d and %q: %s", code, out, p.stderr)
	}
	if v := l.shown(); len(v.Holders) != 0 || !v.Abandoned {
		t.Errorf("afterwards: got %+v, want a free lock and work that was cut off", v)
	}
	if code, _, _ := runAs(t, l.env(), "lock", "break", "n1", "--reason", "test", "--yes", "--revision", rev); code != exitConflict {
		t.Errorf("once more: got code %d, want 4", code)
	}
}

// A command does not outlive a "lock run" that is killed, and its lock can then
// be broken as that of a dead one.
func TestLockRunKilled(t *testing.T) {
	l := newLab(t)
	p := l.holdBy("--lease-ttl", "3s", "n1", "--", "sh", "-c", "echo up; exec sleep 1000")
	rev := strconv.FormatInt(l.shown().Holders[0].Revision, 10)
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if code, _ := p.end(); code != -1 {
		t.Errorf("got code %d, want none", code)
	}
	if code, _, errs := runAs(t, l.env(), "lock", "break", "n1", "--reason", "test", "--yes", "--revision", rev); code != exitOK && code != exitConflict {
		t.Errorf("break: got code %d: %s", code, errs)
	}
	for _, step := range []struct {
		command   string
		abandoned bool
	}{{"false", true}, {"true", false}} {
		if v := l.shown(); len(v.Holders) != 0 || !v.Abandoned {
			t.Errorf("got %+v, want a free lock and work that was cut off", v)
		}
		_, _, errs := runAs(t, l.env(), "lock", "run", "--settle", "n1", "--", step.command)
		if !strings.Contains(errs, "was cut off") {
			t.Errorf("the next holder was told %q", errs)
		}
		if v := l.shown(); v.Abandoned != step.abandoned {
			t.Errorf("settled by %s: got abandoned %t, want %t", step.command, v.Abandoned, step.abandoned)
		}
	}
}

func TestLockWatch(t *testing.T) {
	l := newLab(t)
	cmd := exec.Command(os.Args[0], "lock", "watch", "n1", "-o", "json")
	cmd.Env = append(os.Environ(), asProgram+"=1", "CONDUCTOR_ETCD_ENDPOINTS="+l.endpoint)
	pipe, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	p := l.holdBy("--purpose", "seen", "n1", "--", "sh", "-c", "echo up; exec sleep 1000")
	dec := json.NewDecoder(pipe)
	for _, want := range []lease.EventType{lease.EventGranted, lease.EventReleased} {
		var e lockEvent
		if err := dec.Decode(&e); err != nil {
			t.Fatal(err)
		}
		if e.Event != want || e.Name != "n1" || e.Purpose != "seen" {
			t.Errorf("got %+v, want %s", e, want)
		}
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
	}
	_ = cmd.Process.Signal(os.Interrupt)
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != exitOK {
		t.Errorf("interrupted: got %v, want 0: it was asked to end", err)
	}
}
