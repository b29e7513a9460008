// Count prints how much a reader of the code has to follow: the functions that opening and handling one event
// reach, exported names, fields of options, lines, and tests and their helpers.
//
// Usage:
//
//	count [-C dir] [-list name] [-max name=number,...] [name=package.Function ...]
//
// The entries are open=envelope.Open and handle=consumer.Consumer.Handle, or those that the arguments give. A
// package is named by its path below the module, or by its whole import path. -C counts another checkout.
// -list prints the functions that an entry reaches. -max exits with status 1 if a figure is over its limit.
//
// # What is reached
//
// The call graph comes from variable type analysis (golang.org/x/tools/go/callgraph/vta). It grows from the
// entry alone: an interface has the types that reached functions put into it. So a source of trust or a store
// of claims that the caller brings is not followed, nor is a test double. Three rules make the count a
// reader's:
//
//   - a function is one declaration; its closures and the instances of its type parameters belong to it;
//   - calls into another module are neither counted nor followed;
//   - a call through a function value is followed if the calling function itself names the functions that the
//     value may be. The column "all" follows every function value, such as a table of checks; -list prints
//     these functions with a star.
//
// The depth is that of the function farthest from the entry, by the shortest chain of calls.
//
// On commit 6b1d91a, before the rebuild, envelope.Open reached 401 functions in 52 files of 9 packages, 18
// calls deep, and Consumer.Handle 475 in 62 files. After it they reach 213
// in 33 files, 9 deep, and 261 in 41 files. filippo.io/age.Decrypt reaches 20 functions in 4 files,
// and golang.org/x/mod/sumdb/note.Open 4 in one.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
)

func main() {
	flags := flag.NewFlagSet("count", flag.ContinueOnError)
	dir := flags.String("C", ".", "count the module in `dir`")
	list := flags.String("list", "", "print the functions that the entry `name` reaches")
	max := flags.String("max", "", "exit with status 1 if a figure is over its limit: `name=number,...`")
	if err := flags.Parse(os.Args[1:]); err != nil {
		os.Exit(2)
	}
	if err := run(os.Stdout, *dir, *list, *max, flags.Args()); err != nil {
		fmt.Fprintf(os.Stderr, "count: %v\n", err)
		os.Exit(1)
	}
}

// run prints the figures of the module in dir and returns an error if one is over its limit.
func run(w io.Writer, dir, list, max string, args []string) error {
	limits, err := parseLimits(max)
	if err != nil {
		return err
	}
	entries, err := parseEntries(args)
	if err != nil {
		return err
	}
	reached, err := reach(dir, entries)
	if err != nil {
		return err
	}
	if list != "" {
		return printList(w, reached, list)
	}
	figures := printReached(w, reached)
	if len(args) == 0 {
		source, err := readSource(dir)
		if err != nil {
			return err
		}
		figures = append(figures, printSource(w, source)...)
	}
	return check(figures, limits)
}

// A figure is a number that a limit can name.
type figure struct {
	name  string
	value int
}

// check returns an error that names each figure that is over its limit, and each limit without a figure.
func check(figures, limits []figure) error {
	var over []string
	for _, limit := range limits {
		i := slices.IndexFunc(figures, func(f figure) bool { return f.name == limit.name })
		switch {
		case i < 0:
			over = append(over, fmt.Sprintf("no figure is named %q", limit.name))
		case figures[i].value > limit.value:
			over = append(over, fmt.Sprintf("%s is %d, the limit is %d", limit.name, figures[i].value,
				limit.value))
		}
	}
	if over == nil {
		return nil
	}
	return fmt.Errorf("%s", strings.Join(over, "; "))
}

func parseLimits(text string) ([]figure, error) {
	var limits []figure
	if text == "" {
		return nil, nil
	}
	for _, part := range strings.Split(text, ",") {
		name, number, _ := strings.Cut(part, "=")
		value, err := strconv.Atoi(number)
		if err != nil {
			return nil, fmt.Errorf("-max %q is not name=number", part)
		}
		limits = append(limits, figure{name, value})
	}
	return limits, nil
}

// An entry is a function from which the count starts.
type entry struct {
	name     string // open
	path     string // envelope, or a whole import path
	receiver string // "" for a function
	function string
}

// title returns the name as in a program: Open, or Consumer.Handle.
func (e entry) title() string {
	return strings.TrimPrefix(e.receiver+"."+e.function, ".")
}

var defaults = []string{"open=envelope.Open", "handle=consumer.Consumer.Handle"}

func parseEntries(args []string) ([]entry, error) {
	if len(args) == 0 {
		args = defaults
	}
	var entries []entry
	for _, arg := range args {
		name, target, ok := strings.Cut(arg, "=")
		slash := strings.LastIndex(target, "/") + 1
		parts := strings.Split(target[slash:], ".")
		if !ok || len(parts) < 2 || len(parts) > 3 {
			return nil, fmt.Errorf("%q is not name=package.Function or name=package.Type.Method", arg)
		}
		e := entry{name: name, path: target[:slash] + parts[0], function: parts[len(parts)-1]}
		if len(parts) == 3 {
			e.receiver = parts[1]
		}
		entries = append(entries, e)
	}
	return entries, nil
}
