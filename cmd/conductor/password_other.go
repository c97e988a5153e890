//go:build !linux

package main

import (
	"errors"
	"os"
)

// hideInput would keep a terminal from showing what is typed; here it cannot.
func hideInput(*os.File) (show func(), err error) {
	return nil, errors.New("is needed: this system cannot hide what is typed")
}
