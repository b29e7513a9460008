package consumer_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

const (
	replayName = "march-again"
	long       = 90 * 24 * time.Hour // far beyond every window
)

// permitted lets the replay have what was sealed in the hour from start, for a day from now on.
func (w *world) permitted() *consumer.Permission {
	w.opts.Permissions = []consumer.Permission{{
		ID: "again-1", ReplayName: replayName, From: start, To: start.Add(time.Hour),
		Until: w.clock.Now().Add(24 * time.Hour),
	}}
	return &w.opts.Permissions[0]
}

// wantMessage delivers it to a new process and expects this outcome and Reason.
func (w *world) wantMessage(msg consumer.Message, outcome consumer.Outcome,
	reason envelope.Reason) consumer.Result {
	w.Helper()
	r, err := w.consumer().Handle(context.Background(), msg, w.handle)
	w.check(r, err, outcome, reason)
	return r
}

func archived(b []byte) consumer.Message { return consumer.Message{Body: b, ReplayName: replayName} }

func TestPermission(t *testing.T) {
	w := newWorld(t)
	b := w.event("1")
	w.clock.Advance(long)
	p := w.permitted()
	r := w.wantMessage(archived(b), consumer.Handled, "")
	if r.Permission != p.ID || len(w.handled) != 1 || w.handled[0].Permission != p.ID ||
		w.handled[0].IdempotencyKey != r.IdempotencyKey {
		t.Errorf("%+v, handled %+v", r, w.handled)
	}
	if until := p.Until.Add(envelope.DefaultSkew); !w.store.untils[0].Equal(until) ||
		!w.store.untils[1].Equal(until) {
		t.Errorf("claimed until %v, want the end and skew: %v", w.store.untils, until)
	}
	w.wantMessage(archived(b), consumer.Duplicate, envelope.ReasonReplayed)
	w.clock.Advance(24*time.Hour - time.Second)
	w.opts.Permissions[0].Until = p.Until // the same, in a new process
	w.wantMessage(archived(b), consumer.Duplicate, envelope.ReasonReplayed)
}

// A typed handler is told, too.
func TestPermissionTyped(t *testing.T) {
	w := newWorld(t)
	p := w.permitted()
	var got consumer.Delivery[order]
	handler := consumer.Typed(func(_ context.Context, d consumer.Delivery[order]) error { got = d; return nil })
	r, err := w.consumer().Handle(t.Context(), archived(w.event("1")), handler)
	w.check(r, err, consumer.Handled, "")
	if got.Permission != p.ID || got.Data.Item != "pen" {
		t.Errorf("delivered %+v", got)
	}
}

// A permission is for one name and one interval, and for no other event.
func TestPermissionIsNarrow(t *testing.T) {
	for name, c := range map[string]struct {
		at     time.Duration // after start, when it was sealed
		replay string
		allow  func(*consumer.Permission)
		passes bool
	}{
		"at From":             {0, replayName, nil, true},
		"before To":           {time.Hour - time.Second, replayName, nil, true},
		"at To":               {time.Hour, replayName, nil, false},
		"before From":         {-time.Second, replayName, nil, false},
		"no name":             {0, "", nil, false},
		"another name":        {0, "march", nil, false},
		"a longer name":       {0, replayName + "2", nil, false},
		"another case":        {0, strings.ToUpper(replayName), nil, false},
		"the permission's ID": {0, "again-1", nil, false},
		"one for a quarantine": {0, replayName, func(p *consumer.Permission) {
			p.ReplayName, p.Quarantine = "", replayName
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.clock.Advance(c.at)
			b := w.event("1")
			w.clock.Advance(long)
			w.bin.keys = quarantineKeys(t, replayName, macKey)
			if p := w.permitted(); c.allow != nil {
				c.allow(p)
			}
			msg := consumer.Message{Body: b, ReplayName: c.replay}
			if c.passes {
				w.wantMessage(msg, consumer.Handled, "")
				return
			}
			r := w.wantMessage(msg, consumer.Quarantined, envelope.ReasonExpired)
			if len(w.handled) > 0 || r.Permission != "" || len(w.store.untils) > 0 {
				t.Errorf("%+v, handled %d, claimed %d times", r, len(w.handled), len(w.store.untils))
			}
			if rec := w.bin.records[0]; rec.Message.ReplayName != c.replay {
				t.Errorf("the record says replay %q", rec.Message.ReplayName)
			}
		})
	}
}

