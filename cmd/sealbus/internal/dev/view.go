package dev

import (
	"strings"
	"time"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
)

// line is a line of what happens, for programs and for people.
type line struct {
	Time  string `json:"time"`
	What  string `json:"what"`  // event, function, quarantine or dead_letter
	Where string `json:"where"` // the bus, the function or the queue
	verdict
	To      []string `json:"to,omitempty"` // the queues that a rule gave the event to
	NoBus   bool     `json:"no_bus,omitempty"`
	Outcome string   `json:"outcome,omitempty"` // of a message of a function
	Error   string   `json:"error,omitempty"`   // of a function
	From    string   `json:"from,omitempty"`    // the queue that gave up a dead letter

	at time.Time
}

// The outcomes of a message that a function had.
const (
	outcomeHandled      = "handled"
	outcomeQuarantined  = "quarantined"  // the function put it into the quarantine
	outcomeAcknowledged = "acknowledged" // a copy, a reopened message, or an event that is refused or not judged
	outcomeFailed       = "failed"       // it comes again
)

// The most of each value that a line for people has, in characters.
const (
	mostWhere = 24
	mostValue = 44
	mostCause = 160
	mostTo    = 4 // queues that are named
)

// view writes lines for people. The column of places grows with what was in it.
type view struct {
	ui.Style
	where int
}

func newView(s ui.Style) view { return view{Style: s, where: len("central")} }

// print writes the line. On a terminal it is folded.
func (v *view) print(l *line) *ui.Printer {
	p := &ui.Printer{Style: v.Style}
	where := short(l.Where, mostWhere)
	v.where = max(v.where, ui.Width(where))
	begin := v.Dim(l.at.UTC().Format(time.TimeOnly)) + "  " + where +
		strings.Repeat(" ", v.where-ui.Width(where)) + "  "
	indent := ui.Width(begin) + len("✓ ")
	p.Hanging(begin+v.text(l), 0, indent, v.Width)
	if why := l.why(); why != "" {
		p.Hanging(v.Dim(short(why, mostCause)), indent, indent, v.Width)
	}
	return p
}

func (l *line) why() string {
	if l.Error != "" {
		return l.Error
	}
	return l.Cause
}

// text is what happened.
func (v *view) text(l *line) string {
	switch l.What {
	case byFunction:
		switch l.Outcome {
		case outcomeHandled:
			return v.Green("✓ handled") + " " + v.id(l)
		case outcomeQuarantined:
			return v.Red("✗ quarantined") + " " + v.id(l)
		case outcomeAcknowledged:
			return "= acknowledged " + v.id(l)
		}
		return v.Red("✗ failed") + " " + v.id(l) + v.Dim(", it comes again")
	case inQuarantine:
		return v.Red("✗ refused") + " " + v.id(l) + " " + v.Dim("by") + " ?" + short(l.Consumer, mostValue) +
			" " + v.Bold(short(string(l.Reason), mostValue))
	case deadLetter:
		return v.Red("✗ given up") + " " + v.id(l) + " " + v.Dim("by the queue") + " " + short(l.From,
			mostValue)
	}
	return v.judged(l)
}

func (v *view) judged(l *line) string {
	paint, mark, said := v.VerdictPaint(l.Verdict), "✗ ", l.Verdict
	switch l.Verdict {
	case ui.VerdictVerified:
		mark = "✓ "
	case ui.VerdictDuplicate:
		mark = "= "
	case verdictUnjudged, ui.VerdictUnavailable:
		paint, mark = v.Yellow, "? "
	}
	if l.Reason != "" {
		said = string(l.Reason)
	}
	text := paint(mark+said) + " " + v.kind(l) + " " + v.id(l)
	if l.Producer != "" {
		text += " " + v.Dim("by") + " " + short(l.Producer, mostValue)
	}
	if l.Encrypted {
		text += v.Dim(", encrypted")
	}
	if l.Consumer != "" {
		text += v.Dim(", says consumer ") + short(l.Consumer, mostValue)
	}
	return text + " " + v.route(l)
}

// route is where the event went.
func (v *view) route(l *line) string {
	switch {
	case l.NoBus:
		return v.Red("→ lost: there is no such bus")
	case len(l.To) == 0:
		return v.Yellow("→ nowhere: no rule matches")
	}
	names := l.To[:min(len(l.To), mostTo)]
	var shown []string
	for _, n := range names {
		shown = append(shown, short(n, mostValue))
	}
	text := v.Dim("→") + " " + strings.Join(shown, ", ")
	if more := len(l.To) - len(names); more > 0 {
		text += " " + v.Dim("and "+ui.Count(more, "other"))
	}
	return text
}

func (v *view) kind(l *line) string {
	if l.Unverified != nil {
		return v.claimed(l.Unverified.Type)
	}
	return short(l.Type, mostValue)
}

func (v *view) id(l *line) string {
	if l.Unverified != nil {
		return v.claimed(l.Unverified.ID)
	}
	if l.ID == "" {
		return v.Dim("-")
	}
	return short(l.ID, mostValue)
}

// claimed marks what is not verified.
func (v *view) claimed(text string) string {
	if text == "" {
		return v.Dim("-")
	}
	return v.Yellow("?" + short(text, mostValue))
}

// short is text, made harmless and cut.
func short(text string, most int) string { return ui.ShortenTo(ui.Clean(text), most-1) }
