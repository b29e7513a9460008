package envelope_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// A policy that is incomplete, contradicts itself or could match no event is refused by a sentence that says
// what to set, when it is given and not when the first event comes.
func TestPoliciesThatAreRefused(t *testing.T) {
	with := func(change func(*envelope.Policy)) *envelope.Policy {
		p := &envelope.Policy{Sources: []string{"https://orders.example/*"}}
		change(p)
		return p
	}
	for name, test := range map[string]struct {
		policy *envelope.Policy
		says   string
	}{
		"nil":           {nil, "no Sources: name the sources"},
		"zero":          {&envelope.Policy{}, "no Sources: name the sources"},
		"empty sources": {&envelope.Policy{Sources: []string{}}, "no Sources: name the sources"},
		"any source, too": {with(func(p *envelope.Policy) { p.Unsafe.AnySource = true }),
			"both Sources and Unsafe.AnySource"},
		"no pattern": {&envelope.Policy{Sources: []string{"orders*"}}, "orders*"},
		"empty types": {with(func(p *envelope.Policy) { p.Types = []string{} }),
			"the list of Types is empty"},
		"no type pattern": {with(func(p *envelope.Policy) { p.Types = []string{"com.*.x"} }), "com.*.x"},
		"two audiences": {with(func(p *envelope.Policy) { p.Audience = "a b" }),
			`the Audience "a b" is not one name`},
		"negative window": {with(func(p *envelope.Policy) { p.MaxAge = -1 }), "MaxAge is -1ns"},
		"too wide": {with(func(p *envelope.Policy) { p.MaxAge = envelope.MaxDuration + 1 }),
			"MaxAge is 87600h0m0.000000001s"},
		"any age, too": {with(func(p *envelope.Policy) { p.MaxAge, p.Unsafe.AnyAge = 1, true }),
			"both MaxAge and Unsafe.AnyAge"},
		"negative skew": {with(func(p *envelope.Policy) { p.Skew = -1 }), "Skew is -1ns"},
		"skew too wide": {with(func(p *envelope.Policy) { p.Skew = envelope.MaxSkew + 1 }),
			"Skew is 24h0m0.000000001s: give a duration of at most 24h0m0s, or 0 for 5m0s"},
		"unknown mode": {with(func(p *envelope.Policy) { p.Mode = 7 }), "the Mode is 7"},
		"no algorithm": {with(func(p *envelope.Policy) { p.RequiredAlgorithms = []keys.Algorithm{"eddsa"} }),
			`RequiredAlgorithms has "eddsa"`},
		"no pointer": {with(func(p *envelope.Policy) { p.RequireEncryptedFields = []string{"card"} }),
			`RequireEncryptedFields: "card"`},
		"no member": {with(func(p *envelope.Policy) { p.IgnoreMembers = []string{""} }), "IgnoreMembers: "},
		"no extension type": {with(func(p *envelope.Policy) {
			p.ExtensionTypes = map[string]string{"due": "Date"}
		}), `ExtensionTypes["due"]`},
	} {
		o, err := envelope.NewOpener(bundleOf(t, "orders"), test.policy)
		if o != nil || err == nil || !strings.HasPrefix(err.Error(), "envelope: the Policy: ") ||
			!strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: got %v, want %q", name, err, test.says)
		}
		// Open judges nothing then, and so says nothing about the event.
		_, err = envelope.Open(t.Context(), seal(order("orders")), bundleOf(t, "orders"), test.policy)
		if envelope.ReasonOf(err).Class() != envelope.Transient || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s, Open: got %v", name, err)
		}
		if e, ok := errors.AsType[*envelope.Error](err); !ok ||
			!strings.Contains(e.Fix(), "correct the program") {
			t.Errorf("%s, Open: the advice of %v", name, err)
		}
	}
	if _, err := envelope.NewOpener(nil, with(func(*envelope.Policy) {})); err == nil ||
		!strings.Contains(err.Error(), "the trust is nil") {
		t.Errorf("without trust: %v", err)
	}
}