// The name comes from the transport alone. A body that names a replay names none.
func TestReplayNameIsNotReadFromTheBody(t *testing.T) {
	w := newWorld(t)
	sealed := w.seal(placed("1"), envelope.SealOptions{})
	ev := placed("2")
	ev.SetExtension("replayname", replayName)
	signed := w.seal(ev, envelope.SealOptions{}).JSON()
	w.clock.Advance(long)
	w.permitted()
	w.policy.Mode = envelope.Passthrough
	for _, b := range [][]byte{signed, edit(sealed.JSON(), "replayname", replayName)} {
		w.wantMessage(consumer.Message{Body: b}, consumer.Quarantined, envelope.ReasonExpired)
	}
	doc := edit(w.delivery(sealed, "111111111111"), "replay-name", replayName)
	w.wantMessage(consumer.Message{Body: doc, Format: consumer.EventBridge}, consumer.Quarantined,
		envelope.ReasonExpired)
	w.wantMessage(consumer.Message{Body: doc, Format: consumer.EventBridge, ReplayName: replayName},
		consumer.Handled, "")
}

// A permission stands in for the window and for nothing else.
func TestPermissionSkipsFreshnessOnly(t *testing.T) {
	for name, c := range map[string]struct {
		body   func(*world) []byte
		change func(*world)
		reason envelope.Reason
	}{
		"no signature": {func(w *world) []byte { return edit(w.event("1"), "dssematerial", nil) }, nil,
			envelope.ReasonUnsigned},
		"changed": {func(w *world) []byte { return edit(w.event("1"), "data", 1) }, nil,
			envelope.ReasonModified},
		"unknown key": {func(w *world) []byte {
			mallory, _ := keys.GenerateSigner(keys.Ed25519, "orders")
			return w.sealAs(mallory, placed("1"), envelope.SealOptions{}).JSON()
		}, nil, envelope.ReasonUnknownKey},
		"another's source": {func(w *world) []byte {
			return w.sealAs(w.signers["billing"], placed("1"), envelope.SealOptions{}).JSON()
		}, nil, envelope.ReasonSourceNotAllowed},
		"source that the consumer does not take": {(*world).one,
			func(w *world) { w.policy.Sources = w.policy.Sources[1:] }, envelope.ReasonSourceNotAllowed},
		"type that the consumer does not take": {(*world).one,
			func(w *world) { w.policy.Types = []string{"com.other.*"} }, envelope.ReasonTypeNotAllowed},
		"audience": {(*world).one, func(w *world) { w.policy.Audience = "central" },
			envelope.ReasonAudienceMismatch},
		"account": {(*world).one, func(w *world) {
			w.keys[0].Accounts = []string{"111111111111"}
			w.publish(trust.BundleOptions{})
		}, envelope.ReasonAccountMismatch},
		"key revoked since": {(*world).one, func(w *world) {
			w.keys[0].Revoked = &trust.Revocation{At: w.clock.Now()}
			w.publish(trust.BundleOptions{})
		}, envelope.ReasonRevokedKey},
		"key expired since": {(*world).one, func(w *world) {
			w.keys[0].Schedule.Expired = w.clock.Now()
			w.publish(trust.BundleOptions{})
		}, envelope.ReasonKeyNotValid},
		"key not active then": {(*world).one, func(w *world) {
			w.keys[0].Schedule.Active = start.Add(time.Hour)
			w.publish(trust.BundleOptions{})
		}, envelope.ReasonKeyNotValid},
		"bundle expired": {(*world).one,
			func(w *world) { w.publish(trust.BundleOptions{Expires: w.clock.Now()}) },
			envelope.ReasonTrustUnavailable},
		"expirytime": {func(w *world) []byte {
			return w.seal(placed("1"), envelope.SealOptions{Expires: 30 * 24 * time.Hour}).JSON()
		}, nil, envelope.ReasonExpired},
		"undated": {func(w *world) []byte { return w.foreign("1", "") }, nil, envelope.ReasonUndated},
		"from the future": {func(w *world) []byte {
			at := start.Add(long + envelope.DefaultSkew + time.Second)
			return w.seal(placed("1"), envelope.SealOptions{Now: func() time.Time { return at }}).JSON()
		}, func(w *world) { w.opts.Permissions[0].To = start.Add(2 * long) }, envelope.ReasonFromFuture},
		"malformed": {func(*world) []byte { return []byte("{") }, nil, envelope.ReasonMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			b := c.body(w)
			w.clock.Advance(long)
			w.permitted()
			if c.change != nil {
				c.change(w)
			}
			outcome := consumer.Quarantined
			if c.reason.Class() == envelope.Transient {
				outcome = consumer.Retry
			}
			w.wantMessage(archived(b), outcome, c.reason)
			if len(w.handled) > 0 || len(w.store.untils) > 0 {
				t.Error("it was handled or claimed")
			}
		})
	}
}

