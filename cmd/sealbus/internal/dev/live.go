package dev

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/envelope"
)

// Bounds of what waits to be told. Past them the server goes on, and what is not told is counted.
const (
	mostWaiting      = 10_000
	mostWaitingBytes = 32 << 20
)

// The kinds of happenings.
const (
	onBus        = "event"      // a bus took an event
	inQuarantine = "quarantine" // a record of a refused event came into the queue for them
	deadLetter   = "dead_letter"
	byFunction   = "function" // a function ended with a message
	output       = "output"   // a function wrote a line
	homeChanged  = "home"     // or whatever else is said in words
)

// happening is one thing that a line is written for.
type happening struct {
	at      time.Time
	kind    string
	where   string   // the name of the bus, the queue or the function
	body    string   // the event, or the message
	targets []string // onBus: the names of the queues that it went to; nil = there is no such bus
	from    string   // deadLetter: the queue that gave it up
	failed  bool     // byFunction
	text    string   // output: the line; byFunction: the error; homeChanged: what changed
}

func (h *happening) size() int { return len(h.where) + len(h.body) + len(h.from) + len(h.text) + 200 }

// watcher tells what happens. The server hands it over without ever waiting: a terminal that stands still
// stops no event.
type watcher struct {
	env   *ui.Env
	view  view
	judge atomic.Pointer[judge] // nil = events cannot be judged
	past  past                  // only of tell

	mu      sync.Mutex
	waiting []happening
	bytes   int
	lost    int
	closed  bool
	ready   chan struct{} // has an element if there may be something
}

func newWatcher(env *ui.Env) *watcher {
	return &watcher{env: env, view: newView(env.Out), ready: make(chan struct{}, 1)}
}

// add hands over what happened.
func (w *watcher) add(h happening) {
	h.at = w.env.Clock()
	w.mu.Lock()
	if len(w.waiting) >= mostWaiting || w.bytes+h.size() > mostWaitingBytes {
		w.lost++
	} else {
		w.waiting = append(w.waiting, h)
		w.bytes += h.size()
	}
	w.mu.Unlock()
	w.wake()
}

func (w *watcher) wake() {
	select {
	case w.ready <- struct{}{}:
	default:
	}
}

// close has tell return when all that waits is told.
func (w *watcher) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.wake()
}

// take is all that waits.
func (w *watcher) take() (list []happening, lost int, closed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	list, lost = w.waiting, w.lost
	w.waiting, w.bytes, w.lost = nil, 0, 0
	return list, lost, w.closed
}

// tell writes a line for each happening, until close. It returns early with an error of standard output.
func (w *watcher) tell(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx) // the last ones are judged, too
	for range w.ready {
		list, lost, closed := w.take()
		for i := range list {
			if err := w.tellOne(ctx, &list[i]); err != nil {
				return err
			}
		}
		if lost > 0 {
			w.env.Warnf("%s not shown: this terminal is slower than the bus", ui.CountOf(lost, "line is",
				"lines are"))
		}
		if closed {
			return nil
		}
	}
	return nil
}

func (w *watcher) tellOne(ctx context.Context, h *happening) error {
	switch h.kind {
	case output:
		w.env.Say(w.env.Talk.Dim(ui.Clean(h.where)+" |")+" "+ui.Clean(h.text), 2)
		return nil
	case homeChanged:
		w.env.Sayf("%s", h.text)
		return nil
	}
	line := w.lineOf(ctx, h)
	if w.env.JSON {
		return w.env.WriteJSON(line)
	}
	return w.env.WriteText(w.view.print(line))
}

// lineOf judges what a line is about.
func (w *watcher) lineOf(ctx context.Context, h *happening) *line {
	l := &line{Time: ui.FormatTime(h.at), What: h.kind, Where: h.where, at: h.at}
	j := w.judge.Load()
	switch h.kind {
	case onBus:
		l.verdict = j.event(ctx, []byte(h.body), h.targets)
		l.To, l.NoBus = h.targets, h.targets == nil
		if l.Verdict == ui.VerdictDuplicate || l.Reason == envelope.ReasonIDReused {
			w.past.note(notTheFirst, "", []byte(h.body))
		}
	case inQuarantine:
		l.verdict = recordOf(h.body)
		w.past.note(inQuarantine, l.Consumer, bodyOf(h.body))
	case deadLetter:
		l.verdict, l.From = j.look(ctx, []byte(h.body), h.from), h.from
		l.Verdict = "" // it was told when the event came
	case byFunction:
		l.verdict = j.look(ctx, []byte(h.body), h.where)
		l.Outcome = w.outcomeOf(h, l.Verdict)
		l.Verdict, l.Reason, l.Cause, l.Fix = "", "", "", ""
		if h.failed {
			l.Error = ui.ShortenTo(ui.Clean(h.text), mostError)
		}
	}
	return l
}

// outcomeOf is what became of a message of a function, as far as it is known: the function only says which
// messages are to come again.
func (w *watcher) outcomeOf(h *happening, verdict string) string {
	switch {
	case h.failed:
		return outcomeFailed
	case w.past.take(inQuarantine, h.where, []byte(h.body)),
		w.past.take(inQuarantine, h.where, bodyOf(h.body)): // it was reopened, and is refused again
		return outcomeQuarantined
	case verdict == ui.VerdictVerified && !w.past.has(notTheFirst, "", []byte(h.body)):
		return outcomeHandled
	}
	return outcomeAcknowledged
}

// mostError is how much of an error of a function is shown, in characters.
const mostError = 300

// maxOutputLine is how long a line of a function's output is shown, in bytes.
const maxOutputLine = 4 << 10

// outputOf takes what a function writes, and hands over each line. It never waits and never fails.
type outputOf struct {
	w    *watcher
	name string

	mu   sync.Mutex
	line []byte
	cut  bool // the rest of the line is not kept
}

// Write is the method of io.Writer.
func (o *outputOf) Write(data []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for rest := data; len(rest) > 0; {
		part, after, ended := bytes.Cut(rest, []byte("\n"))
		rest = after
		if room := maxOutputLine - len(o.line); len(part) > room {
			part, o.cut = part[:room], true
		}
		o.line = append(o.line, part...)
		if ended {
			o.flush()
		}
	}
	return len(data), nil
}

// flush hands over the line. It is called with the lock held.
func (o *outputOf) flush() {
	text := strings.TrimRight(string(o.line), "\r")
	if o.cut {
		text += " …"
	}
	o.line, o.cut = o.line[:0], false
	o.w.add(happening{kind: output, where: o.name, text: text})
}
