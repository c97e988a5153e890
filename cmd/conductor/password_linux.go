package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// hideInput keeps a terminal from showing what is typed, until show is called.
func hideInput(tty *os.File) (show func(), err error) {
	before, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		return nil, err
	}
	hidden := *before
	hidden.Lflag &^= unix.ECHO
	hidden.Lflag |= unix.ICANON | unix.ISIG
	if err := unix.IoctlSetTermios(int(tty.Fd()), unix.TCSETS, &hidden); err != nil {
		return nil, err
	}
	return func() { _ = unix.IoctlSetTermios(int(tty.Fd()), unix.TCSETS, before) }, nil
}