func (w *world) one() []byte { return w.event("1") }

// An undated event is in no interval, however wide. Only UnsafeAllowUndated admits it.
func TestPermissionIsNotForUndated(t *testing.T) {
	w := newWorld(t)
	b := w.foreign("1", "")
	p := w.permitted()
	p.From, p.To = time.Unix(-1<<40, 0), time.Unix(1<<40, 0)
	w.wantMessage(archived(b), consumer.Quarantined, envelope.ReasonUndated)
	w.policy.Unsafe.AllowUndated = true
	if r := w.wantMessage(archived(b), consumer.Handled, ""); r.Permission != "" {
		t.Errorf("under the permission %q", r.Permission)
	}
	w.want(b, consumer.Duplicate, envelope.ReasonReplayed) // it is the claim of any other delivery
}

// A foreign event is in the interval by its signed time.
func TestPermissionForForeign(t *testing.T) {
	w := newWorld(t)
	in, out := w.foreign("1", "2026-03-01T12:30:00Z"), w.foreign("2", "2026-03-01T13:00:00Z")
	w.clock.Advance(long)
	w.permitted()
	w.wantMessage(archived(in), consumer.Handled, "")
	w.wantMessage(archived(in), consumer.Duplicate, envelope.ReasonReplayed)
	w.wantMessage(archived(out), consumer.Quarantined, envelope.ReasonExpired)
}

// The same event, fresh and replayed: once for the window and once for the permission, with one
// IdempotencyKey.
func TestPermissionHasClaimsOfItsOwn(t *testing.T) {
	for _, foreign := range []bool{false, true} {
		w := newWorld(t)
		b := w.event("1")
		if foreign {
			b = w.foreign("1", "2026-03-01T12:00:00Z")
		}
		p := w.permitted()
		w.want(b, consumer.Handled, "")
		w.wantMessage(archived(b), consumer.Handled, "")
		w.want(b, consumer.Duplicate, envelope.ReasonReplayed)
		w.wantMessage(archived(b), consumer.Duplicate, envelope.ReasonReplayed)
		p.ID = "again-2" // another permission is another time
		w.wantMessage(archived(b), consumer.Handled, "")
		if len(w.handled) != 3 {
			t.Fatalf("handled %d times", len(w.handled))
		}
		for i, want := range []string{"", "again-1", "again-2"} {
			if d := w.handled[i]; d.Permission != want || d.IdempotencyKey != w.handled[0].IdempotencyKey ||
				d.IdempotencyKey == "" {
				t.Errorf("%d: permission %q, want %q; key %s", i, d.Permission, want, d.IdempotencyKey)
			}
		}
	}
}

