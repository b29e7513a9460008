package consumer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/keys"
)

// Migration lets the unverified events of one source through until a date. So the source can go from unsigned
// to sealed events without losing one: first nothing is checked, then the source is migrating, then the
// checks are enforced. While it is migrating, every check runs. An event that passes goes to the handler. An
// event that would be quarantined goes to Handle instead, with the verdict that it would have got, and is
// acknowledged when Handle returns nil. An event that cannot be judged now is retried. A verified event whose
// data does not follow its schema (schema_invalid) is quarantined, as without a Migration: it is no event of
// the time before there were signatures, and Handle would take what the schema refuses. Where the transport
// knows the caller (Message.Caller), Handle gets no event for which the caller may not speak, and none that
// is malformed.
//
// Until the migration ends, an attacker who can reach the consumer can name the source, and so reach Handle
// past every check. Handle does no more than the code did before there were signatures.
type Migration struct {
	Source string // a pattern (keys.MatchSource) that the unverified source must match
	Type   string // a pattern (keys.MatchType) that the unverified type must match

	// Until is the end; required. After it the Migration has no effect, and New logs that. It ends for good,
	// even if the clock is set back.
	Until time.Time

	// Handle gets the message as it was delivered, and the verdict; required. Nothing in the message is
	// verified. The verdict's UnverifiedSource and UnverifiedType say what the message claims to be. Handle
	// neither keeps nor changes the body.
	Handle func(ctx context.Context, unverified Message, verdict *envelope.Error) error
}

func (o *Options) checkMigration() error {
	for i := range o.UnsafeMigration {
		m := &o.UnsafeMigration[i]
		if err := errors.Join(keys.CheckSourcePattern(m.Source), keys.CheckTypePattern(m.Type)); err != nil {
			return fmt.Errorf("UnsafeMigration: %w", err)
		}
		switch {
		case m.Handle == nil:
			return errors.New("UnsafeMigration without a Handle")
		case m.Until.IsZero():
			return fmt.Errorf("UnsafeMigration of %q has no end: set Until", m.Source)
		}
	}
	return nil
}

// migrate hands the message, which would be quarantined, to the Migration that covers its claims. It reports
// false if none does. A quarantine record that could not be opened claims nothing, and neither does a message
// in a wrapper that Options.Wrapper does not name. schema_invalid is the one verdict on verified data.
func (d *delivery) migrate(ctx context.Context, verdict *envelope.Error) (migrating bool, err error) {
	if len(d.opts.UnsafeMigration) == 0 || d.msg.Format == QuarantineRecord || d.hiding != "" ||
		verdict.Reason == envelope.ReasonSchemaInvalid {
		return false, nil
	}
	d.now()
	source, typ := d.claimed(verdict)
	i := slices.IndexFunc(d.opts.UnsafeMigration, func(m Migration) bool {
		return !d.hasEnded(m.Until) && keys.MatchSource([]string{m.Source}, source) &&
			keys.MatchType([]string{m.Type}, typ)
	})
	if i < 0 {
		return false, nil
	}
	if d.caller != nil && verdict.Reason == envelope.ReasonMalformed {
		return false, nil // Handle may read another source than the one about which the caller would be asked
	}
	if refusal := d.askCaller(source, typ); refusal != nil {
		d.result.Outcome, d.result.Verdict = Retry, refusal
		return true, refusal
	}
	verdict.UnverifiedSource, verdict.UnverifiedType = source, typ
	err = protect(func() error { return d.opts.UnsafeMigration[i].Handle(ctx, d.msg, verdict) })
	if err == nil {
		d.result.Outcome = Migrating
		return true, nil
	}
	err = d.discreet(err)
	failed := &envelope.Error{
		Reason: envelope.ReasonHandlerFailed, Err: err,
		Cause: clip(fmt.Sprintf("the Handle of UnsafeMigration, for an event that is %s: %v",
			verdict.Reason, err)),
		UnverifiedID: verdict.UnverifiedID, UnverifiedSource: source, UnverifiedType: typ,
	}
	d.result.Outcome, d.result.Verdict = Retry, failed
	return true, failed
}

// claimed is the source and the type that the message claims. If it was too malformed for the verdict to say
// so, they are read from the top level of the body.
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
