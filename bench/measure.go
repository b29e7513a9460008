package main

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"
)

const (
	defaultRounds = 41
	// aTurn is how long one operation runs before the next one has its turn: long enough for the clock, and
	// short beside the time for which another program takes the processor.
	aTurn = 8 * time.Millisecond
)

var began = time.Now()

// wallTime is the time on the wall, in microseconds.
func wallTime() float64 { return float64(time.Since(began).Nanoseconds()) / 1e3 }

// processorTime is the time that the process used up, in all its threads, in microseconds. Other programs
// disturb it less than wallTime.
func processorTime() float64 {
	var used syscall.Rusage
	must(syscall.Getrusage(syscall.RUSAGE_SELF, &used) == nil)
	return float64(used.Utime.Nano()+used.Stime.Nano()) / 1e3
}

// clock is what is measured, in microseconds.
var clock = processorTime

// operation is one thing that is measured. All its figures are for one event.
type operation struct {
	name    string
	run     func()
	events  int            // how many events one run takes; 0 = 1
	prepare func(runs int) // before each turn, outside the clock, for so many runs; nil = nothing
	// processors is for a measurement on the wall with so many of them; 0 = all of them, and clock.
	processors int
	primitive  bool // it is of the standard library alone

	runs        int       // in a turn; 0 = calibrate was not called
	turns       []float64 // microseconds for one event, by turn
	allocations float64   // for one event
}

// turn runs the operation for about aTurn, and returns microseconds for one event.
func (o *operation) turn() float64 {
	if o.runs == 0 {
		o.calibrate()
	}
	return o.time(o.runs, clock)
}

// calibrate finds how many runs fill a turn. It also warms up, so that the key of an event is hot.
func (o *operation) calibrate() {
	for runs := 1; ; runs *= 2 {
		took := o.time(runs, clock) * float64(runs*max(o.events, 1))
		if turn := float64(aTurn.Microseconds()); took > turn/2 {
			o.runs = max(1, int(float64(runs)*turn/took))
			return
		}
	}
}

func (o *operation) time(runs int, clock func() float64) float64 {
	if o.processors > 0 {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(o.processors))
		clock = wallTime
	}
	if o.prepare != nil {
		o.prepare(runs)
	}
	from := clock()
	for range runs {
		o.run()
	}
	return (clock() - from) / float64(runs*max(o.events, 1))
}

func (o *operation) countAllocations() {
	const runs = 10
	if o.prepare != nil {
		o.prepare(runs + 1) // AllocsPerRun warms up by one run
	}
	o.allocations = testing.AllocsPerRun(runs, o.run) / float64(max(o.events, 1))
}

// least is the shortest turn. Whatever disturbs a measurement makes it longer, so this is the steadiest
// figure. A collection of garbage is in few turns, and so it is not in the shortest.
func (o *operation) least() float64 {
	least := math.Inf(1)
	for _, t := range o.turns {
		least = min(least, t)
	}
	return least
}

// mean is over all turns: it has the collections of garbage, and all that disturbed the measurement.
func (o *operation) mean() float64 {
	sum := 0.0
	for _, t := range o.turns {
		sum += t
	}
	return sum / float64(len(o.turns))
}

// kind says which figure a row is about.
type kind int

const (
	ratio     kind = iota // how many times the other operation: less is better
	adds                  // microseconds more than the other operation: less is better
	perSecond             // events in one second of one processor: more is better
	speedup               // how many times as fast as the other operation: more is better
	allocs                // allocations for one event: less is better
)

// row is one line of a table: an operation beside another one.
type row struct {
	*operation
	beside *operation // nil = nothing, and the row has no value but its time
	kind   kind
	target float64 // 0 = none
	wanted string  // what the target is about; "" = it is not in the table of targets
	peer   bool    // it is here for comparison, and not sealbus
}

// value is the figure of the row, by minima.
func (r row) value() float64 { return r.valueOf((*operation).least) }

func (r row) valueOf(figure func(*operation) float64) float64 {
	switch r.kind {
	case adds:
		return figure(r.operation) - figure(r.beside)
	case perSecond:
		return 1e6 / figure(r.operation)
	case speedup:
		return figure(r.beside) / figure(r.operation)
	case allocs:
		return r.allocations
	}
	return figure(r.operation) / figure(r.beside)
}

// shown is a value of this kind as the tables have it.
func (k kind) shown(value float64) string {
	switch k {
	case adds:
		return fmt.Sprintf("%.1f us", value)
	case perSecond:
		return fmt.Sprintf("%.0f a second", value)
	case speedup:
		return fmt.Sprintf("x%.2f", value)
	case allocs:
		return fmt.Sprintf("%.0f", value)
	}
	return fmt.Sprintf("%.2f", value)
}

// verdict says whether the target is met, and by how much it is missed.
func (r row) verdict() string {
	over := r.value() - r.target
	if r.kind == perSecond || r.kind == speedup {
		over = -over
	}
	switch {
	case r.target == 0:
		return ""
	case over <= 0:
		return "met"
	case r.kind == ratio: // the time says how much work it is
		return fmt.Sprintf("missed by %.2f (%.1f us)", over, over*r.beside.least())
	case r.kind == speedup:
		return fmt.Sprintf("missed by %.2f", over)
	}
	return "missed by " + r.kind.shown(over)
}

// group is rows that are measured together, all operations in turns.
type group struct {
	title string
	rows  []row
}

// operations are those of the rows, each once, in their order.
func (g group) operations() []*operation {
	var list []*operation
	seen := map[*operation]bool{nil: true}
	for _, r := range g.rows {
		for _, o := range []*operation{r.beside, r.operation} {
			if !seen[o] {
				seen[o] = true
				list = append(list, o)
			}
		}
	}
	return list
}

func (g group) measure(rounds int) {
	operations := g.operations()
	for range rounds {
		for _, o := range operations {
			o.turns = append(o.turns, o.turn())
		}
	}
	for _, o := range operations {
		o.countAllocations()
	}
	fmt.Fprintf(os.Stderr, "bench: measured %s\n", g.title)
}

func must(ok bool) {
	if !ok {
		panic("a measured operation failed")
	}
}
