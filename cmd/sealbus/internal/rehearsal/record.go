package rehearsal

import (
	"slices"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys/trust"
	"github.com/sealbus/sealbus/keys/trust/policy"
)

// Record is what came of a scenario.
type Record struct {
	Scenario *Scenario
	Moments  []Moment  // the story, in the order of time
	Verdicts []Verdict // one for each event and consumer, and one for each event that was not sealed

	Asked, Bytes int // how often hosts were asked and answered, and bytes that they served

	faults  []*policy.Fault // that trust build finds
	uploads []upload
	heard   []heard
}

// upload is a bundle that came to the host.
type upload struct {
	at     time.Time
	bundle *trust.Bundle
}

// Moment is a sentence of the story.
type Moment struct {
	At   time.Time
	Of   Subject
	Text string
}

// Subject is what a moment is about.
type Subject int

// The subjects.
const (
	OfBundles   Subject = iota // publishers and the host
	OfConsumers                // what they get
	OfEvents
	OfKeys // what their schedules say
)

// Outcome says what became of an event at one consumer.
type Outcome string

// The outcomes.
const (
	Accepted Outcome = "accepted"
	// Rejected: for good, although its producer did what its keyring and its trust said.
	Rejected Outcome = "rejected"
	// UsedUp: it could not be judged until the dead-letter queue took it.
	UsedUp Outcome = "used_up"
	// Unsealed: no key of its producer could sign.
	Unsealed Outcome = "unsealed"
	// HeldBack: its producer refused to seal it yet, since consumers might not know what it needs. Publish may
	// be called again.
	HeldBack Outcome = "held_back"
	// Revoked: its key is revoked, so consumers have to refuse it.
	Revoked Outcome = "revoked"
	// Withheld: a mirror withholds the bundle from the consumer.
	Withheld Outcome = "withheld"
)

// Outcomes are all outcomes.
func Outcomes() []Outcome {
	return []Outcome{Accepted, Rejected, UsedUp, Unsealed, HeldBack, Revoked, Withheld}
}

// Verdict is the end of one event at one consumer.
type Verdict struct {
	Send     int // index of the event
	Consumer int // index of the consumer; -1 = it was not sealed
	KeyID    string
	Sealed   time.Time // by the true clock
	At       time.Time // when it was decided
	Outcome  Outcome
	Reason   envelope.Reason // of the last verdict; "" = accepted
}

// IsFailure reports whether an event of an honest producer was lost to its consumer.
func (v Verdict) IsFailure() bool {
	return v.Outcome == Rejected || v.Outcome == UsedUp || v.Outcome == Unsealed
}

// Failures are the verdicts on honest events that were lost.
func (r *Record) Failures() (list []Verdict) {
	for _, v := range r.Verdicts {
		if v.IsFailure() {
			list = append(list, v)
		}
	}
	return list
}

// Count is how many verdicts have that outcome.
func (r *Record) Count(o Outcome) (n int) {
	for _, v := range r.Verdicts {
		if v.Outcome == o {
			n++
		}
	}
	return n
}

// Days is how much virtual time passed, in days.
func (r *Record) Days() float64 { return r.Scenario.End.Sub(r.Scenario.Start).Hours() / 24 }

// Story is the moments up to the first failure, in the order of time.
func (r *Record) Story() []Moment {
	failures := r.Failures()
	if len(failures) == 0 {
		return r.Moments
	}
	until := failures[0].At
	i := slices.IndexFunc(r.Moments, func(m Moment) bool { return m.At.After(until) })
	if i < 0 {
		return r.Moments
	}
	return r.Moments[:i]
}