// Under a permission, too, an ID has one content.
func TestPermissionAndReusedID(t *testing.T) {
	w := newWorld(t)
	other := placed("1")
	other.SetSubject("another")
	b, reused := w.event("1"), w.seal(other, envelope.SealOptions{}).JSON()
	w.clock.Advance(long)
	w.permitted()
	w.wantMessage(archived(b), consumer.Handled, "")
	w.wantMessage(archived(reused), consumer.Quarantined, envelope.ReasonIDReused)
}

// A message of a replay that has no permission is judged as any other; and if it is too old, it is said what
// is missing.
func TestReplayWithoutPermission(t *testing.T) {
	w := newWorld(t)
	b, limited := w.event("1"), w.seal(placed("2"), envelope.SealOptions{Expires: time.Hour}).JSON()
	if r := w.wantMessage(archived(b), consumer.Handled, ""); r.Permission != "" {
		t.Errorf("%+v", r)
	}
	w.want(b, consumer.Duplicate, envelope.ReasonReplayed)
	w.clock.Advance(long)
	cause := func(b []byte) string {
		t.Helper()
		return w.wantMessage(archived(b), consumer.Quarantined, envelope.ReasonExpired).Verdict.Cause
	}
	if c := cause(b); !strings.Contains(c, `"`+replayName+`"`) || !strings.Contains(c, "Permission") {
		t.Error(c)
	}
	w.permitted().To = start
	w.opts.Permissions[0].From = start.Add(-time.Hour)
	if c := cause(b); !strings.Contains(c, `"again-1"`) || !strings.Contains(c, "2026-03-01T12:00:00Z") {
		t.Error(c)
	}
	if c := w.wantMessage(body(b), consumer.Quarantined,
		envelope.ReasonExpired).Verdict.Cause; strings.HasSuffix(c, "; ") {
		t.Error(c)
	}
	if c := cause(limited); strings.Contains(c, "again-1") {
		t.Errorf("a permission would not help, and yet: %s", c)
	}
	if r := w.bin.records[0]; r.Message.ReplayName != replayName || r.Cause == "" {
		t.Errorf("record %+v", r)
	}
}

// A permission ends on its day, and stays ended when the clock is set back.
func TestPermissionEnds(t *testing.T) {
	w := newWorld(t)
	b := [4][]byte{w.event("0"), w.event("1"), w.event("2"), w.event("3")}
	w.clock.Advance(long)
	p := w.permitted()
	c := w.consumer()
	deliver := func(i int, outcome consumer.Outcome, reason envelope.Reason) consumer.Result {
		t.Helper()
		r, err := c.Handle(t.Context(), archived(b[i]), w.handle)
		w.check(r, err, outcome, reason)
		return r
	}
	w.clock.Advance(24*time.Hour - 1)
	deliver(0, consumer.Handled, "")
	w.clock.Advance(1)
	r := deliver(1, consumer.Quarantined, envelope.ReasonExpired)
	if !strings.Contains(r.Verdict.Cause, p.ID+`" ended at`) {
		t.Error(r.Verdict.Cause)
	}
	w.clock.Advance(-12 * time.Hour)
	deliver(2, consumer.Quarantined, envelope.ReasonExpired)
	deliver(0, consumer.Quarantined, envelope.ReasonExpired)
	w.clock.Advance(-long + 12*time.Hour) // the events are fresh again, the permission is not
	if r := deliver(3, consumer.Handled, ""); r.Permission != "" {
		t.Errorf("under the permission %q", r.Permission)
	}
}

