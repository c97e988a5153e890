package main

import "syscall"

// dieWithParent makes the kernel end a child whose parent dies, however it dies.
func dieWithParent(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGKILL }
