package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const (
	// sessions is how often both programs are started anew. How the memory of a process happens to lie can
	// make an operation some per cent faster or slower, so a difference counts if each session has it.
	sessions = 3
	// noticeable is the difference that is marked.
	noticeable = 0.03
)

// compare measures this checkout, with its changes, and an older commit in turns.
func compare(ctx context.Context, old string, d *duel) (err error) {
	dir, err := os.MkdirTemp("", "sealbus-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	root, err := output(ctx, "", "git", "rev-parse", "--show-toplevel")
	if err != nil {
		return err
	}
	commit, err := output(ctx, root, "git", "rev-parse", "--verify", "--short", old+"^{commit}")
	if err != nil {
		return err
	}
	tree := filepath.Join(dir, "tree")
	defer func() { err = errors.Join(err, removeTree(root, tree)) }()
	_, err = output(ctx, root, "git", "worktree", "add", "--quiet", "--detach", tree, commit)
	if err != nil {
		return err
	}
	newProgram := filepath.Join(dir, "new")
	if _, err := output(ctx, filepath.Join(root, "bench"), "go", "build", "-buildvcs=false", "-o", newProgram,
		"."); err != nil {
		return err
	}
	oldProgram, which, err := buildOld(ctx, root, tree, dir)
	if err != nil {
		return fmt.Errorf("%s cannot be measured: %w", commit, err)
	}
	fmt.Printf("new: this checkout as it is. old: %s, measured by %s.\n", commit, which)
	d.old, d.new = map[string][]float64{}, map[string][]float64{}
	for i := range sessions {
		fmt.Fprintf(os.Stderr, "bench: session %d of %d\n", i+1, sessions)
		if err := d.session(ctx, oldProgram, newProgram); err != nil {
			return errors.Join(ctx.Err(), err)
		}
	}
	d.print()
	return nil
}

// output runs a command in dir and returns what it prints, without the last line feed.
func output(ctx context.Context, dir, name string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, name, args...)
	command.Dir = dir
	var talk bytes.Buffer
	command.Stderr = &talk
	out, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, talk.Bytes())
	}
	return strings.TrimSpace(string(out)), nil
}

// removeTree removes the worktree, also after an interrupt, and when git had not finished making it.
func removeTree(root, tree string) error {
	ctx := context.Background()
	_, err := output(ctx, root, "git", "worktree", "remove", "--force", "--force", tree)
	if err == nil {
		return nil
	}
	if err := os.RemoveAll(tree); err != nil {
		return err
	}
	_, err = output(ctx, root, "git", "worktree", "prune")
	return err
}

// buildOld builds this very program with the old library, because then both do the same. If it does not
// compile with that, the old program has to know -turns.
func buildOld(ctx context.Context, root, tree, dir string) (program, which string, err error) {
	copied := filepath.Join(dir, "program")
	program = filepath.Join(dir, "old")
	if err := copyProgram(filepath.Join(root, "bench"), copied); err != nil {
		return "", "", err
	}
	_, err = output(ctx, copied, "go", "mod", "edit", "-replace", "github.com/sealbus/sealbus="+tree)
	if err != nil {
		return "", "", err
	}
	// The old library may need other versions than bench/go.mod has, and -mod=mod finds them. It would also
	// ask the world for packages that the old library lacks: env says that these are nowhere else.
	_, own := output(ctx, copied, "env", "GOPRIVATE=github.com/sealbus", "GOVCS=github.com/sealbus:off",
		"go", "build", "-buildvcs=false", "-mod=mod", "-o", program, ".")
	if own == nil {
		return program, "the program of this checkout", nil
	}
	_, theirs := output(ctx, filepath.Join(tree, "bench"), "go", "build", "-buildvcs=false", "-o", program,
		".")
	if theirs == nil {
		var r *rival
		if r, theirs = startRival(ctx, program, false); theirs == nil {
			return program, "its own program, because that of this checkout does not compile with it",
				r.stop(nil)
		}
	}
	return "", "", fmt.Errorf("this program does not compile with its library, and its own does not know "+
		"-turns\n%w\n%w", own, theirs)
}

// copyProgram copies the program without its tests.
func copyProgram(from, to string) error {
	if err := os.Mkdir(to, 0o700); err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(from, "*.go"))
	for _, name := range append(files, filepath.Join(from, "go.mod"), filepath.Join(from, "go.sum")) {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, readErr := os.ReadFile(name)
		err = errors.Join(err, readErr, os.WriteFile(filepath.Join(to, filepath.Base(name)), text, 0o600))
	}
	return err
}

// duel is two programs and what they measured.
type duel struct {
	only   *regexp.Regexp // the names of the operations to measure
	rounds int            // in all sessions
	wall   bool

	names    []string             // of the operations that both have
	lacking  []string             // of those that the old one has not
	control  map[string]bool      // those that are the same in both
	old, new map[string][]float64 // by operation, the shortest turn of each session
}

// session starts both programs, and gives each operation its turns in both of them, one after the other.
func (d *duel) session(ctx context.Context, oldProgram, newProgram string) (err error) {
	old, err := startRival(ctx, oldProgram, d.wall)
	if err != nil {
		return err
	}
	defer func() { err = old.stop(err) }()
	young, err := startRival(ctx, newProgram, d.wall)
	if err != nil {
		return err
	}
	defer func() { err = young.stop(err) }()
	d.names, d.lacking, d.control = nil, nil, map[string]bool{}
	for _, name := range young.hello.Primitives {
		d.control[name] = true
	}
	for _, name := range young.hello.Operations {
		switch {
		case !d.only.MatchString(name):
		case slices.Contains(old.hello.Operations, name):
			d.names = append(d.names, name)
		default:
			d.lacking = append(d.lacking, name)
		}
	}
	for _, name := range d.names {
		oldLeast, newLeast := math.Inf(1), math.Inf(1)
		for range max(1, d.rounds/sessions) {
			us, err := old.turn(name)
			if err != nil {
				return err
			}
			oldLeast = min(oldLeast, us)
			if us, err = young.turn(name); err != nil {
				return err
			}
			newLeast = min(newLeast, us)
		}
		d.old[name], d.new[name] = append(d.old[name], oldLeast), append(d.new[name], newLeast)
	}
	return nil
}

func (d *duel) print() {
	fmt.Printf("\nMinima of %d sessions with %d turns of %d ms each. A mark says that every session shows a "+
		"difference\nof more than %.0f %%.\n\n", sessions, max(1, d.rounds/sessions), aTurn.Milliseconds(),
		100*noticeable)
	fmt.Println("| operation | old us | new us | new/old | by session | |")
	fmt.Println("|---|---:|---:|---:|---:|---|")
	slower, judged, unsteady := 0, 0, 0.0
	for _, name := range d.names {
		old, young := d.old[name], d.new[name]
		whole := slices.Min(young) / slices.Min(old)
		low, high := math.Inf(1), 0.0
		for i := range old {
			low, high = min(low, young[i]/old[i]), max(high, young[i]/old[i])
		}
		mark := ""
		if !d.control[name] {
			judged++
		}
		switch {
		case d.control[name]:
			mark = "the same in both"
			unsteady = max(unsteady, math.Abs(whole-1))
		case low > 1+noticeable:
			mark = "**slower**"
			slower++
		case high < 1-noticeable:
			mark = "faster"
		case whole > 1+noticeable:
			mark = "slower, but not in every session"
		}
		fmt.Printf("| %s | %.1f | %.1f | %.2f | %.2f - %.2f | %s |\n", name, slices.Min(old),
			slices.Min(young), whole, low, high, mark)
	}
	fmt.Printf("\n%d of %d operations are slower. The primitives, which are the same in both, differ by up "+
		"to %.0f %%.\n", slower, judged, 100*unsteady)
	if unsteady > noticeable {
		fmt.Println("The machine was not steady: do not believe a smaller difference, and measure again.")
	}
	if len(d.lacking) > 0 {
		fmt.Printf("\nThe old program lacks:\n\n- %s\n", strings.Join(d.lacking, "\n- "))
	}
}
