package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/conductor-metal/conductor/pkg/lease"
)

// actor is a conductor of the demonstration, in a process of its own.
type actor struct {
	cmd  *exec.Cmd
	url  string
	log  *os.File
	done chan struct{} // closed when it has ended
}

// serving is what the log of a conductor says when it has found a port.
var serving = regexp.MustCompile(`"msg":"serving","url":"([^"]+)"`)

// start starts a conductor and waits until it is ready.
func (d *demo) start(ctx context.Context, host string) (*actor, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	a := &actor{done: make(chan struct{})}
	if a.log, err = os.OpenFile(filepath.Join(d.dir, host+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return nil, err
	}
	from, err := a.log.Seek(0, io.SeekEnd) // there may be the log of an earlier life
	if err != nil {
		return nil, err
	}
	a.cmd = exec.Command(self, "serve", "--host", host, "--listen", "127.0.0.1:0", "--log-format", "json", "--data-dir", filepath.Join(d.dir, host),
		"--etcd-endpoints", d.etcd.Endpoint(), "--lease-ttl", demoTTL.String(), "--command-timeout", "1s", "--fake-delay", "deploy="+demoDelay)
	a.cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "CONDUCTOR_") || strings.HasPrefix(v, "NOTIFY_") })
	a.cmd.Stdout, a.cmd.Stderr = a.log, a.log
	a.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is ours to handle
	ended, err := startDependent(a.cmd)
	if err != nil {
		return nil, err
	}
	go func() { // ends with the process, which close ends
		<-ended
		close(a.done)
	}()
	ready := func() (bool, error) {
		select {
		case <-a.done:
			return false, fmt.Errorf("%s ended; see %s", host, a.log.Name())
		default:
		}
		if a.url == "" {
			text, err := os.ReadFile(a.log.Name())
			said := serving.FindSubmatch(text[from:])
			if err != nil || said == nil {
				return false, err
			}
			a.url = string(said[1])
		}
		r, err := http.Get(a.url + "/readyz")
		if err != nil {
			return false, nil
		}
		r.Body.Close()
		return r.StatusCode == http.StatusOK, nil
	}
	return a, d.until(ctx, 30*time.Second, ready)
}

func (a *actor) kill() {
	_ = a.cmd.Process.Kill()
	<-a.done
}

// close ends all that was started, the frozen too.
func (d *demo) close() error {
	var errs []error
	for _, a := range d.cast {
		if a == nil || a.cmd.Process == nil {
			continue
		}
		_ = a.cmd.Process.Signal(syscall.SIGTERM)
		_ = a.cmd.Process.Signal(syscall.SIGCONT)
	}
	for _, a := range d.cast {
		if a == nil || a.cmd.Process == nil {
			continue
		}
		select {
		case <-a.done:
		case <-time.After(10 * time.Second):
			a.kill()
		}
		errs = append(errs, a.log.Close())
	}
	if d.etcd != nil {
		errs = append(errs, d.etcd.Close())
	}
	return errors.Join(errs...)
}

// abandoned are the nodes whose section a conductor left open and nobody has taken up.
func (d *demo) abandoned(ctx context.Context, host string) ([]string, error) {
	client, err := (&etcdOptions{endpoints: []string{d.etcd.Endpoint()}, prefix: lease.DefaultRoot, answerIn: 5 * time.Second}).connect(ctx)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	locks := lease.Locks{Client: client, Root: lease.DefaultRoot}
	intents, err := locks.Intents(ctx)
	if err != nil {
		return nil, err
	}
	queues, err := locks.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, q := range queues {
		delete(intents, q.Name) // somebody has it
	}
	var names []string
	for name, i := range intents {
		if i.Holder == host {
			names = append(names, name)
		}
	}
	return names, nil
}
