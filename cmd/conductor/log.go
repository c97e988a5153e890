package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"
)

type logOptions struct {
	level  string
	format choice
}

func (o *logOptions) flags(f *pflag.FlagSet) {
	o.format = choice{value: "auto", of: []string{"auto", "json", "text"}}
	f.StringVar(&o.level, "log-level", "info", "what is logged: debug, info, warn or error, and above")
	f.Var(&o.format, "log-format", "auto is text on a terminal and json elsewhere")
}

// logger writes to w, and says whether that is for people to read.
func (o *logOptions) logger(w io.Writer) (log *slog.Logger, forPeople bool, err error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(o.level)); err != nil {
		return nil, false, usage(fmt.Errorf("--log-level %q: want debug, info, warn or error", o.level))
	}
	opts := &slog.HandlerOptions{Level: level}
	if o.format.value == "text" || o.format.value == "auto" && terminal(w) {
		return slog.New(slog.NewTextHandler(w, opts)), true, nil
	}
	return slog.New(slog.NewJSONHandler(w, opts)), false, nil
}

// terminal says whether somebody reads or writes there, and not a file or a pipe.
func terminal(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	return err == nil
}
