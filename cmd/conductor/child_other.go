//go:build !linux

package main

import "syscall"

// dieWithParent would make the kernel end a child whose parent dies; this one cannot.
func dieWithParent(*syscall.SysProcAttr) {}
