//go:build !unix

package localaws

import "os/exec"

// ownGroup does nothing: there are no groups of processes.
func ownGroup(*exec.Cmd) {}

// killGroup kills a program that was started. The programs that it has started go on.
func killGroup(cmd *exec.Cmd) { _ = cmd.Process.Kill() }
