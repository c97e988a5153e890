package main

import (
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// supervisor is what started the service, as far as it wants to know how that
// goes: systemd with Type=notify, or nobody. See sd_notify(3).
type supervisor struct {
	conn  net.Conn // nil: nobody
	every time.Duration
}

// newSupervisor reads the environment that systemd sets.
func newSupervisor(env func(string) string) (*supervisor, error) {
	path := env("NOTIFY_SOCKET")
	if path == "" {
		return &supervisor{}, nil
	}
	if strings.HasPrefix(path, "@") { // in the abstract name space
		path = "\x00" + path[1:]
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	v := &supervisor{conn: conn}
	usec, err := strconv.ParseInt(env("WATCHDOG_USEC"), 10, 64)
	if pid := env("WATCHDOG_PID"); err == nil && (pid == "" || pid == strconv.Itoa(os.Getpid())) {
		v.every = time.Duration(usec) * time.Microsecond / 2
	}
	return v, nil
}

// tell sends lines such as READY=1. That nobody listens is no reason to stop.
func (v *supervisor) tell(lines ...string) {
	if v.conn != nil {
		_, _ = v.conn.Write([]byte(strings.Join(lines, "\n")))
	}
}

// reassure says now and then that all is well, as long as that is so, until done.
func (v *supervisor) reassure(well func() error, done <-chan struct{}) {
	if v.conn == nil || v.every == 0 {
		return
	}
	tick := time.NewTicker(v.every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if well() == nil {
				v.tell("WATCHDOG=1")
			}
		case <-done:
			return
		}
	}
}
