package embedetcd_test

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/conductor-metal/conductor/internal/embedetcd"
)

// TestMain lets the test binary be the other process.
func TestMain(m *testing.M) {
	if dir := os.Getenv("EMBEDETCD_TEST_HOLD"); dir != "" {
		holdForTest(dir)
		return
	}
	os.Exit(m.Run())
}

// holdForTest locks dir and holds it until its standard input ends.
func holdForTest(dir string) {
	if _, err := embedetcd.LockDir(dir); err != nil {
		os.Stdout.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
	os.Stdout.WriteString("held\n")
	bufio.NewReader(os.Stdin).ReadString('\n')
	os.Exit(0) // without Close, as a crash would
}

func TestLockDirNamesTheOtherProcess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), "EMBEDETCD_TEST_HOLD="+dir)
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { child.Process.Kill() })
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "held\n" {
		t.Fatalf("the other process says %q, %v", line, err)
	}

	_, err = embedetcd.LockDir(dir)
	inUse, ok := errors.AsType[*embedetcd.DirInUseError](err)
	if !ok {
		t.Fatalf("second lock: got %v, want a DirInUseError", err)
	}
	host, _ := os.Hostname()
	if inUse.PID != child.Process.Pid || inUse.Dir != dir || inUse.Host != host || inUse.Since.IsZero() {
		t.Errorf("got %+v, want process %d of %s in %s", inUse, child.Process.Pid, host, dir)
	}
	for _, want := range []string{dir, "process", "--data-dir"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the text %q does not say %q", err, want)
		}
	}

	// The holder ends without unlocking: the lock is free all the same, and
	// what it wrote does not mislead the next one.
	in.Close()
	if err := child.Wait(); err != nil {
		t.Fatal(err)
	}
	lock, err := embedetcd.LockDir(dir)
	if err != nil {
		t.Fatalf("lock after the holder has ended: %v", err)
	}
	if err := lock.Close(); err != nil {
		t.Error(err)
	}
}

func TestLockDirOnceAProcess(t *testing.T) {
	dir := t.TempDir()
	first, err := embedetcd.LockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = embedetcd.LockDir(dir)
	if e, ok := errors.AsType[*embedetcd.DirInUseError](err); !ok || e.PID != os.Getpid() {
		t.Errorf("second lock of one process: got %v, want a DirInUseError of process %d", err, os.Getpid())
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := embedetcd.LockDir(dir)
	if err != nil {
		t.Fatalf("lock after unlock: %v", err)
	}
	again.Close()
}

func TestLockDirThatCannotBe(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := embedetcd.LockDir(filepath.Join(file, "data"))
	if _, ok := errors.AsType[*embedetcd.DirError](err); !ok {
		t.Fatalf("a directory in a file: got %v, want a DirError", err)
	}
	if !strings.Contains(err.Error(), "--data-dir") {
		t.Errorf("the text %q does not say what to do", err)
	}
}
