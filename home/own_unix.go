//go:build unix

package home

import (
	"fmt"
	"os"
	"syscall"
)

// checkOwn refuses what another user may change and, of a secret, read.
func checkOwn(path string, info os.FileInfo, secret bool) error {
	s, ok := info.Sys().(*syscall.Stat_t)
	if me := os.Geteuid(); ok && me != 0 && s.Uid != 0 && int64(s.Uid) != int64(me) {
		return fmt.Errorf("home: %s belongs to another user (%d), who decides what is in it: make a home of your own",
			path, s.Uid)
	}
	switch mode := info.Mode().Perm(); {
	case secret && mode&0o077 != 0:
		return fmt.Errorf("home: others may read or change %s, which is secret (mode %04o): chmod 600 %s", path, mode,
			quoted(path))
	case mode&0o022 != 0:
		return fmt.Errorf("home: others may change %s (mode %04o), and with it who is trusted: chmod go-w %s", path,
			mode, quoted(path))
	}
	return nil
}

// isMine reports whether the file belongs to the user who runs this, or to root. Unlike checkOwn, it asks
// root too: the directory of a user has that user's home.
func isMine(info os.FileInfo) bool {
	s, ok := info.Sys().(*syscall.Stat_t)
	return !ok || s.Uid == 0 || int64(s.Uid) == int64(os.Geteuid())
}

// numberOf identifies the directory on its disk; false = the system does not say.
func numberOf(dir string) (uint64, bool) {
	info, err := os.Stat(dir)
	if err != nil {
		return 0, false
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return uint64(s.Ino), true // it is another type on some systems
}