// The fields that are left out have their documented defaults: a window of 24 hours and 5 minutes, clocks
// that differ by 5 minutes.
func TestPolicyDefaults(t *testing.T) {
	o, err := envelope.NewOpener(bundleOf(t, "orders"), &envelope.Policy{Unsafe: anySource})
	if err != nil {
		t.Fatal(err)
	}
	p := o.Policy()
	if p.MaxAge != 24*time.Hour+5*time.Minute || p.Skew != 5*time.Minute || p.Now == nil ||
		len(p.IgnoreMembers) != 1 {
		t.Errorf("got %+v", p)
	}
	sealed := seal(order("orders"))
	for after, want := range map[time.Duration]envelope.Reason{
		-5*time.Minute - time.Second: envelope.ReasonFromFuture, -4 * time.Minute: "",
		24 * time.Hour: "", 24*time.Hour + 6*time.Minute: envelope.ReasonExpired,
	} {
		_, err := envelope.Open(t.Context(), sealed, bundleOf(t, "orders"), &envelope.Policy{
			Unsafe: anySource, Now: func() time.Time { return moment(vectorSealed).Add(after) },
		})
		if envelope.ReasonOf(err) != want {
			t.Errorf("%v after sealing: got %v, want %q", after, err, want)
		}
	}
}

// A change of the policy after NewOpener, or of a copy that it gives, has no effect.
func TestPolicyIsCloned(t *testing.T) {
	p := &envelope.Policy{
		Sources: []string{"https://orders.example/*"}, Types: []string{"com.example.*"},
		Now:                fixed(vectorNow),
		RequiredAlgorithms: []keys.Algorithm{keys.Ed25519}, RequireEncryptedFields: []string{"/not/there"},
		ExtensionTypes: map[string]string{"token": "Binary"}, IgnoreMembers: []string{"_hop"},
	}
	o, err := envelope.NewOpener(bundleOf(t, "orders"), p)
	if err != nil {
		t.Fatal(err)
	}
	copied := o.Policy()
	for _, q := range []*envelope.Policy{p, &copied} {
		q.Sources[0], q.Types[0], q.RequiredAlgorithms[0] = "https://elsewhere.example/x", "com.elsewhere",
			keys.MLDSA65
		q.RequireEncryptedFields[0], q.IgnoreMembers[0] = "/amount", "_other"
		q.ExtensionTypes["token"] = "String"
		q.Now, q.MaxAge, q.RequireEncrypted, q.Audience = func() time.Time { return time.Time{} },
			time.Nanosecond, true, "elsewhere"
		q.Unsafe = envelope.Unsafe{AnySource: true, AnyAge: true}
	}
	if _, err := o.Open(t.Context(), envelope.Received{Body: seal(order("orders"))},
		envelope.Step{}); err != nil {
		t.Errorf("after the change: %v", err)
	}
	if again := o.Policy(); again.Sources[0] != "https://orders.example/*" ||
		again.IgnoreMembers[0] != "_hop" ||
		again.ExtensionTypes["token"] != "Binary" || again.RequireEncryptedFields[0] != "/not/there" {
		t.Errorf("got %+v", again)
	}
}

// admission is an Admit that notes what it was asked.
type admission struct {
	asked  []time.Time
	maxAge time.Duration
	why    string
}

func (a *admission) admit(signedAt time.Time) (time.Duration, string) {
	a.asked = append(a.asked, signedAt)
	return a.maxAge, a.why
}

func (a *admission) open(t *testing.T, doc []byte, now time.Time, p envelope.Policy) error {
	p.Now = func() time.Time { return now }
	_, err := openStep(t.Context(), envelope.Received{Body: doc}, envelope.Step{Admit: a.admit}, bundleOf(t,
		"orders"), &p)
	return err
}

