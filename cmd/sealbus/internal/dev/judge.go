package dev

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/input"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/home"
	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/keys/trust"
)

// verdictUnjudged is that of an event where there is no trust to judge it by.
const verdictUnjudged = "not judged"

// verdict is what is known of an event. Beside Unverified all was verified.
type verdict struct {
	Verdict    string          `json:"verdict,omitempty"`
	Reason     envelope.Reason `json:"reason,omitempty"`
	Cause      string          `json:"cause,omitempty"`
	Fix        string          `json:"fix,omitempty"`
	Producer   string          `json:"producer,omitempty"`
	Source     string          `json:"source,omitempty"`
	Type       string          `json:"type,omitempty"`
	ID         string          `json:"id,omitempty"`
	Encrypted  bool            `json:"encrypted,omitempty"`
	Consumer   string          `json:"consumer,omitempty"` // who refused it
	Unverified *claim          `json:"unverified,omitempty"`
}

// claim is what an event says of itself that is not verified.
type claim struct {
	Source string `json:"source,omitempty"`
	Type   string `json:"type,omitempty"`
	ID     string `json:"id,omitempty"`
}

// judge judges events as the consumers of the home would that they go to. Where they go to none, it judges as
// a consumer would that takes every source of the trust bundle. It hands nothing over: its verdicts are for a
// person to read.
type judge struct {
	opener    *envelope.Opener
	consumers map[string]*envelope.Opener // by their names, which are those of their queues
	seen      replay.Store                // what came before, so that a copy is told from the first
}

func newJudge(source trust.Source, seen replay.Store, c *home.Config, now func() time.Time) (*judge, error) {
	opener, err := envelope.NewOpener(source, &envelope.Policy{
		Audience: c.Audience, Now: now,
		// The trust bundle binds each producer to its sources. The rules of the bus have those of consumers.
		Unsafe: envelope.Unsafe{AnySource: true},
	})
	if err != nil {
		return nil, err
	}
	j := &judge{opener, map[string]*envelope.Opener{}, seen}
	for i := range c.Consumers {
		e := &c.Consumers[i]
		sources, err := c.SourcesOf(e)
		if err != nil {
			continue // it cannot start: it accepts no source
		}
		j.consumers[e.Name], err = envelope.NewOpener(source, &envelope.Policy{Sources: sources, Types: e.Types,
			Audience: c.AudienceOf(e), Now: now})
		if err != nil {
			return nil, err
		}
	}
	return j, nil
}

// event judges what came on a bus and went to these queues.
func (j *judge) event(ctx context.Context, doc []byte, queues []string) verdict {
	v, opened := j.openFor(ctx, doc, queues)
	if opened == nil {
		return v
	}
	status, err := j.remember(ctx, opened)
	switch {
	case err != nil: // the store is full: what it would have said is not known
	case status == replay.Completed:
		v.Verdict = ui.VerdictDuplicate
	case status == replay.CompletedOther:
		v.Verdict, v.Reason = ui.VerdictRejected, envelope.ReasonIDReused
		v.Cause, v.Fix = v.Reason.Cause(), v.Reason.Fix()
	}
	return v
}

// look judges what was told of before and was in this queue: it may come again.
func (j *judge) look(ctx context.Context, doc []byte, queue string) verdict {
	v, _ := j.openFor(ctx, doc, []string{queue})
	return v
}

// openFor opens the event as each consumer of these queues. The first that refuses decides; it is named if
// there are others.
func (j *judge) openFor(ctx context.Context, doc []byte, queues []string) (v verdict, opened *envelope.Opened) {
	if j == nil {
		return verdict{Verdict: verdictUnjudged, Unverified: claimOf(doc)}, nil
	}
	var names []string
	for _, name := range queues {
		if j.consumers[name] != nil && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if names == nil {
		return j.open(ctx, doc, j.opener)
	}
	for _, name := range names {
		if v, opened = j.open(ctx, doc, j.consumers[name]); opened == nil {
			if len(names) > 1 {
				v.Consumer = name
			}
			return v, nil
		}
	}
	return v, opened
}

func (j *judge) open(ctx context.Context, doc []byte, opener *envelope.Opener) (verdict, *envelope.Opened) {
	format := input.FormatOf(doc)
	if format == consumer.QuarantineRecord {
		return recordOf(string(doc)), nil
	}
	opened, err := opener.Open(ctx, envelope.Received{Body: doc,
		EventBridge: format == consumer.EventBridge},
		envelope.Step{KeepEncrypted: true})
	if err == nil {
		ev := &opened.Event
		return verdict{Verdict: ui.VerdictVerified, Producer: opened.Producer, Source: ev.Source(),
			Type: ev.Type(), ID: ev.ID(), Encrypted: opened.Encryption != nil}, opened
	}
	e, ok := errors.AsType[*envelope.Error](err)
	if !ok {
		return verdict{Verdict: ui.VerdictUnavailable, Cause: err.Error(), Unverified: claimOf(doc)}, nil
	}
	v := verdict{Verdict: ui.VerdictRejected, Reason: e.Reason, Cause: input.CauseOf(e), Fix: e.Fix(),
		Unverified: claimOf(doc)}
	if u := v.Unverified; u != nil {
		u.Source, u.Type = cmp.Or(u.Source, e.UnverifiedSource), cmp.Or(u.Type, e.UnverifiedType)
		u.ID = cmp.Or(u.ID, e.UnverifiedID)
	}
	if e.Reason.Class() == envelope.Transient {
		v.Verdict = ui.VerdictUnavailable
	}
	return v, nil
}

// rememberFor is longer than an event is fresh.
const rememberFor = 2 * envelope.DefaultMaxAge

func (j *judge) remember(ctx context.Context, opened *envelope.Opened) (replay.Status, error) {
	var name []byte
	for _, part := range []string{opened.Producer, opened.Event.Source(), opened.Event.ID()} {
		name = append(jsontext.AppendQuote(name, part), ' ')
	}
	until := opened.SignedAt
	if until.IsZero() {
		until = j.opener.Policy().Now()
	}
	until = until.Add(rememberFor)
	c, status, err := j.seen.Claim(ctx, sha256.Sum256(name), opened.ContentDigest(), until, time.Minute)
	if err != nil || status != replay.New {
		return status, err
	}
	return status, j.seen.Complete(ctx, c, until)
}

// claimOf is what a message says of the event in it; nil = nothing.
func claimOf(doc []byte) *claim {
	var e struct {
		ID, Source, Type string
		DetailType       *string `json:"detail-type"`
		Detail           struct{ ID, Source, Type string }
	}
	_ = json.Unmarshal(doc, &e) // whatever it has
	c := &claim{e.Source, e.Type, e.ID}
	if e.DetailType != nil {
		c = &claim{e.Source, *e.DetailType, e.Detail.ID}
	}
	if *c == (claim{}) {
		return nil
	}
	return c
}

// recordOf is what a record in quarantine says. Nothing of it is verified: `sealbus quarantine list` does.
func recordOf(doc string) verdict {
	var r struct {
		Consumer string
		Reason   envelope.Reason
		Cause    string
		ID       string `json:"unverified_id"`
		Source   string `json:"unverified_source"`
		Type     string `json:"unverified_type"`
	}
	_ = json.Unmarshal([]byte(doc), &r) // whatever it has
	v := verdict{Reason: r.Reason, Cause: r.Cause, Consumer: r.Consumer}
	if c := (claim{r.Source, r.Type, r.ID}); c != (claim{}) {
		v.Unverified = &c
	}
	return v
}
