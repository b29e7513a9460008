package listen

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/input"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/envelope"
)

// listener takes deliveries through a consumer and says what became of each. It is safe for concurrent use.
type listener struct {
	env      *ui.Env
	consumer *consumer.Consumer
	account  string     // "" = as an EventBridge event says
	forward  *forwarder // nil = what is verified is only shown
	closers  []func()
	end      context.CancelFunc // ends listening

	mu      sync.Mutex // of what follows, and of standard output
	view    listenView
	limit   int // 0 = none
	told    int
	counts  map[string]map[string]int // verdict to reason to number
	failure error                     // verdicts cannot be written any more
}

func (l *listener) close() {
	for _, c := range l.closers {
		c()
	}
}

var listenVerdicts = []string{ui.VerdictVerified, ui.VerdictDuplicate, ui.VerdictRejected,
	ui.VerdictQuarantined, ui.VerdictRetry}

// heard is one delivery and what became of it, for programs. Beside Unverified everything was verified.
type heard struct {
	Time       string          `json:"time"` // of the verdict
	Verdict    string          `json:"verdict"`
	Reason     envelope.Reason `json:"reason,omitempty"`
	Cause      string          `json:"cause,omitempty"`
	Fix        string          `json:"fix,omitempty"`
	Producer   string          `json:"producer,omitempty"`
	Source     string          `json:"source,omitempty"`
	Type       string          `json:"type,omitempty"`
	ID         string          `json:"id,omitempty"`
	KeyIDs     []string        `json:"key_ids,omitempty"`
	SignedAt   string          `json:"signed_at,omitempty"`
	Unverified *claim          `json:"unverified,omitempty"` // what a refused event claims to be
	Forwarded  bool            `json:"forwarded"`
	MessageID  string          `json:"message_id,omitempty"` // of SQS

	// names of members that were added on the way: at most 8, escaped
	Ignored []string `json:"ignored,omitempty"`
	// of what was verified; absent = the data was not encrypted
	Encryption *input.EncryptionResult `json:"encryption,omitempty"`
}

// claim is unverified.
type claim struct {
	Source string `json:"source,omitempty"`
	Type   string `json:"type,omitempty"`
	ID     string `json:"id,omitempty"`
}

// done reports whether nothing is left to do with the delivery: it was handled, or is safe in quarantine.
func (h *heard) done() bool {
	return h.Verdict == ui.VerdictVerified || h.Verdict == ui.VerdictDuplicate ||
		h.Verdict == ui.VerdictQuarantined
}

// take takes one delivery through the consumer. first is when a queue handed it out first; zero = now.
func (l *listener) take(ctx context.Context, body []byte, first time.Time) *heard {
	h := &heard{}
	msg := consumer.Message{Body: body, Format: input.FormatOf(body), Account: l.account, FirstReceived: first}
	result, err := l.consumer.Handle(ctx, msg, func(ctx context.Context, d consumer.Delivery[[]byte]) error {
		h.KeyIDs, h.SignedAt = slices.Clone(d.KeyIDs), ui.FormatTime(d.SignedAt)
		h.Encryption, h.Ignored = input.EncryptionOf(d.Encryption), slices.Clone(d.Ignored)
		if l.forward == nil {
			return nil
		}
		return l.forward.post(ctx, &d)
	})
	h.judge(&result, err)
	if msg.Format == consumer.QuarantineRecord && isForeignRecord(result.Verdict) {
		h.Fix = fixForeignRecord
	}
	h.Fix = ui.Fix(h.Fix, string(h.Reason))
	h.Time = ui.FormatTime(l.env.Now())
	h.Forwarded = l.forward != nil && result.Outcome == consumer.Handled
	return h
}

// fixForeignRecord is for a quarantine record that this consumer does not believe.
const fixForeignRecord = "a reopened record goes to the consumer that it names: listen with --name CONSUMER, and with the --quarantine and " +
	"--quarantine-key-file that it came from"

// isForeignRecord reports whether the verdict is on a quarantine record itself. A verdict on the event in one
// has the advice of its own reason.
func isForeignRecord(v *envelope.Error) bool {
	if v == nil {
		return false
	}
	return errors.Is(v.Err, consumer.ErrNotAuthentic) ||
		v.Reason == envelope.ReasonAudienceMismatch && v.UnverifiedID == ""
}

// judge takes over what the consumer says.
func (h *heard) judge(r *consumer.Result, err error) {
	h.Verdict, h.Reason = listenVerdict(r, err), r.Reason()
	h.Producer, h.Source, h.Type, h.ID = r.Producer, r.Source, r.Type, r.ID
	v := r.Verdict
	if v == nil {
		return
	}
	if h.Verdict != ui.VerdictDuplicate {
		h.Cause, h.Fix = input.CauseOf(v), v.Fix()
	}
	if q, ok := errors.AsType[*consumer.QuarantineError](err); ok && h.Verdict == ui.VerdictRetry {
		h.Cause, h.Fix = "refused, but not in quarantine: "+
			q.Err.Error(), "see to the quarantine; the event comes again"
	}
	if r.Producer == "" && (v.UnverifiedID != "" || v.UnverifiedSource != "" || v.UnverifiedType != "") {
		h.Unverified = &claim{Source: v.UnverifiedSource, Type: v.UnverifiedType, ID: v.UnverifiedID}
	}
}

func listenVerdict(r *consumer.Result, err error) string {
	refused, isRefused := errors.AsType[*consumer.QuarantineError](err)
	switch {
	case r.Outcome == consumer.Handled:
		return ui.VerdictVerified
	case r.Outcome == consumer.Duplicate:
		return ui.VerdictDuplicate
	case r.Outcome == consumer.Quarantined:
		return ui.VerdictQuarantined
	case isRefused && refused.Err == nil:
		return ui.VerdictRejected
	}
	return ui.VerdictRetry
}

// tell counts the delivery and writes its line. Once there are as many as wanted, listening ends.
func (l *listener) tell(h *heard) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.counts[h.Verdict] == nil {
		l.counts[h.Verdict] = map[string]int{}
	}
	l.counts[h.Verdict][string(h.Reason)]++
	if l.told++; l.told == l.limit {
		l.end()
	}
	var err error
	if l.env.JSON {
		err = l.env.WriteJSON(h)
	} else {
		err = l.env.WriteText(l.view.line(h))
	}
	if l.failure == nil {
		l.failure = err
	}
	return err
}

// failed is why verdicts cannot be written any more; nil = they can.
func (l *listener) failed() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failure
}

// full reports whether there were as many events as wanted.
func (l *listener) full() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.limit > 0 && l.told >= l.limit
}
