// Package program builds the programs of this module that tests run. A program is linked once for each state
// of its source: go run keeps what it links in the build cache, which go build does not.
package program

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
)

// Build puts the program of a package, such as "cmd/sealbus", into a file. It is stripped of debugging
// information, as one deploys it. Tags are those of the build, separated by commas.
func Build(file, pkg, tags string) error {
	_, here, _, _ := runtime.Caller(0)
	// With -exec, go run has the command cp run instead of the program, with the program's path and then
	// file.
	cmd := exec.Command("go", "run", "-ldflags=-s -w", "-tags="+tags, "-exec", "cp", "./"+pkg, file)
	cmd.Dir = filepath.Join(filepath.Dir(here), "../../..")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go run -exec cp %s: %w\n%s", pkg, err, out)
	}
	return nil
}
