package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/conductor-metal/conductor/internal/embedetcd"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
)

// The exit codes of every verb. "lock run" passes those of its command through.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitConflict    = 4
	exitTimeout     = 5
	exitUnreachable = 6
	exitLost        = 7
	exitNotRunnable = 126
	exitNoCommand   = 127
	exitInterrupted = 130
)

var exitMeanings = []struct {
	code    int
	meaning string
}{
	{exitOK, "done"},
	{exitFailure, "failed; the message says why"},
	{exitUsage, "wrong usage: a flag, an argument, a setting or an input file"},
	{exitNotFound, "there is no such node or record"},
	{exitConflict, "taken by another: a locked node, a name, all places for such work, a port, a data directory"},
	{exitTimeout, "not in the time that was given"},
	{exitUnreachable, "etcd or the conductor does not answer"},
	{exitLost, "lock run: the lock was lost, and the command was ended"},
	{exitNotRunnable, "lock run: the command cannot be run"},
	{exitNoCommand, "lock run: the command does not exist"},
	{exitInterrupted, "interrupted"},
}

// Errors of the command line itself; those of the packages below are in exitCode too.
var (
	errUsage       = errors.New("wrong usage")
	errTimeout     = errors.New("not in time")
	errTaken       = errors.New("taken by another")
	errUnreachable = errors.New("no answer")
	errInterrupted = errors.New("interrupted")
	errNotRunnable = errors.New("cannot be run")
	errNoCommand   = errors.New("no such command")
)

// kindError is err, and for exitCode it is kind as well.
type kindError struct{ kind, err error }

func (e *kindError) Error() string   { return e.err.Error() }
func (e *kindError) Unwrap() []error { return []error{e.kind, e.err} }

func usage(err error) error { return &kindError{errUsage, err} }

// codeError ends the program with a code. An empty text says nothing more.
type codeError struct {
	code int
	text string
}

func (e *codeError) Error() string { return e.text }

// exitCode is the one table from errors to exit codes. The first that fits counts.
func exitCode(err error) int {
	if err == nil {
		return exitOK
	}
	if e, ok := errors.AsType[*codeError](err); ok {
		return e.code
	}
	if e, ok := errors.AsType[*apiError](err); ok {
		return e.exitCode()
	}
	if e, ok := errors.AsType[*lease.HeldError](err); ok && e.Waited > 0 {
		return exitTimeout
	}
	for _, row := range []struct {
		is   error
		code int
	}{
		{errInterrupted, exitInterrupted},
		{errUsage, exitUsage},
		{errUnreachable, exitUnreachable},
		{errTimeout, exitTimeout},
		{errTaken, exitConflict},
		{errNotRunnable, exitNotRunnable},
		{errNoCommand, exitNoCommand},
		{lease.ErrLost, exitLost},
		{lease.ErrHeld, exitConflict},
		{lease.ErrTaken, exitConflict},
		{lease.ErrUpgradeConflict, exitConflict},
		{lease.ErrMissing, exitNotFound},
		{node.ErrNotFound, exitNotFound},
		{node.ErrDuplicate, exitConflict},
		{context.DeadlineExceeded, exitTimeout},
		{context.Canceled, exitInterrupted},
	} {
		if errors.Is(err, row.is) {
			return row.code
		}
	}
	if _, ok := errors.AsType[*embedetcd.DirInUseError](err); ok {
		return exitConflict
	}
	if _, ok := errors.AsType[*embedetcd.PortInUseError](err); ok {
		return exitConflict
	}
	if status.Code(err) == codes.Unavailable {
		return exitUnreachable
	}
	return exitFailure
}

// errorText is what the user is told; empty if everything has been said.
func errorText(err error) string {
	if err == nil {
		return ""
	}
	text := strings.TrimSpace(err.Error())
	for _, denied := range []error{rpctypes.ErrPermissionDenied, rpctypes.ErrUserEmpty, rpctypes.ErrAuthFailed} {
		if errors.Is(err, denied) {
			return text + " (give a user of etcd that may do this with --etcd-user or --etcd-cert)"
		}
	}
	if errors.Is(err, rpctypes.ErrNoSpace) {
		return text + " (alarm NOSPACE: compact etcd, run etcdctl defrag for each member, then etcdctl alarm disarm)"
	}
	return text
}

func exitCodesTopic() *cobra.Command {
	var b strings.Builder
	b.WriteString("Every verb ends with one of these codes, for scripts to rely on:\n\n")
	for _, m := range exitMeanings {
		fmt.Fprintf(&b, "  %3d  %s\n", m.code, m.meaning)
	}
	b.WriteString("\n\"lock run\" ends with the code of its command, and with 128 and the signal's number\n" +
		"if a signal ended that; its own failures have the codes above.")
	return &cobra.Command{Use: "exit-codes", Short: "What the exit codes mean", Long: b.String()}
}