// Admit is asked for fresh events, too: a fresh event of a permitted replay claims a slot of its own. It is
// asked once, with the signed time, and widens the window for this event only as far as it says.
func TestAdmitIsAlwaysAsked(t *testing.T) {
	sealed := seal(order("orders"))
	for name, test := range map[string]struct {
		age  time.Duration
		a    admission
		want envelope.Reason
		says string
	}{
		"fresh": {0, admission{}, "", ""},
		"stale": {2 * time.Hour, admission{why: "nothing permits it"}, envelope.ReasonExpired,
			"; nothing permits it"},
		"admitted": {2 * time.Hour, admission{maxAge: 3 * time.Hour}, "", ""},
		"too old for that": {4 * time.Hour, admission{maxAge: 3 * time.Hour}, envelope.ReasonExpired,
			"the window is 3h0m0s"},
		"never narrower":       {time.Minute, admission{maxAge: time.Second}, "", ""},
		"the future":           {-time.Hour, admission{maxAge: 1 << 62}, envelope.ReasonFromFuture, ""},
		"admitted without end": {1e5 * time.Hour, admission{maxAge: 1<<63 - 1}, "", ""},
	} {
		err := test.a.open(t, sealed, moment(vectorSealed).Add(test.age), envelope.Policy{MaxAge: time.Hour,
			Unsafe: anySource})
		if envelope.ReasonOf(err) != test.want || err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: got %v", name, err)
		}
		if len(test.a.asked) != 1 || !test.a.asked[0].Equal(moment(vectorSealed)) {
			t.Errorf("%s: asked %v", name, test.a.asked)
		}
	}
}

// Admit stands in for the window and for nothing else: earlier checks come before it, a signed expirytime
// too, and an event that it does not admit is expired before it is not_encrypted.
func TestAdmitKeepsTheOrderOfReasons(t *testing.T) {
	stale := moment(vectorSealed).Add(2 * time.Hour)
	expires := order("orders")
	expires.Event = expires.Event.Add("expirytime", `"2026-11-21T13:00:00Z"`)
	for name, test := range map[string]struct {
		doc    []byte
		policy envelope.Policy
		maxAge time.Duration
		want   envelope.Reason
		asked  int
	}{
		"another source": {seal(order("orders")),
			envelope.Policy{Sources: []string{"https://other.example/*"}},
			1 << 62, envelope.ReasonSourceNotAllowed, 0},
		"another audience": {seal(order("orders")), envelope.Policy{Audience: "elsewhere", Unsafe: anySource},
			1 << 62, envelope.ReasonAudienceMismatch, 0},
		"past expirytime": {seal(expires), envelope.Policy{Unsafe: anySource}, 1 << 62,
			envelope.ReasonExpired, 0},
		"not admitted": {seal(order("orders")), envelope.Policy{RequireEncrypted: true, MaxAge: time.Hour,
			Unsafe: anySource}, 0, envelope.ReasonExpired, 1},
		"admitted": {seal(order("orders")), envelope.Policy{RequireEncrypted: true, MaxAge: time.Hour,
			Unsafe: anySource}, 1 << 62, envelope.ReasonNotEncrypted, 1},
	} {
		a := admission{maxAge: test.maxAge}
		if err := a.open(t, test.doc, stale, test.policy); envelope.ReasonOf(err) != test.want ||
			len(a.asked) != test.asked {
			t.Errorf("%s: got %v, asked %d times", name, err, len(a.asked))
		}
	}
}

// Without a signed time there is none to admit by: Admit gets the zero time.
func TestAdmitOfAnUndatedEvent(t *testing.T) {
	p := order("orders")
	p.Foreign = true
	p.Event = p.Event.Del("time", "recordedtime")
	for _, allowed := range []bool{false, true} {
		a, want := admission{}, envelope.ReasonUndated
		if allowed {
			want = ""
		}
		err := a.open(t, seal(p), moment(vectorNow),
			envelope.Policy{Unsafe: envelope.Unsafe{AnySource: true, AllowUndated: allowed}})
		if envelope.ReasonOf(err) != want || len(a.asked) != 1 || !a.asked[0].IsZero() {
			t.Errorf("allowed %v: got %v, asked %v", allowed, err, a.asked)
		}
	}
}

