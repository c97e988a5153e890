// This file becomes part of package time in the conductor whose wall clock the
// tests set. The monotonic clock, and with it all timers, stay as they are: that
// is what happens to a process when somebody sets its machine's clock.
package time

import (
	"sync/atomic"
	"syscall"
)

// shifted is by how many seconds the wall clock is wrong.
var shifted atomic.Int64

// Now is also called where nothing may block, so the file is read beside it.
func init() {
	path, _ := syscall.Getenv("WALL_CLOCK_FILE")
	shifted.Store(readShift(path))
	go func() {
		for {
			Sleep(10 * Millisecond)
			shifted.Store(readShift(path))
		}
	}()
}

// readShift reads a number of seconds. The tests replace the file, so it is there.
func readShift(path string) int64 {
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		panic("WALL_CLOCK_FILE: " + err.Error())
	}
	defer syscall.Close(fd)
	var text [20]byte
	n, _ := syscall.Read(fd, text[:])
	seconds, sign := int64(0), int64(1)
	for _, c := range text[:max(n, 0)] {
		switch {
		case c == '-':
			sign = -1
		case '0' <= c && c <= '9':
			seconds = 10*seconds + int64(c-'0')
		}
	}
	return sign * seconds
}
