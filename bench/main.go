// Command bench prints the table of RESULTS.md: each operation beside the primitive that it cannot do
// without, in one run, as a ratio.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/sealbus/sealbus/keys"
)

const (
	rounds  = 41
	perTurn = 8 * time.Millisecond
)

// clock is what is measured, in microseconds: the time on the wall, or that of the processors.
var clock = func() float64 { return float64(time.Since(began).Nanoseconds()) / 1e3 }

var began = time.Now()

// processorTime is what the process used up, in all its threads: for a machine that is busy.
func processorTime() float64 {
	var used syscall.Rusage
	must(syscall.Getrusage(syscall.RUSAGE_SELF, &used) == nil)
	return float64(used.Utime.Nano()+used.Stime.Nano()) / 1e3
}

func main() {
	what := "wall time"
	cpu := flag.Bool("cpu", false,
		"measure the processors' time, with the garbage collector's, not that on the wall")
	if flag.Parse(); *cpu {
		clock, what = processorTime, "processor time"
	}
	fmt.Printf("%s, %s/%s, GOMAXPROCS %d; %s, medians of %d rounds, operation and primitive in turn\n\n",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0), what, rounds)
	fmt.Println("| operation | us | primitive us | ratio | target | allocations |")
	fmt.Println("|---|---:|---:|---:|---:|---:|")
	for _, alg := range []keys.Algorithm{keys.Ed25519, keys.ES256} {
		for _, size := range []int{1 << 10, 16 << 10} {
			f, err := newFixture(alg, size)
			if err != nil {
				fmt.Fprintln(os.Stderr, "bench:", err)
				os.Exit(1)
			}
			for _, b := range f.benches() {
				row(b)
			}
		}
	}
	fmt.Printf("\n| operation, Ed25519 | us | without us | adds us | target us | allocations |\n|---|---:|---:|---:|---:|---:|\n")
	for _, size := range []int{1 << 10, 16 << 10} {
		s, err := newSecrets(size)
		if err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		for _, a := range s.additions() {
			additionRow(a)
		}
	}
}

func additionRow(a addition) {
	var withs, withouts, adds []float64
	for range rounds {
		with, without := perOp(a.run), 0.0
		if a.plain != nil {
			without = perOp(a.plain)
		}
		withs, withouts, adds = append(withs, with), append(withouts, without), append(adds, with-without)
	}
	target := "peer"
	if a.target > 0 {
		target = fmt.Sprintf("%.0f", a.target)
	}
	fmt.Printf("| %s | %.1f | %.1f | %.1f | %s | %.0f |\n", a.name, median(withs), median(withouts),
		median(adds), target, testing.AllocsPerRun(50, a.run))
}

func row(b bench) {
	var ops, raws, ratios []float64
	for range rounds {
		op, raw := perOp(b.run), perOp(b.raw)
		ops, raws, ratios = append(ops, op), append(raws, raw), append(ratios, op/raw)
	}
	target := "peer"
	switch {
	case b.target > 0:
		target = fmt.Sprintf("%.2f", b.target)
	case b.target < 0:
		target = "-"
	}
	fmt.Printf("| %s | %.1f | %.1f | %.2f | %s | %.0f |\n", b.name, median(ops), median(raws), median(ratios),
		target, testing.AllocsPerRun(50, b.run))
}

// perOp runs f for about perTurn and returns microseconds per call.
func perOp(f func()) float64 {
	start := time.Now()
	from := clock()
	n := 0
	for time.Since(start) < perTurn {
		for range 8 {
			f()
		}
		n += 8
	}
	return (clock() - from) / float64(n)
}

func median(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}
