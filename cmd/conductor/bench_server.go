package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/conductor-metal/conductor/internal/embedetcd"
)

// benchQuota is what a full run fits in, with its history.
const benchQuota = 8 << 30

// benchServer is the etcd that bench starts, in a process of its own as it would have one.
type benchServer struct {
	cmd      *exec.Cmd
	stdin    io.Closer
	dir      string
	endpoint string
}

// benchServerCommand is that process: an etcd for as long as its input is open.
func (p program) benchServerCommand() *cobra.Command {
	var dir, profile string
	c := &cobra.Command{
		Use:    "server",
		Short:  "The etcd that bench starts",
		Hidden: true,
		Args:   exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			stop, err := profileTo(profile, "server.pprof")
			if err != nil {
				return err
			}
			defer stop()
			server, err := embedetcd.Start(c.Context(), embedetcd.Config{Dir: dir, ClientURL: "http://127.0.0.1:0", QuotaBytes: benchQuota})
			if err != nil {
				return err
			}
			fmt.Fprintln(p.out, server.Endpoint())
			ended := make(chan struct{})
			go func() { // ends with the input, or with the process
				_, _ = io.Copy(io.Discard, p.in)
				close(ended)
			}()
			select {
			case <-ended:
			case <-c.Context().Done():
			case <-server.Done():
			}
			return errors.Join(server.Err(), server.Close())
		},
	}
	c.Flags().StringVar(&dir, "dir", "", "data directory")
	c.Flags().StringVar(&profile, "profile", "", "directory for a CPU profile")
	annotate(c.Flags(), "dir", fromCommandLineOnly)
	annotate(c.Flags(), "profile", fromCommandLineOnly)
	return c
}

func (p program) startBenchServer(ctx context.Context, o *benchOptions) (*benchServer, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &benchServer{}
	if s.dir, err = os.MkdirTemp(o.dir, "conductor-bench-"); err != nil {
		return nil, err
	}
	args := []string{"bench", "server", "--dir", filepath.Join(s.dir, "etcd")}
	if o.profile != "" {
		args = append(args, "--profile", o.profile)
	}
	s.cmd = exec.Command(self, args...)
	s.cmd.Stderr = p.err
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is ours to handle
	out, err := s.cmd.StdoutPipe()
	if err == nil {
		s.stdin, err = s.cmd.StdinPipe() // closed by the kernel if we die
	}
	if err == nil {
		err = s.cmd.Start()
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.dir))
	}
	off := context.AfterFunc(ctx, func() { _ = s.stdin.Close() }) // ends a start that hangs
	defer off()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		s.stop()
		return nil, fmt.Errorf("etcd for the run did not start: %w", err)
	}
	s.endpoint = strings.TrimSpace(line)
	fmt.Fprintf(p.err, "an etcd of our own, in %s\n", s.dir)
	return s, nil
}

// stop ends the etcd and removes its data.
func (s *benchServer) stop() {
	_ = s.stdin.Close()
	_ = s.cmd.Wait()
	_ = os.RemoveAll(s.dir)
}
