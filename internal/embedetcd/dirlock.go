package embedetcd

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// lockName is the file in a data directory whose lock is the right to use it.
const lockName = "LOCK"

// DirLock is the right to use a data directory, held by at most one process of
// a machine at a time. The kernel gives it back when the process ends, however
// it ends, so there is never a stale one to clean up.
//
// A conductor holds one on its data directory with an etcd of its own or without:
// it is also the proof that an earlier process of the same directory is gone.
// On network file systems it is only as good as their flock.
type DirLock struct {
	f *os.File
}

// holder is what the lock file says, for people and for [DirInUseError]. It is
// of no use for deciding who holds the lock: only flock is.
type holder struct {
	PID   int       `json:"pid"`
	Host  string    `json:"host"`
	Since time.Time `json:"since"`
}

// LockDir makes dir if need be (mode 0700) and takes its lock, without waiting.
// The error is a [*DirInUseError] when another holds it, also if that is this
// same process, and a [*DirError] when dir cannot be made or written.
func LockDir(dir string) (*DirLock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, &DirError{Dir: dir, Err: err}
	}
	// Close-on-exec, as Go always opens: a child (ipmitool, say) that outlives
	// us must not keep the lock.
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, &DirError{Dir: dir, Err: err}
	}
	if err := flock(f); err != nil {
		defer f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, inUse(dir, f)
		}
		return nil, &DirError{Dir: dir, Err: err}
	}
	if err := writeHolder(f); err != nil {
		f.Close()
		return nil, &DirError{Dir: dir, Err: err}
	}
	return &DirLock{f: f}, nil
}

// Close gives the lock back. The file stays: removing it would let a process
// that has it open and one that makes it anew both hold "the" lock.
func (l *DirLock) Close() error {
	err := l.f.Truncate(0)
	return errors.Join(err, l.f.Close())
}

func flock(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}

func writeHolder(f *os.File) error {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	text, err := json.Marshal(holder{PID: os.Getpid(), Host: host, Since: time.Now().UTC().Truncate(time.Second)})
	if err != nil {
		return err
	}
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err = f.WriteAt(append(text, '\n'), 0)
	return err
}

func inUse(dir string, f *os.File) *DirInUseError {
	e := &DirInUseError{Dir: dir}
	// The holder may be between lock and write; then we do not know it.
	text, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		return e
	}
	var h holder
	if json.Unmarshal(text, &h) == nil {
		e.PID, e.Host, e.Since = h.PID, h.Host, h.Since
	}
	return e
}

// foreignEtcd tells whether some etcd that knows nothing of our lock file has
// the database in dir open. Without this look etcd would wait for it for ever.
func foreignEtcd(dir string) error {
	f, err := os.OpenFile(filepath.Join(dir, "member", "snap", "db"), os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return &DirError{Dir: dir, Err: err}
	}
	defer f.Close()
	switch err := flock(f); {
	case errors.Is(err, syscall.EWOULDBLOCK):
		return &DirInUseError{Dir: dir}
	case err != nil:
		return &DirError{Dir: dir, Err: fmt.Errorf("lock the database: %w", err)}
	}
	return nil
}
