package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/keys"
)

// Observe is how a source migrates from unsigned to sealed events: off, then observed, then enforced, without
// losing one. Every check runs. What passes goes to the handler as always; what would be quarantined is, with
// the verdict that it would have got, handed to a callback of its own, and acknowledged if that succeeds.
// What cannot be judged is delivered again as always.
//
// While it lasts, anybody who can reach the consumer can name such a source and reach the callback, past
// every check. The callback does no more than what was done before there were signatures.
type Observe struct {
	Source string    // a pattern (keys.MatchSource) that the unverified source must match
	Type   string    // a pattern (keys.MatchType) that the unverified type must match
	Until  time.Time // the end, required; when it is past, nothing is observed, which New logs. It ends for good, also if the clock is set back
	Handle func(ctx context.Context, o Observation) error
}

// Observation is a delivery that would not have passed. Nothing in it is verified.
type Observation struct {
	Message Message         // as it was delivered; the body is not to be kept or changed
	Verdict *envelope.Error // what would have been the verdict

	// What the message claims to be.
	UnverifiedSource, UnverifiedType string
}

func (o *Options) checkObserve() error {
	for i := range o.UnsafeObserve {
		ob := &o.UnsafeObserve[i]
		if err := checkPatterns([]string{ob.Source}, []string{ob.Type}); err != nil {
			return fmt.Errorf("UnsafeObserve: %w", err)
		}
		switch {
		case ob.Handle == nil:
			return errors.New("UnsafeObserve without a callback")
		case ob.Until.IsZero():
			return fmt.Errorf("UnsafeObserve of %q has no end: set Until", ob.Source)
		}
	}
	return nil
}

// observer is who observes what the message claims to be. A quarantine record that could not be opened claims
// nothing, and of what is in a wrapper that no option names nothing counts.
func (d *delivery) observer(verdict *envelope.Error) *Observe {
	if len(d.opts.UnsafeObserve) == 0 || d.msg.Format == QuarantineRecord || d.hiding != "" {
		return nil
	}
	d.now()
	now := time.Unix(0, d.Consumer.latest.Load())
	source, typ := d.claimed(verdict)
	for i := range d.opts.UnsafeObserve {
		o := &d.opts.UnsafeObserve[i]
		if now.Before(o.Until) && keys.MatchSource([]string{o.Source}, source) && keys.MatchType([]string{o.Type}, typ) {
			return o
		}
	}
	return nil
}

// claimed is what the message claims to be. If it was too malformed for the verdict to say so, it is read
// from the top level of the body.
func (d *delivery) claimed(verdict *envelope.Error) (source, typ string) {
	if verdict.UnverifiedSource != "" {
		return verdict.UnverifiedSource, verdict.UnverifiedType
	}
	typeMember := "type"
	if d.subject.Format == EventBridge {
		typeMember = "detail-type"
	}
	r := jsontext.NewDecoder(d.subject.Body)
	for obj := r.Object(); r.Member(&obj); {
		switch name := string(obj.Name); {
		case name == "source" && r.PeekKind() == '"':
			source = r.String()
		case name == typeMember && r.PeekKind() == '"':
			typ = r.String()
		default:
			r.ReadSpan()
		}
	}
	return source, typ
}

func (d *delivery) observe(ctx context.Context, o *Observe, verdict *envelope.Error) error {
	source, typ := d.claimed(verdict)
	verdict.UnverifiedSource, verdict.UnverifiedType = source, typ
	err := protect(func() error {
		return o.Handle(ctx, Observation{Message: d.msg, Verdict: verdict, UnverifiedSource: source, UnverifiedType: typ})
	})
	if err != nil {
		err = d.discreet(err)
		failed := &envelope.Error{
			Reason: envelope.ReasonHandlerFailed, Err: err,
			Cause:        clip(fmt.Sprintf("UnsafeObserve of what is %s: %v", verdict.Reason, err)),
			UnverifiedID: verdict.UnverifiedID, UnverifiedSource: source, UnverifiedType: typ,
		}
		d.result.Outcome, d.result.Reason, d.result.Verdict = Retry, failed.Reason, failed
		return failed
	}
	d.result.Outcome = Observed
	return nil
}
