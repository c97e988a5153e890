package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// child is a command that runs for as long as a context lives.
type child struct {
	path     string
	args     []string
	env      []string
	in       io.Reader
	out, err io.Writer
	grace    time.Duration // between SIGTERM and SIGKILL
}

// passedOn are the signals that the command gets when we get them.
var passedOn = []os.Signal{
	syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2,
	syscall.SIGCONT, syscall.SIGWINCH,
}

// ending are those of them that are meant to end it.
var ending = []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT}

// run runs the command to its end and passes signals on to it. If ctx ends first it ends the command and
// returns the cause of ctx; otherwise nil, or a codeError with the exit code.
func (c *child) run(ctx context.Context, signals <-chan os.Signal) error {
	cmd := exec.Command(c.path, c.args[1:]...)
	cmd.Args[0] = c.args[0]
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = c.env, c.in, c.out, c.err
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second // for pipes that its own children hold open
	defer c.foreground(cmd.SysProcAttr)()

	ended, err := startDependent(cmd)
	if err != nil {
		return &kindError{errNotRunnable, err}
	}
	group := -cmd.Process.Pid
	for {
		select {
		case s := <-signals:
			_ = syscall.Kill(group, s.(syscall.Signal)) // it may have ended just now
		case err := <-ended:
			return childCode(err)
		case <-ctx.Done():
			fmt.Fprintf(c.err, "conductor: %v: ending %s\n", context.Cause(ctx), c.args[0])
			c.end(group, ended)
			return context.Cause(ctx)
		}
	}
}

// startDependent starts a command that does not outlive this process, however this one ends. Ended
// gets what its Wait returns.
func startDependent(cmd *exec.Cmd) (ended <-chan error, err error) {
	dieWithParent(cmd.SysProcAttr)
	started, end := make(chan error, 1), make(chan error, 1)
	go func() { // ends with the command
		// The kernel ends the child with the thread that started it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			end <- cmd.Wait()
		}
	}()
	return end, <-started
}

// end ends the command's group, with its good will or without.
func (c *child) end(group int, ended <-chan error) {
	_ = syscall.Kill(group, syscall.SIGTERM)
	_ = syscall.Kill(group, syscall.SIGCONT) // one that is stopped could not heed it
	limit := time.NewTimer(c.grace)
	defer limit.Stop()
	select {
	case <-ended:
	case <-limit.C:
		_ = syscall.Kill(group, syscall.SIGKILL)
		<-ended
		return
	}
	_ = syscall.Kill(group, syscall.SIGKILL) // those of its children that are left
}

func childCode(err error) error {
	exit, ok := errors.AsType[*exec.ExitError](err)
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
		return nil
	case !ok:
		return err
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return &codeError{code: 128 + int(status.Signal())}
	}
	return &codeError{code: exit.ExitCode()}
}

// foreground gives the terminal to the command, if it is ours to give, and
// returns what takes it back.
func (c *child) foreground(attr *syscall.SysProcAttr) (restore func()) {
	f, ok := c.in.(*os.File)
	if !ok || !terminal(f) {
		return func() {}
	}
	fd := int(f.Fd())
	if group, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP); err != nil || group != unix.Getpgrp() {
		return func() {}
	}
	attr.Foreground, attr.Ctty = true, fd
	return func() {
		signal.Ignore(syscall.SIGTTOU)
		defer signal.Reset(syscall.SIGTTOU)
		_ = unix.IoctlSetPointerInt(fd, unix.TIOCSPGRP, unix.Getpgrp())
	}
}
