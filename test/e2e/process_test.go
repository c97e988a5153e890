package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a program that runs. It and all that it started are killed at the
// end of the test, and the ends of its outputs are shown if the test has failed.
type process struct {
	t     *testing.T
	name  string
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   *transcript
	err   *transcript
	done  chan struct{} // closed when it has ended
}

type startRequest struct {
	cmd  *exec.Cmd
	done chan error
}

var starts = make(chan startRequest)

// startProcesses starts all processes from one thread that lives as long as the
// tests: a child that asks to die with its parent dies with the thread that
// started it.
func startProcesses() {
	runtime.LockOSThread()
	for s := range starts {
		s.done <- s.cmd.Start()
	}
}

// start starts a program. env is added to the environment, from which all that
// would configure ours or etcd is taken.
func start(t *testing.T, name string, env []string, path string, args ...string) *process {
	t.Helper()
	p := &process{t: t, name: name, cmd: exec.Command(path, args...), out: newTranscript(), err: newTranscript(), done: make(chan struct{})}
	p.cmd.Dir = repository
	p.cmd.Env = append(cleanEnvironment(), env...)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.err
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p.cmd.WaitDelay = time.Second // a grandchild may keep the outputs open
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	s := startRequest{p.cmd, make(chan error, 1)}
	starts <- s
	if err := <-s.done; err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait()
		p.out.end()
		p.err.end()
	}()
	t.Cleanup(p.cleanup)
	return p
}

func cleanEnvironment() []string {
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "CONDUCTOR_") && !strings.HasPrefix(e, "ETCD") {
			env = append(env, e)
		}
	}
	return env
}

func (p *process) cleanup() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // the group: whoever is left of it
	<-p.done
	if p.t.Failed() {
		p.t.Logf("%s ended with %v\n%s%s", p.name, p.cmd.ProcessState, p.out.tail("out", 30), p.err.tail("err", 30))
	}
}

func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// signal sends a signal to the process, and not to those that it started.
func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatalf("%s: %v: %v", p.name, s, err)
	}
}

// kill ends the process with SIGKILL, and waits for that.
func (p *process) kill() time.Time {
	p.t.Helper()
	p.signal(syscall.SIGKILL)
	at := time.Now()
	<-p.done
	return at
}

// stop asks the process to end, and waits for that.
func (p *process) stop() int {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	return p.exit(15 * time.Second)
}

// pause stops the process, until resume.
func (p *process) pause()  { p.t.Helper(); p.signal(syscall.SIGSTOP) }
func (p *process) resume() { p.t.Helper(); p.signal(syscall.SIGCONT) }

// exit waits for the end of the process and returns its exit code, -1 after a signal.
func (p *process) exit(limit time.Duration) int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(limit):
		p.t.Fatalf("%s still runs after %s", p.name, limit)
	}
	return p.cmd.ProcessState.ExitCode()
}

// transcript is all that a process wrote, by lines.
type transcript struct {
	mu      sync.Mutex
	lines   []string
	rest    []byte
	ended   bool
	changed chan struct{} // closed and replaced at each change
}

func newTranscript() *transcript { return &transcript{changed: make(chan struct{})} }

func (tr *transcript) Write(b []byte) (int, error) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.rest = append(tr.rest, b...)
	for {
		line, rest, ok := bytes.Cut(tr.rest, []byte("\n"))
		if !ok {
			break
		}
		tr.lines, tr.rest = append(tr.lines, string(line)), rest
	}
	tr.notify()
	return len(b), nil
}

func (tr *transcript) end() {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if len(tr.rest) > 0 {
		tr.lines, tr.rest = append(tr.lines, string(tr.rest)), nil
	}
	tr.ended = true
	tr.notify()
}

func (tr *transcript) notify() {
	close(tr.changed)
	tr.changed = make(chan struct{})
}

var errEnded = errors.New("the process has ended")

// next waits for a line, from the given one on, that match accepts, and returns its number.
func (tr *transcript) next(ctx context.Context, from int, match func(string) bool) (string, int, error) {
	for {
		tr.mu.Lock()
		for ; from < len(tr.lines); from++ {
			if line := tr.lines[from]; match(line) {
				tr.mu.Unlock()
				return line, from, nil
			}
		}
		changed, ended := tr.changed, tr.ended
		tr.mu.Unlock()
		if ended {
			return "", from, errEnded
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return "", from, ctx.Err()
		}
	}
}

// line waits for a line that contains a text.
func (p *process) line(tr *transcript, text string, limit time.Duration) string {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), limit)
	defer cancel()
	line, _, err := tr.next(ctx, 0, func(line string) bool { return strings.Contains(line, text) })
	if err != nil {
		p.t.Fatalf("%s said no %q within %s: %v", p.name, text, limit, err)
	}
	return line
}

func (tr *transcript) text() string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return strings.Join(tr.lines, "\n")
}

func (tr *transcript) tail(name string, n int) string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	var b strings.Builder
	for _, line := range tr.lines[max(0, len(tr.lines)-n):] {
		if len(line) > 400 {
			line = line[:400] + " ..."
		}
		fmt.Fprintf(&b, "    %s| %s\n", name, line)
	}
	return b.String()
}

// result is a program that has ended.
type result struct {
	code     int
	out, err string
}

func (r result) String() string {
	return fmt.Sprintf("exit code %d\n%s%s", r.code, r.out, r.err)
}

// finish waits for the end of a process and returns all of it.
func (p *process) finish(limit time.Duration) result {
	p.t.Helper()
	code := p.exit(limit)
	return result{code, p.out.text(), p.err.text()}
}

// run runs a program to its end.
func run(t *testing.T, env []string, path string, args ...string) result {
	t.Helper()
	p := start(t, filepath.Base(path)+" "+strings.Join(args, " "), env, path, args...)
	_ = p.stdin.Close()
	return p.finish(60 * time.Second)
}

// ports are handed out once, from below those that the kernel gives to clients.
var ports struct {
	sync.Mutex
	next int
}

// freePort returns a port of the loopback interface that nobody listens on.
func freePort(t *testing.T) int {
	t.Helper()
	ports.Lock()
	defer ports.Unlock()
	if ports.next == 0 {
		ports.next = 12000 + rand.IntN(18000)
	}
	for range 1000 {
		ports.next++
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", ports.next))
		if err == nil {
			l.Close()
			return ports.next
		}
	}
	t.Fatal("no port is free")
	return 0
}
