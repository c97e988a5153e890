package embedetcd

import (
	"fmt"
	"time"
)

// PortInUseError is returned by [Start] when something else listens on the
// address etcd was to serve clients on.
type PortInUseError struct {
	Addr string // host:port
	Err  error  // what the operating system said
}

func (e *PortInUseError) Error() string {
	return e.Addr + " is in use: is another etcd or conductor running?" +
		" listen elsewhere with --etcd-listen, or use that etcd with --etcd-endpoints"
}

func (e *PortInUseError) Unwrap() error { return e.Err }

// DirInUseError is returned by [LockDir] and [Start] when another process holds
// the data directory.
type DirInUseError struct {
	Dir string

	// Who holds it, as the holder wrote it into the lock file. PID is 0 when
	// that is not known; then the others are empty too. A PID is one of the
	// Host named, and means nothing on another.
	PID   int
	Host  string
	Since time.Time
}

func (e *DirInUseError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("data directory %s is in use by another process"+
			" (fuser -v %s names it): stop it, or choose another with --data-dir", e.Dir, e.Dir)
	}
	return fmt.Sprintf("data directory %s is in use by process %d on %s since %s:"+
		" stop it, or choose another with --data-dir",
		e.Dir, e.PID, e.Host, e.Since.UTC().Format(time.RFC3339))
}

// DirError is returned by [LockDir] and [Start] when the data directory cannot
// be made or written.
type DirError struct {
	Dir string
	Err error
}

func (e *DirError) Error() string {
	return fmt.Sprintf("data directory %s cannot be used: %v:"+
		" make it writable for this user, or choose another with --data-dir", e.Dir, e.Err)
}

func (e *DirError) Unwrap() error { return e.Err }

// DataError is returned by [Start] when the directory holds data that this etcd
// cannot run on: written by a newer etcd, of a larger cluster, or damaged. The
// data is left as it was.
//
// After a DataError this process may still hold the listener and the files of
// the failed start, so it should report the error and end.
type DataError struct {
	Dir     string
	Version string // of the etcd that could not use it
	Err     error  // what etcd said
}

func (e *DataError) Error() string {
	return fmt.Sprintf("etcd %s cannot run on the data in %s: %v:"+
		" was it written by a newer etcd, or by a member of a larger cluster?"+
		" restore a snapshot (etcdutl snapshot restore), or move the directory away and start empty",
		e.Version, e.Dir, e.Err)
}

func (e *DataError) Unwrap() error { return e.Err }