// It ends between claim and handler, a moment after the verdict: the handler does not begin any more.
func TestPermissionEndsBeforeTheHandler(t *testing.T) {
	w := newWorld(t)
	b := w.event("1")
	w.clock.Advance(long)
	p := w.permitted()
	p.Until = w.clock.Now().Add(time.Second)
	w.store.afterClaim = func() { w.clock.Advance(time.Second) }
	w.wantMessage(archived(b), consumer.Quarantined, envelope.ReasonExpired)
	if len(w.handled) != 0 || w.store.releases != 1 {
		t.Errorf("handled %d times, released %d times", len(w.handled), w.store.releases)
	}
	p.Until = w.clock.Now().Add(time.Second)
	w.wantMessage(archived(b), consumer.Handled, "") // so that it can be replayed once more
}

// A worker dies between claim and completion under a permission: the event waits for the lease, and is
// handled then.
func TestPermissionAndCrash(t *testing.T) {
	w := newWorld(t)
	b := w.event("1")
	w.clock.Advance(long)
	w.permitted()
	w.store.afterClaim = func() { panic("killed") }
	func() {
		defer func() { _ = recover() }()
		_, _ = w.consumer().Handle(t.Context(), archived(b), w.handle)
	}()
	w.wantMessage(archived(b), consumer.Retry, envelope.ReasonInProgress)
	w.clock.Advance(consumer.DefaultLease)
	w.wantMessage(archived(b), consumer.Handled, "")
	w.wantMessage(archived(b), consumer.Duplicate, envelope.ReasonReplayed)

	// And after the effect: it is had again, with the same key.
	b = w.seal(placed("2"), envelope.SealOptions{Now: func() time.Time { return start }}).JSON()
	w.store.complete = context.DeadlineExceeded
	w.wantMessage(archived(b), consumer.Retry, envelope.ReasonStoreUnavailable)
	w.store.complete = nil
	w.wantMessage(archived(b), consumer.Retry, envelope.ReasonInProgress)
	w.clock.Advance(consumer.DefaultLease)
	w.wantMessage(archived(b), consumer.Handled, "")
	if n := len(w.handled); n != 3 || w.handled[1].IdempotencyKey != w.handled[2].IdempotencyKey {
		t.Errorf("handled %d times", n)
	}
}

// Several permissions stand side by side, as long as no event is in two of them.
func TestPermissionsSideBySide(t *testing.T) {
	w := newWorld(t)
	first := w.event("1")
	w.clock.Advance(time.Hour)
	second := w.event("2")
	w.clock.Advance(long)
	p := *w.permitted()
	p.ID, p.From, p.To = "again-2", p.To, p.To.Add(time.Hour)
	w.opts.Permissions = append(w.opts.Permissions, p)
	for i, b := range [][]byte{first, second} {
		if r := w.wantMessage(archived(b), consumer.Handled, ""); r.Permission != w.opts.Permissions[i].ID {
			t.Errorf("%d: under %q", i, r.Permission)
		}
	}
}

