package embedetcd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"runtime"
	"slices"
	"sync/atomic"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// advice are warnings that etcd gives on every start of a set-up like ours, all
// of them for other set-ups. They are logged as debug.
var advice = map[string]bool{
	"Running http and grpc server on single port. This is not recommended for production.": true,
	"simple token is not cryptographically signed":                                         true,
}

// bridge is a zap core that writes to slog.
type bridge struct {
	log    *slog.Logger
	run    *run
	fields []zapcore.Field
}

// level maps etcd's levels to ours. What etcd calls info is news to somebody who
// runs etcd; to somebody who runs a conductor it is debug.
func level(l zapcore.Level) slog.Level {
	switch {
	case l >= zapcore.ErrorLevel:
		return slog.LevelError
	case l == zapcore.WarnLevel:
		return slog.LevelWarn
	case l == zapcore.InfoLevel:
		return slog.LevelDebug
	default:
		return slog.LevelDebug - 4
	}
}

func (b bridge) Enabled(l zapcore.Level) bool {
	return b.log.Enabled(context.Background(), level(l))
}

func (b bridge) With(f []zapcore.Field) zapcore.Core {
	return bridge{log: b.log, run: b.run, fields: slices.Concat(b.fields, f)}
}

func (b bridge) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if b.Enabled(e.Level) {
		return ce.AddCore(e, b)
	}
	return ce
}

func (b bridge) Write(e zapcore.Entry, f []zapcore.Field) error {
	l := level(e.Level)
	if advice[e.Message] || b.run.closing.Load() && e.Level <= zapcore.ErrorLevel {
		l = slog.LevelDebug
	}
	values := decode(slices.Concat(b.fields, f))
	attrs := make([]slog.Attr, 0, len(values))
	for _, k := range slices.Sorted(maps.Keys(values)) {
		attrs = append(attrs, slog.Any(k, values[k]))
	}
	b.log.LogAttrs(context.Background(), l, e.Message, attrs...)
	return nil
}

func (bridge) Sync() error { return nil }

func decode(fields []zapcore.Field) map[string]any {
	enc := zapcore.NewMapObjectEncoder()
	for _, f := range fields {
		f.AddTo(enc)
	}
	return enc.Fields
}

// run is how far an etcd has come, which is what its log entries depend on.
//
// etcd ends the process with a "fatal" or "panic" entry, in whichever goroutine.
// While it starts that would take from our caller the chance to say what is wrong
// with the data, so until started is set the entry becomes an error and the
// goroutine ends. After that it is etcd's way: end the process, since its state
// on disk is no longer to be trusted.
type run struct {
	started atomic.Bool
	closing atomic.Bool // from here on etcd reports as errors what Close does to it
	reasons chan error  // buffered; why it could not start, the first counts
}

func newRun() *run { return &run{reasons: make(chan error, 1)} }

// OnWrite implements [zapcore.CheckWriteHook]. It does not return.
func (r *run) OnWrite(ce *zapcore.CheckedEntry, fields []zapcore.Field) {
	if r.started.Load() {
		if ce.Level == zapcore.FatalLevel {
			os.Exit(1)
		}
		panic("etcd: " + ce.Message)
	}
	r.fail(entryError(ce.Message, fields))
	runtime.Goexit()
}

func (r *run) fail(err error) {
	select {
	case r.reasons <- err:
	default:
	}
}

// entryError makes an error of a log entry, with the entry's own error as cause.
func entryError(msg string, fields []zapcore.Field) error {
	for _, f := range fields {
		if err, ok := f.Interface.(error); ok && f.Type == zapcore.ErrorType {
			return fmt.Errorf("%s: %w", msg, err)
		}
	}
	return errors.New(msg)
}

func zapTo(log *slog.Logger, r *run) *zap.Logger {
	return zap.New(bridge{log: log, run: r}, zap.WithFatalHook(r), zap.WithPanicHook(r))
}
