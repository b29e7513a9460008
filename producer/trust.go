package producer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/nilcheck"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/session"
	"github.com/sealbus/sealbus/keys/trust"
)

const (
	// trustTimeout is how long one batch waits for Options.Trust. Then it is signed unchecked.
	trustTimeout = 2 * time.Second
	// trustPause is how long its answer is used, by Options.Now, so that small batches need not wait for it.
	trustPause = time.Second
	// maxChoices bounds the sources and types whose choice of keys is remembered.
	maxChoices = 1024
)

// TrustError says that an event was not sent, because consumers would refuse it under the bundle of
// Options.Trust, or because there is no live bundle (RequireTrust). Publish the event again when the Advice
// was followed.
type TrustError struct {
	// Reason is that of the consumers: unknown_key, revoked_key, key_not_valid, source_not_allowed,
	// type_not_allowed or account_mismatch. If several keys were tried, it is that of the key which passed the
	// most checks. trust_unavailable = there is no live bundle.
	Reason envelope.Reason
	KeyID  string // of the key; "" = trust_unavailable
	Cause  string // one line
	Advice string // one line: what to do
	Err    error  // the underlying error; nil = none

	passed int // of the checks
}

// Error is the reason with its cause and the advice.
func (e *TrustError) Error() string {
	return fmt.Sprintf("producer: not sent, since consumers could not accept it: %s: %s: %s", e.Reason, e.Cause,
		e.Advice)
}

// Unwrap is the underlying error.
func (e *TrustError) Unwrap() error { return e.Err }

// Is lets errors.Is(err, &TrustError{Reason: r}) ask for a reason.
func (e *TrustError) Is(target error) bool {
	t, ok := target.(*TrustError)
	return ok && *t == TrustError{Reason: e.Reason}
}

// Temporary reports whether time or a newer bundle can help. Both cannot if the key is revoked.
func (e *TrustError) Temporary() bool { return e.Reason != envelope.ReasonRevokedKey }

// Warning says that Publish signs otherwise than its keys alone would have it.
type Warning struct {
	// Reason is why KeyID does not sign; "" = it signs although it is tainted; trust_unavailable = the keys
	// were not checked, and KeyID is "".
	Reason  envelope.Reason
	KeyID   string
	Instead string // the key that signs instead; "" = none does
	Text    string // one line
}

// candidates is a keys.SignerSource of which one key of each kind is to sign: one that is due at now, if
// consumers accept it, and else one of the others. The newest is the first.
type candidates interface {
	Candidates(now time.Time) (due, others []keys.Signer)
}

// trusted asks Options.Trust which keys to sign with.
type trusted struct {
	source  trust.Source
	account string
	warn    func(Warning)

	mu     sync.Mutex
	asking *asking // the call of the source that is under way; nil = none
	latest *trust.Bundle
	asked  time.Time // for latest
	plan   *plan     // of the latest batch
	warned map[Warning]bool
	under  *trust.Bundle // when that was warned about
}

func newTrusted(o *Options) *trusted {
	t := &trusted{source: o.Trust, account: o.Account, warn: o.Warn}
	if t.warn == nil {
		t.warn = func(w Warning) {
			slog.Default().Warn("sealbus: "+w.Text, "reason", string(w.Reason), "key", w.KeyID,
				"instead", w.Instead)
		}
	}
	return t
}

// asking is one call of the source, which all callers share.
type asking struct {
	began  time.Time
	done   chan struct{}
	bundle *trust.Bundle
	err    error
}

// bundle is the live bundle at now. A source that does not answer holds up the callers of the first
// trustTimeout, for at most half of the time that their contexts have left. Later ones do not wait.
func (t *trusted) bundle(ctx context.Context, now time.Time) (*trust.Bundle, error) {
	b, isBundle := t.source.(*trust.Bundle)
	if !isBundle {
		b = t.recent(now)
	}
	if b == nil && !isBundle {
		a := t.ask(ctx, now)
		if !a.wait(ctx) {
			return nil, fmt.Errorf("%w: its source did not answer within %s", trust.ErrUnavailable, trustTimeout)
		}
		if a.err != nil {
			return nil, a.err
		}
		b = a.bundle
	}
	if b == nil {
		return nil, trust.ErrUnavailable
	}
	return b, expired(b, now)
}

func expired(b *trust.Bundle, now time.Time) error {
	if end := b.Expires(); !end.IsZero() && !now.Before(end) {
		return fmt.Errorf("%w: the bundle expired at %s", trust.ErrUnavailable, end.UTC().Format(time.RFC3339))
	}
	return nil
}

// recent is the answer of less than trustPause ago; nil = there is none.
func (t *trusted) recent(now time.Time) *trust.Bundle {
	t.mu.Lock()
	defer t.mu.Unlock()
	if age := now.Sub(t.asked); age < 0 || age >= trustPause {
		return nil
	}
	return t.latest
}

