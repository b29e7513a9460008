// Command bench measures what sealbus costs, beside the primitives that it cannot go without and beside what
// a program would do without it. It prints the measured part of RESULTS.md.
//
//	go run .                       # in this folder: print the tables, in processor time
//	go run . -write                # ... and write them, and the charts, into RESULTS.md
//	go run . -compare HEAD~20      # what became slower, or faster, since that commit
//	go run -C bench . -compare v1  # the same from the root of the repository
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := run(ctx); err != nil {
		if ctx.Err() != nil { // the error is of whatever the signal ended
			err = errors.New("interrupted")
		}
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	wall := flag.Bool("wall", false,
		"measure the time on the wall, not that of the processors with the garbage collector's")
	rounds := flag.Int("rounds", defaultRounds, "how many turns each operation has")
	write := flag.Bool("write", false, "write the tables into RESULTS.md, and the charts beside it")
	old := flag.String("compare", "",
		"measure this checkout and an older `commit` in turns, and print what became slower or faster")
	only := flag.String("only", "", "with -compare: only the operations whose name this `pattern` matches")
	turns := flag.Bool("turns", false, "measure what standard input names: -compare runs the program so")
	flag.Parse()
	if *wall {
		clock = wallTime
	}
	pattern, err := regexp.Compile(*only)
	switch {
	case err != nil:
		return err
	case flag.NArg() > 0:
		return fmt.Errorf("%q is no flag: see -help", flag.Arg(0))
	case *rounds < 1:
		return errors.New("-rounds is at least 1")
	case *old != "":
		return compare(ctx, *old, &duel{only: pattern, rounds: *rounds, wall: *wall})
	}
	p, err := newPlan()
	if err != nil {
		return err
	}
	if *turns {
		return serve(p, os.Stdin, os.Stdout)
	}
	for _, g := range p.groups() {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		g.measure(*rounds)
	}
	text := p.results(*rounds, *wall)
	if *write {
		return writeResults(p, text)
	}
	_, err = fmt.Print(text)
	return err
}