func TestNewRefusesPermissions(t *testing.T) {
	w := newWorld(t)
	w.bin.keys = quarantineKeys(t, "bin", macKey)
	ok := *w.permitted()
	second := func(change func(*consumer.Permission)) func(*consumer.Options) {
		return func(o *consumer.Options) {
			p := ok
			p.ID = "again-2"
			change(&p)
			o.Permissions = []consumer.Permission{ok, p}
		}
	}
	only := func(change func(*consumer.Permission)) func(*consumer.Options) {
		return func(o *consumer.Options) {
			p := ok
			change(&p)
			o.Permissions = []consumer.Permission{p}
		}
	}
	for name, c := range map[string]struct {
		change func(*consumer.Options)
		works  bool
	}{
		"one":           {only(func(*consumer.Permission) {}), true},
		"no ID":         {only(func(p *consumer.Permission) { p.ID = "" }), false},
		"for no replay": {only(func(p *consumer.Permission) { p.ReplayName = "" }), false},
		"for both":      {only(func(p *consumer.Permission) { p.Quarantine = "bin" }), false},
		"no quarantine": {only(func(p *consumer.Permission) { p.ReplayName, p.Quarantine = "", "dust" }),
			false},
		"quarantine": {only(func(p *consumer.Permission) { p.ReplayName, p.Quarantine = "", "bin" }), true},
		"no text":    {only(func(p *consumer.Permission) { p.ReplayName = "a\xff" }), false},
		"no From":    {only(func(p *consumer.Permission) { p.From = time.Time{} }), false},
		"no To":      {only(func(p *consumer.Permission) { p.To = time.Time{} }), false},
		"empty":      {only(func(p *consumer.Permission) { p.To = p.From }), false},
		"no end":     {only(func(p *consumer.Permission) { p.Until = time.Time{} }), false},
		"ended":      {only(func(p *consumer.Permission) { p.Until = start }), true},
		"endless":    {only(func(p *consumer.Permission) { p.Until = start.Add(maxDuration + 1) }), false},
		"longest":    {only(func(p *consumer.Permission) { p.Until = start.Add(maxDuration) }), true},
		"same ID": {second(func(p *consumer.Permission) { p.ID, p.ReplayName = ok.ID, "another" }),
			false},
		"overlap": {second(func(p *consumer.Permission) { p.From = p.To.Add(-1); p.To = p.To.Add(time.Hour) }), false},
		"inside": {second(func(p *consumer.Permission) { p.From, p.To = p.From.Add(1), p.To.Add(-1) }),
			false},
		"beside": {second(func(p *consumer.Permission) { p.From, p.To = p.To, p.To.Add(time.Hour) }),
			true},
		"another name": {second(func(p *consumer.Permission) { p.ReplayName = "another" }), true},
	} {
		o := w.opts
		c.change(&o)
		if _, err := consumer.New("test", &w.trust, w.store, &w.policy, &o); (err == nil) != c.works {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A consumer keeps to the permissions that New checked.
func TestPermissionsAreCopied(t *testing.T) {
	w := newWorld(t)
	b := w.event("1")
	w.clock.Advance(long)
	p := w.permitted()
	c := w.consumer()
	p.ReplayName, p.To, p.ID = "", p.From, ""
	r, err := c.Handle(t.Context(), archived(b), w.handle)
	w.check(r, err, consumer.Handled, "")
	if r.Permission != "again-1" {
		t.Errorf("under %q", r.Permission)
	}
}

// tallied is a trust that counts how often it is asked: once for each verification.
type tallied struct {
	source1
	asked int
}

func (c *tallied) Bundle(ctx context.Context) (*trust.Bundle, error) {
	c.asked++
	return c.source1.Bundle(ctx)
}

// A delivery is verified once, whether a permission covers it or not.
func TestPermissionsCostNoSecondVerification(t *testing.T) {
	for name, c := range map[string]struct {
		age     time.Duration
		change  func(*consumer.Permission)
		outcome consumer.Outcome
		reason  envelope.Reason
	}{
		"fresh":        {0, func(p *consumer.Permission) { p.ReplayName = "another" }, consumer.Handled, ""},
		"fresh, under": {0, func(*consumer.Permission) {}, consumer.Handled, ""},
		"stale, under": {long, func(*consumer.Permission) {}, consumer.Handled, ""},
		"stale, not so": {long, func(p *consumer.Permission) { p.ReplayName = "another" },
			consumer.Quarantined, envelope.ReasonExpired},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			b := w.event("1")
			w.clock.Advance(c.age)
			c.change(w.permitted())
			trust := &tallied{source1: w.trust}
			consumer, err := consumer.New("test", trust, w.store, &w.policy, &w.opts)
			if err != nil {
				t.Fatal(err)
			}
			r, err := consumer.Handle(t.Context(), archived(b), w.handle)
			w.check(r, err, c.outcome, c.reason)
			if trust.asked != 1 {
				t.Errorf("verified %d times", trust.asked)
			}
		})
	}
}