func (t *trusted) ask(ctx context.Context, now time.Time) *asking {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.asking != nil {
		return t.asking
	}
	a := &asking{began: time.Now(), done: make(chan struct{})}
	t.asking = a
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), trustTimeout)
		defer cancel()
		defer close(a.done)
		defer func() {
			if v := recover(); v != nil { // no caller could recover it
				a.bundle, a.err = nil, fmt.Errorf("%w: its source panicked: %T", trust.ErrUnavailable, v)
			}
			t.mu.Lock()
			defer t.mu.Unlock()
			t.asking, t.latest, t.asked = nil, a.bundle, now
		}()
		a.bundle, a.err = t.source.Bundle(ctx)
	}()
	return a
}

// wait reports whether the call has ended in time.
func (a *asking) wait(ctx context.Context) bool {
	patience := trustTimeout - time.Since(a.began)
	if deadline, ok := ctx.Deadline(); ok {
		patience = min(patience, time.Until(deadline)/2)
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-a.done:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	select { // it may have ended as well
	case <-a.done:
		return true
	default:
		return false
	}
}

// plan says which keys sign which events under one bundle.
type plan struct {
	of     *trusted
	bundle *trust.Bundle
	due    []keys.Signer // by the ring's own schedule
	others []keys.Signer
	kinds  []kind

	mu      sync.Mutex
	choices map[scope]*choice
}

// kind is keys of which one signs. The first of them are due by their own schedule, and the newest of these
// is the very first.
type kind struct {
	keys []keys.Signer
	due  int // at least 1
}

// scope is what a choice of keys depends on, beside the time.
type scope struct{ source, typ string }

// choice is the keys that sign the events of one scope from a moment until another; zero until = without end.
type choice struct {
	from, until time.Time
	signers     []keys.Signer
	err         error // no key may sign
}

// planFor is the plan for the keys that the ring has at now: the one before if nothing changed.
func (t *trusted) planFor(b *trust.Bundle, ring keys.SignerSource, now time.Time) (*plan, error) {
	due, others, err := keysOf(ring, now)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.begin(b)
	if was := t.plan; was != nil && was.bundle == b && areSame(was.due, due) && areSame(was.others, others) {
		return was, nil
	}
	t.plan = &plan{of: t, bundle: b, due: due, others: others, choices: map[scope]*choice{}}
	_, choosy := ring.(candidates)
	t.plan.sort(choosy)
	return t.plan, nil
}

// keysOf are the keys of the ring; one at least is due.
func keysOf(ring keys.SignerSource, now time.Time) (due, others []keys.Signer, err error) {
	many, ok := ring.(candidates)
	if ok {
		due, others = many.Candidates(now)
	}
	if len(due) == 0 {
		if due, err = signersOf(ring, now); err != nil { // it says what to do
			return nil, nil, err
		}
	}
	return due, others, errors.Join(nilcheck.Each("producer: the signers", due),
		nilcheck.Each("producer: the other signers", others))
}

func areSame(a, b []keys.Signer) bool {
	return slices.EqualFunc(a, b, func(a, b keys.Signer) bool {
		return a.Verifier().KeyID() == b.Verifier().KeyID()
	})
}

// sort finds of which keys one signs. A ring of candidates has one classical and one post-quantum key sign,
// where one is due. Each signer of any other source signs.
func (p *plan) sort(choosy bool) {
	if !choosy {
		for _, s := range p.due {
			p.kinds = append(p.kinds, kind{[]keys.Signer{s}, 1})
		}
		return
	}
	for _, postQuantum := range []bool{false, true} {
		var k kind
		for i, s := range p.signers() {
			if s.Verifier().Algorithm().PostQuantum() != postQuantum {
				continue
			}
			if k.keys = append(k.keys, s); i < len(p.due) {
				k.due++
			}
		}
		if k.due > 0 {
			p.kinds = append(p.kinds, k)
		}
	}
}

// signers are all keys of which the plan chooses.
func (p *plan) signers() []keys.Signer { return slices.Concat(p.due, p.others) }

// choice is the keys that sign the event at now.
func (p *plan) choice(ev *event.Event, now time.Time) ([]keys.Signer, error) {
	in := scope{ev.Source(), ev.Type()}
	p.mu.Lock()
	c := p.choices[in]
	if c != nil && !now.Before(c.from) && (c.until.IsZero() || now.Before(c.until)) {
		p.mu.Unlock()
		return c.signers, c.err
	}
	c, warnings := p.choose(in, now)
	if len(p.choices) == maxChoices {
		clear(p.choices)
	}
	p.choices[in] = c
	p.mu.Unlock()
	for _, w := range warnings {
		p.of.warnOnce(p.bundle, w)
	}
	return c.signers, c.err
}

// choose takes the best key of each kind that consumers accept. A kind without one is left out: no consumer
// that accepts the other kind alone is lost.
func (p *plan) choose(in scope, now time.Time) (*choice, []Warning) {
	c := &choice{from: now, until: p.nextChange(now)}
	var furthest *TrustError
	var warnings []Warning
	for _, of := range p.kinds {
		best, first, refused := p.best(&of, in, now)
		instead := ""
		switch {
		case best.key != nil:
			c.signers, instead = append(c.signers, best.signer), best.key.KeyID()
		case furthest == nil || refused.passed > furthest.passed:
			furthest = refused
		}
		if first != nil {
			warnings = append(warnings, notUsed(first, instead))
		}
		if best.key != nil && best.key.Tainted {
			warnings = append(warnings, Warning{KeyID: instead, Text: fmt.Sprintf(
				"key %s signs, although it is tainted: make another one, and have it added to the policy", instead)})
		}
	}
	if c.signers == nil {
		c.err = furthest
		return c, nil // the error says it
	}
	return c, warnings
}

// usable is a key that consumers accept.
type usable struct {
	signer keys.Signer
	key    *trust.Key // nil = none
	due    bool
}

// best is the best key of the kind. first is why the key does not sign that would sign without a bundle; nil
// = consumers accept it, too. refused is the refusal of the key that passed the most checks; nil = none was
// refused.
func (p *plan) best(of *kind, in scope, now time.Time) (best usable, first, refused *TrustError) {
	for i, s := range of.keys {
		k, why := p.judge(s, in, now)
		if why == nil {
			if u := (usable{s, k, i < of.due}); u.isBetterThan(best) {
				best = u
			}
			continue
		}
		if i == 0 {
			first = why
		}
		if refused == nil || why.passed > refused.passed {
			refused = why
		}
	}
	return best, first, refused
}

// isBetterThan prefers a key that is not tainted, then one that is due by the keyring, then the one that
// became active last by the bundle, then that of the highest ID: so all instances of a producer choose alike.
func (u usable) isBetterThan(o usable) bool {
	switch {
	case o.key == nil:
		return true
	case u.key.Tainted != o.key.Tainted:
		return o.key.Tainted
	case u.due != o.due:
		return u.due
	}
	newer := u.key.Schedule.Active.Compare(o.key.Schedule.Active)
	return cmp.Or(newer, strings.Compare(u.key.KeyID(), o.key.KeyID())) > 0
}

// listed is the entry of the key that consumers look up: for a session, that of its root key.
func (p *plan) listed(s keys.Signer) (id string, k *trust.Key) {
	id = s.Verifier().KeyID()
	if sk, ok := s.(*session.Key); ok {
		id = sk.Root().KeyID()
	}
	if k = p.bundle.Key(id); k != nil && k.Verifier == nil {
		k = nil
	}
	return id, k
}

// judge makes the checks of a consumer that knows the key, in the consumer's order, and asks at last whether
// every consumer knows it. While some may still use a bundle before, they accept the part of Before.
func (p *plan) judge(s keys.Signer, in scope, now time.Time) (*trust.Key, *TrustError) {
	id, k := p.listed(s)
	passed := 1
	refuse := func(reason envelope.Reason, advice, format string, args ...any) (*trust.Key, *TrustError) {
		return nil, &TrustError{Reason: reason, KeyID: id, Cause: fmt.Sprintf(format, args...), Advice: advice,
			passed: passed}
	}
	if k == nil {
		return refuse(envelope.ReasonUnknownKey,
			"have the key added to the policy and a bundle published, and publish the event again",
			"bundle %d does not list key %s", p.bundle.Version(), id)
	}
	if k.Revoked != nil {
		passed = 0 // a key that a newer bundle may admit says more
		return refuse(envelope.ReasonRevokedKey, "make a new key, and have it added to the policy",
			"key %s was revoked at %s: %.200q", id, k.Revoked.At.UTC().Format(time.RFC3339), k.Revoked.Reason)
	}
	if passed++; k.StateAt(now) != keys.StateActive {
		advice := "make a new key, and have it added to the policy"
		if from := laterOf(k.Schedule.Published, k.Schedule.Active); now.Before(from) {
			advice = "publish the event again from " + from.UTC().Format(time.RFC3339) + " on"
		}
		return refuse(envelope.ReasonKeyNotValid, advice, "the bundle says that key %s is %s", id, k.StateAt(now))
	}
	if k.Producer != s.Producer() {
		return refuse(envelope.ReasonKeyNotValid, "correct the producer's name in the policy, or at the producer",
			"the bundle lists key %s for producer %q, not %q", id, k.Producer, s.Producer())
	}
	if passed++; !keys.MatchSource(k.Sources, in.source) {
		return refuse(envelope.ReasonSourceNotAllowed,
			"add the source to the producer in the policy, and publish the event again",
			"key %s may not speak for source %.200q", id, in.source)
	}
	if passed++; !keys.MatchType(k.Types, in.typ) {
		return refuse(envelope.ReasonTypeNotAllowed,
			"add the type to the producer in the policy, and publish the event again",
			"key %s may not sign type %.200q", id, in.typ)
	}
	if passed++; p.of.account != "" && !k.AllowsAccount(p.of.account) {
		return refuse(envelope.ReasonAccountMismatch, "add the account to the producer in the policy",
			"key %s may not be used from account %s", id, p.of.account)
	}
	if passed++; now.Before(p.bundle.KnownAt(k)) && !p.of.allowsAlready(k.Before, in, now) {
		from := p.bundle.KnownAt(k).UTC().Format(time.RFC3339)
		return refuse(envelope.ReasonUnknownKey, "publish the event again from then on",
			"consumers know key %s, with what it may do, from %s", id, from)
	}
	return k, nil
}

// allowsAlready reports whether the part of a grant that every consumer knows allows the event; a nil part
// allows nothing.
func (t *trusted) allowsAlready(g *trust.Grant, in scope, now time.Time) bool {
	if g == nil {
		return false
	}
	account := trust.Key{Accounts: g.Accounts}
	return g.Schedule.StateAt(now) == keys.StateActive && keys.MatchSource(g.Sources, in.source) &&
		keys.MatchType(g.Types, in.typ) && (t.account == "" || account.AllowsAccount(t.account))
}

// nextChange is the next moment at which a check of a key may end otherwise; zero = there is none.
func (p *plan) nextChange(now time.Time) (next time.Time) {
	for _, s := range p.signers() {
		_, k := p.listed(s)
		if k == nil {
			continue
		}
		at := momentsOf(&k.Schedule)
		if k.Before != nil {
			at = append(at, momentsOf(&k.Before.Schedule)...)
		}
		for _, at := range append(at, p.bundle.KnownAt(k)) {
			if now.Before(at) && (next.IsZero() || at.Before(next)) {
				next = at
			}
		}
	}
	return next
}

func momentsOf(s *keys.Schedule) []time.Time {
	return []time.Time{s.Published, s.Active, s.Retired, s.Expired}
}

func laterOf(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// checkSessions is the error of an event that a revoked session key signed. signers are those of the event.
func (p *plan) checkSessions(s *envelope.Sealed, signers []keys.Signer) error {
	for i, signer := range signers {
		switch signer.(type) {
		case *session.Session, *session.Key:
		default:
			continue
		}
		id := s.KeyIDs()[i]
		if k := p.bundle.Key(id); p.bundle.SessionRevoked(id) || k != nil && k.Revoked != nil {
			return &TrustError{Reason: envelope.ReasonRevokedKey, KeyID: id,
				Cause:  fmt.Sprintf("session key %s is revoked", id),
				Advice: "find out how it was stolen, and restart the process, which then makes another one"}
		}
	}
	return nil
}

// noTrust is the error of RequireTrust.
func noTrust(err error) *TrustError {
	return &TrustError{Reason: envelope.ReasonTrustUnavailable, Cause: err.Error(), Err: err,
		Advice: "check that the bundle can be fetched and has not expired, and publish the event again"}
}

// notUsed is the warning that the newest key does not sign.
func notUsed(why *TrustError, instead string) Warning {
	goesOn := "the events go without its signature"
	if instead != "" {
		goesOn = "key " + instead + " signs instead"
	}
	return Warning{Reason: why.Reason, KeyID: why.KeyID, Instead: instead,
		Text: fmt.Sprintf("key %s does not sign: %s; %s", why.KeyID, why.Cause, goesOn)}
}

// uncheckedWarning is the warning that there is no live bundle.
func uncheckedWarning(err error) Warning {
	return Warning{Reason: envelope.ReasonTrustUnavailable,
		Text: fmt.Sprintf("the keyring alone says which key signs, and consumers may not know it: %v", err)}
}

// begin forgets the warnings under another bundle. The caller holds mu.
func (t *trusted) begin(b *trust.Bundle) {
	if t.under != b || t.warned == nil {
		t.under, t.warned = b, map[Warning]bool{}
	}
}

// warnOnce warns, if it did not yet since the bundle changed; nil = there is no live bundle.
func (t *trusted) warnOnce(b *trust.Bundle, w Warning) {
	t.mu.Lock()
	t.begin(b)
	told := w
	if b == nil {
		told = Warning{} // however its errors differ, it is one outage
	}
	is := t.warned[told]
	t.warned[told] = true
	t.mu.Unlock()
	if !is {
		t.warn(w)
	}
}
