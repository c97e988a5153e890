package main

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// After kill -9 a conductor on the same directory is back at once, without
// waiting for the lease of the dead one.
func TestServeAfterKill(t *testing.T) {
	l := newLab(t)
	dir := t.TempDir()
	serve := func() (*exec.Cmd, string) {
		cmd := exec.Command(os.Args[0], "serve", "--data-dir", dir, "--host", "c1", "--listen", "127.0.0.1:0", "--etcd-endpoints", l.endpoint, "--lease-ttl", "60s")
		cmd.Env = append(os.Environ(), asProgram+"=1")
		pipe, err := cmd.StderrPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		var log bytes.Buffer
		for lines := bufio.NewScanner(pipe); lines.Scan(); {
			log.Write(append(lines.Bytes(), '\n'))
			if url, _ := servedAt(lines.Text()); url != "" {
				return cmd, log.String()
			}
		}
		t.Fatalf("serve ended: %s", &log)
		return nil, ""
	}
	first, log := serve()
	if strings.Contains(log, "earlier process") {
		t.Errorf("the first: got %s", log)
	}
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait()
	second, log := serve()
	if !strings.Contains(log, "ended the locks of an earlier process") {
		t.Errorf("the second: got %s", log)
	}
	if err := second.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
}

// When etcd is gone the command is ended before the lease can have run out.
func TestLockRunWithoutEtcd(t *testing.T) {
	l := newLab(t)
	p := l.holdBy("--lease-ttl", "6s", "n1", "--", "sh", "-c", "echo up; exec sleep 1000")
	l.client.Close()
	if err := l.server.Close(); err != nil {
		t.Fatal(err)
	}
	if code, _ := p.end(); code != exitLost || !strings.Contains(p.stderr.String(), "session lost") {
		t.Errorf("got code %d, want 7: %s", code, p.stderr)
	}
}