// Both the event and the verdict say when the bundle ends that judged it, the verdict of an expired bundle
// included. A verdict from before there was a bundle says nothing.
func TestVerdictsSayWhenTheBundleEnds(t *testing.T) {
	ends := moment(vectorSealed).Add(time.Hour)
	bundle, err := trust.NewBundle(trust.BundleOptions{Version: 1, Issued: testNow, Expires: ends},
		mainKeys()...)
	if err != nil {
		t.Fatal(err)
	}
	unsigned := order("orders")
	unsigned.Wire = del("dssematerial")
	for name, test := range map[string]struct {
		doc  []byte
		now  time.Time
		want envelope.Reason
		ends time.Time
	}{
		"verified": {seal(order("orders")), moment(vectorNow), "", ends},
		"forged": {seal(brokenSignature(order("orders"))), moment(vectorNow), envelope.ReasonBadSignature,
			ends},
		"expired":  {seal(order("orders")), ends, envelope.ReasonTrustUnavailable, ends},
		"unsigned": {seal(unsigned), moment(vectorNow), envelope.ReasonUnsigned, time.Time{}},
	} {
		opened, err := envelope.Open(t.Context(), test.doc, bundle,
			&envelope.Policy{Now: func() time.Time { return test.now }, Unsafe: unchecked})
		var got time.Time
		if e, ok := errors.AsType[*envelope.Error](err); ok {
			got = e.BundleExpires
		} else {
			got = opened.BundleExpires
		}
		if envelope.ReasonOf(err) != test.want || !got.Equal(test.ends) {
			t.Errorf("%s: got %v, ends %v", name, err, got)
		}
	}
}

// EventBridge names source, detail-type and account around the event. They are checked in that format alone,
// and the transport's own account overrides the one in the body.
func TestOuterMembersAreChecksOfEventBridge(t *testing.T) {
	bound := entry("orders", func(k *trust.Key) { k.Accounts = []string{"111122223333"} })
	trust := trusting(t, bound)
	doc := string(seal(order("orders")))
	delivery := func(source, typ, account string) []byte {
		return fmt.Appendf(nil, `{"source":%q,"detail-type":%q,"account":%q,"detail":%s}`, source, typ,
			account,
			doc)
	}
	const source, typ = "https://orders.example/eu", "com.example.order.placed"
	for name, test := range map[string]struct {
		received envelope.Received
		want     envelope.Reason
	}{
		"as sealed": {envelope.Received{Body: delivery(source, typ, "111122223333"),
			EventBridge: true}, ""},
		"other source": {envelope.Received{Body: delivery(source+"/x", typ, "111122223333"),
			EventBridge: true}, envelope.ReasonEnvelopeMismatch},
		"other type": {envelope.Received{Body: delivery(source, typ+"x", "111122223333"),
			EventBridge: true}, envelope.ReasonEnvelopeMismatch},
		"other account": {envelope.Received{Body: delivery(source, typ, "444455556666"),
			EventBridge: true}, envelope.ReasonAccountMismatch},
		"stated": {envelope.Received{Body: delivery(source, typ, "444455556666"),
			EventBridge: true, Account: "111122223333"}, ""},
		"stated wrong": {envelope.Received{Body: delivery(source, typ, "111122223333"),
			EventBridge: true, Account: "444455556666"}, envelope.ReasonAccountMismatch},
		"no EventBridge": {envelope.Received{Body: []byte(doc), Account: "111122223333"}, ""},
		"no account":     {envelope.Received{Body: []byte(doc)}, envelope.ReasonAccountMismatch},
	} {
		_, err := openStep(t.Context(), test.received, envelope.Step{}, trust,
			&envelope.Policy{Now: fixed(vectorNow), Unsafe: unchecked})
		if envelope.ReasonOf(err) != test.want {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
	}
}

// The clock of a Step is asked in the place of that of the Policy.
func TestStepHasAClockOfItsOwn(t *testing.T) {
	policy := &envelope.Policy{MaxAge: time.Hour, Unsafe: anySource,
		Now: func() time.Time { panic("the clock of the Policy") }}
	for late, want := range map[time.Duration]envelope.Reason{0: "", 2 * time.Hour: envelope.ReasonExpired} {
		step := envelope.Step{Now: func() time.Time { return moment(vectorSealed).Add(late) }}
		_, err := openStep(context.Background(), envelope.Received{Body: seal(order("orders"))}, step,
			bundleOf(t,
				"orders"), policy)
		if envelope.ReasonOf(err) != want {
			t.Errorf("%v: got %v", late, err)
		}
	}
}
