package rehearsal

import (
	"container/heap"
	"time"
)

// timeline runs what is due, in the order of time, and at one time in the order in which it was added.
type timeline struct {
	now time.Time
	due dues
	n   int // added so far
}

type due struct {
	at time.Time
	n  int
	do func()
}

// at has do run at that time, or now if that has passed.
func (t *timeline) at(when time.Time, do func()) {
	if when.Before(t.now) {
		when = t.now
	}
	t.n++
	heap.Push(&t.due, due{when, t.n, do})
}

// run runs all that is due before end.
func (t *timeline) run(end time.Time) {
	for len(t.due) > 0 && t.due[0].at.Before(end) {
		next := heap.Pop(&t.due).(due)
		t.now = next.at
		next.do()
	}
	t.now = end
}

// ahead is a clock that is ahead of the timeline by that much.
func (t *timeline) ahead(by time.Duration) func() time.Time {
	return func() time.Time { return t.now.Add(by) }
}

// dues is a heap.
type dues []due

func (d dues) Len() int { return len(d) }

func (d dues) Less(i, j int) bool {
	if d[i].at.Equal(d[j].at) {
		return d[i].n < d[j].n
	}
	return d[i].at.Before(d[j].at)
}

func (d dues) Swap(i, j int) { d[i], d[j] = d[j], d[i] }

func (d *dues) Push(x any) { *d = append(*d, x.(due)) }

func (d *dues) Pop() any {
	last := (*d)[len(*d)-1]
	*d = (*d)[:len(*d)-1]
	return last
}
