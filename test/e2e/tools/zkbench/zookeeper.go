package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/go-zookeeper/zk"
)

const nodes = 2048 // as many as conductor bench has

var everybody = zk.WorldACL(zk.PermAll)

// zookeeper is a server of this run, with clients.
type zookeeper struct {
	cmd   *exec.Cmd
	ended chan struct{}
	dir   string
	conns []*zk.Conn
}

// silent is a logger of the client that says nothing.
type silent struct{}

// Printf implements zk.Logger.
func (silent) Printf(string, ...any) {}

func startZooKeeper(ctx context.Context, o *options) (z *zookeeper, err error) {
	if _, err := os.Stat(o.jar); err != nil {
		return nil, fmt.Errorf("%w: install ZooKeeper (apt-get install --no-install-recommends zookeeper) or say where it is with -jar", err)
	}
	z = &zookeeper{ended: make(chan struct{})}
	if z.dir, err = os.MkdirTemp(o.dir, "zkbench-"); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := l.Addr().(*net.TCPAddr)
	l.Close()
	config := filepath.Join(z.dir, "zoo.cfg")
	text := fmt.Sprintf("tickTime=2000\ndataDir=%s\nclientPortAddress=127.0.0.1\nclientPort=%d\nmaxClientCnxns=0\nadmin.enableServer=false\n",
		filepath.Join(z.dir, "data"), address.Port)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	z.cmd = exec.Command("java", "-cp", o.jar, "org.apache.zookeeper.server.quorum.QuorumPeerMain", config)
	z.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := z.cmd.Start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(z.dir))
	}
	go func() { // ends with the server, which stop ends
		_ = z.cmd.Wait()
		close(z.ended)
	}()
	if err := z.fill(ctx, o, address.String()); err != nil {
		z.stop()
		return nil, fmt.Errorf("zookeeper at %s: %w", address, err)
	}
	return z, nil
}

// fill connects and stores the nodes.
func (z *zookeeper) fill(ctx context.Context, o *options, address string) error {
	for range o.conns {
		c, _, err := zk.Connect([]string{address}, 20*time.Second, zk.WithLogger(silent{}))
		if err != nil {
			return err
		}
		z.conns = append(z.conns, c)
	}
	for ctx.Err() == nil && z.conns[0].State() != zk.StateHasSession {
		select {
		case <-z.ended:
			return errors.New("it ended at once")
		case <-time.After(50 * time.Millisecond):
		}
	}
	for _, path := range []string{"/lock", "/node", "/state"} {
		if _, err := z.conns[0].Create(path, nil, 0, everybody); err != nil {
			return err
		}
	}
	var wg sync.WaitGroup
	errs := make([]error, len(z.conns))
	for i, c := range z.conns {
		wg.Go(func() {
			for n := i; n < nodes && ctx.Err() == nil && errs[i] == nil; n += len(z.conns) {
				_, err := c.Create(nodePath(n), make([]byte, 8192), 0, everybody)
				_, err2 := c.Create(statePath(n), make([]byte, 1024), 0, everybody)
				errs[i] = errors.Join(err, err2)
			}
		})
	}
	wg.Wait()
	return errors.Join(append(errs, ctx.Err())...)
}

func nodePath(n int) string  { return fmt.Sprintf("/node/%06d", n) }
func statePath(n int) string { return fmt.Sprintf("/state/%06d", n) }

func (z *zookeeper) stop() {
	for _, c := range z.conns {
		c.Close()
	}
	_ = z.cmd.Process.Kill()
	<-z.ended
	_ = os.RemoveAll(z.dir)
}

// cycle is the work: each worker has nodes of its own.
func (z *zookeeper) cycle(worker, workers, i int) error {
	per := nodes / workers
	n, c := worker*per+i*7919%per, z.conns[worker%len(z.conns)]
	l := zk.NewLock(c, fmt.Sprintf("/lock/%06d", n), everybody)
	if err := l.Lock(); err != nil {
		return err
	}
	data, _, err := c.Get(nodePath(n))
	if err != nil || len(data) != 8192 {
		return fmt.Errorf("read %d bytes of a node: %w", len(data), err)
	}
	if _, err := c.Set(statePath(n), data[:1024], -1); err != nil {
		return err
	}
	return l.Unlock()
}

// slice lets workers loose: one cycle each, then a warm up, then the measured time.
func (z *zookeeper) slice(ctx context.Context, o *options, workers int) (rate, p50, p99 float64, err error) {
	var measuring, stopping atomic.Bool
	var ready, all sync.WaitGroup
	times, errs := make([][]time.Duration, workers), make([]error, workers)
	for w := range workers {
		ready.Add(1)
		all.Go(func() {
			errs[w] = z.cycle(w, workers, 0)
			ready.Done()
			for i := 1; errs[w] == nil && !stopping.Load() && ctx.Err() == nil; i++ {
				start := time.Now()
				errs[w] = z.cycle(w, workers, i)
				if measuring.Load() {
					times[w] = append(times[w], time.Since(start))
				}
			}
		})
	}
	ready.Wait()
	time.Sleep(o.warm)
	start := time.Now()
	measuring.Store(true)
	time.Sleep(o.slice)
	measuring.Store(false)
	took := time.Since(start)
	stopping.Store(true)
	all.Wait()
	if err := errors.Join(append(errs, ctx.Err())...); err != nil {
		return 0, 0, 0, err
	}
	sorted := slices.Sorted(slices.Values(slices.Concat(times...)))
	if len(sorted) == 0 {
		return 0, 0, 0, errors.New("nothing was done in " + o.slice.String())
	}
	at := func(q float64) float64 { return sorted[int(q*float64(len(sorted)-1))].Seconds() * 1000 }
	return float64(len(sorted)) / took.Seconds(), at(.5), at(.99), nil
}
