package envelope_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/testbed/cases"
	"github.com/sealbus/sealbus/internal/testbed/mint"
	"github.com/sealbus/sealbus/keys/keystest"
	"github.com/sealbus/sealbus/keys/trust"
)

// followed is a live source of trust with a clock and an origin of its own.
type followed struct {
	*testing.T
	*trust.RemoteSource
	roots   *trust.Roots
	root    *trust.RootKey
	nanos   atomic.Int64
	version int64

	mu      sync.Mutex
	signed  []byte // nil = the origin fails
	fetches int
}

var errDown = errors.New("the origin is down")

func (f *followed) String() string { return "origin" }
func (f *followed) Fetch(context.Context, string) (*trust.Fetched, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fetches++; f.signed == nil {
		return nil, errDown
	}
	return &trust.Fetched{Body: io.NopCloser(bytes.NewReader(f.signed))}, nil
}

// follow makes a source that was checked at vectorNow and asks at most once in ten seconds.
func follow(t *testing.T, list ...*trust.Key) *followed {
	t.Helper()
	f := &followed{T: t, root: keystest.Root(t, "a")}
	f.roots = keystest.Roots(t, 1, f.root)
	f.at(0)
	f.publish(list...)
	var err error
	if f.RemoteSource, err = trust.FetchFrom(t.Context(), f, f.roots,
		&trust.Options{Now: f.now, RefreshHint: time.Hour, MinInterval: 10 * time.Second}); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *followed) now() time.Time { return time.Unix(0, f.nanos.Load()).UTC() }

// at sets the clock to so many seconds after vectorNow.
func (f *followed) at(seconds float64) time.Time {
	now := moment(vectorNow).Add(time.Duration(seconds * float64(time.Second)))
	f.nanos.Store(now.UnixNano())
	return now
}

func (f *followed) publish(list ...*trust.Key) {
	f.Helper()
	f.version++
	b, err := trust.NewBundle(trust.BundleOptions{Version: f.version, Issued: moment(vectorNow),
		Expires: moment(vectorNow).AddDate(0, 0, 7)}, list...)
	if err != nil {
		f.Fatal(err)
	}
	signed, err := trust.SignBundle(f.Context(), b, f.root)
	if err != nil {
		f.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.signed = signed
}

// want opens the event of a delivery that began at since, and wants this Reason and so many fetches so far.
func (f *followed) want(name string, sealed []byte, since time.Time, want envelope.Reason,
	fetches int) *envelope.Error {
	f.Helper()
	o, err := envelope.NewOpener(f, &envelope.Policy{Now: f.now, Unsafe: unchecked})
	if err != nil {
		f.Fatal(err)
	}
	_, err = o.Open(f.Context(), envelope.Received{Body: sealed}, envelope.Step{Since: since})
	if got := envelope.ReasonOf(err); got != want || f.fetches != fetches {
		f.Errorf("%s: %v after %d fetches, want %q after %d", name, err, f.fetches, want, fetches)
	}
	verdict, _ := err.(*envelope.Error)
	return verdict
}

// changeable are verdicts that a newer bundle may change.
var changeable = []struct {
	name     string
	plan     mint.Plan
	old, new []*trust.Key
	want     envelope.Reason
}{
	{"unknown", order("next"), []*trust.Key{entry("orders", nil)}, []*trust.Key{entry("next", nil)},
		envelope.ReasonUnknownKey},
	{"who vouches is unknown", delegated("next", "session"), []*trust.Key{entry("orders", nil)},
		[]*trust.Key{entry("next", nil)}, envelope.ReasonUnknownKey},
	{"revoked", order("orders"), one(func(k *trust.Key) {
		k.Revoked = &trust.Revocation{At: on("09:00"), Reason: "by mistake"}
	}), one(nil), envelope.ReasonRevokedKey},
	{"not published", order("orders"), one(func(k *trust.Key) { k.Schedule.Published = on("13:00") }), one(nil),
		envelope.ReasonKeyNotValid},
	{"not active", order("orders"), one(func(k *trust.Key) { k.Schedule.Active = on("13:00") }), one(nil),
		envelope.ReasonKeyNotValid},
	{"expired", order("orders"), one(func(k *trust.Key) { k.Schedule.Expired = on("11:00") }), one(nil),
		envelope.ReasonKeyNotValid},
	{"another producer", order("orders"), one(func(k *trust.Key) { k.Producer = "sales" }), one(nil),
		envelope.ReasonKeyNotValid},
	{"source", order("orders"), one(func(k *trust.Key) { k.Sources = k.Sources[:0] }), one(nil),
		envelope.ReasonSourceNotAllowed},
	{"type", order("orders"), one(func(k *trust.Key) { k.Types = []string{"com.example.refund"} }), one(nil),
		envelope.ReasonTypeNotAllowed},
	{"account", order("orders"), one(func(k *trust.Key) { k.Accounts = []string{"111122223333"} }), one(nil),
		envelope.ReasonAccountMismatch},
}

func one(change func(*trust.Key)) []*trust.Key { return []*trust.Key{entry("orders", change)} }

// A bundle refuses an event for good only if it was checked since the delivery began. The delivery that comes
// too early after a check is retried, and is then judged by the one check that the others asked for.
func TestOnlyACheckedBundleRefusesForGood(t *testing.T) {
	for _, c := range changeable {
		t.Run(c.name, func(t *testing.T) {
			sealed, f := seal(c.plan), follow(t, c.old...)
			f.want("checked at that moment", sealed, f.now(), c.want, 1)
			first := f.at(5)
			verdict := f.want("checked before", sealed, first, envelope.ReasonTrustUnavailable, 1)
			if verdict.Reason.Class() != envelope.Transient || !errors.Is(verdict, trust.ErrUnavailable) ||
				!strings.Contains(verdict.Cause, string(c.want)) {
				t.Errorf("%v", verdict)
			}
			f.want("it says nothing of when it began", sealed, time.Time{}, envelope.ReasonTrustUnavailable, 1)
			f.want("the check lies before it", sealed, f.at(10), c.want, 2)
			if got := f.want("delivered again", sealed, first, c.want, 2); got.Reason.Class() != envelope.Permanent {
				t.Errorf("%v", got)
			}
			f.publish(c.new...)
			f.want("still checked since", sealed, first, c.want, 2)
			f.want("a newer bundle accepts it", sealed, f.at(20), "", 3)
			f.want("and nothing is asked any more", sealed, f.at(21), "", 3)
		})
	}
}

func TestCheckThatFails(t *testing.T) {
	for _, c := range changeable {
		t.Run(c.name, func(t *testing.T) {
			sealed, f := seal(c.plan), follow(t, c.old...)
			checked := f.now()
			f.signed = nil
			began := f.at(10)
			verdict := f.want("down", sealed, began, envelope.ReasonTrustUnavailable, 2)
			if !errors.Is(verdict, errDown) {
				t.Errorf("%v", verdict)
			}
			f.want("not asked again so soon", sealed, began, envelope.ReasonTrustUnavailable, 2)
			f.want("a delivery that was checked before the outage", sealed, checked, c.want, 2)
			f.publish(c.new...)
			f.want("up again", sealed, f.at(60), "", 3)
		})
	}
}

// Without a source that can look for another bundle, the one at hand decides.
func TestStaticBundleRefusesAtOnce(t *testing.T) {
	for _, c := range changeable {
		_, err := envelope.Open(t.Context(), seal(c.plan), trusting(t, c.old...),
			&envelope.Policy{Now: fixed(vectorNow), Unsafe: unchecked})
		if envelope.ReasonOf(err) != c.want {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
}

// No newer bundle accepts these, so they are refused for good at once.
func TestNoCheckWhereNoBundleHelps(t *testing.T) {
	late, elsewhere, others := delegated("orders", "session"), delegated("orders", "session"),
		delegated("orders", "session")
	late.By[0].Delegation.From = on("12:30")
	elsewhere.By[0].Delegation.Sources = []string{"https://orders.example/us"}
	others.By[0].Delegation.Types = []string{"com.example.order.paid"}
	unfit := order("orders")
	unfit.Event = unfit.Event.Set("source", `"https://orders.example/a%2fb"`)
	for name, c := range map[string]struct {
		plan mint.Plan
		want envelope.Reason
	}{
		"broken signature":      {brokenSignature(order("orders")), envelope.ReasonBadSignature},
		"modified":              {modified(order("orders")), envelope.ReasonModified},
		"the session's time":    {late, envelope.ReasonKeyNotValid},
		"the session's sources": {elsewhere, envelope.ReasonSourceNotAllowed},
		"the session's types":   {others, envelope.ReasonTypeNotAllowed},
		"a source for no key":   {unfit, envelope.ReasonSourceNotAllowed},
	} {
		t.Run(name, func(t *testing.T) {
			f := follow(t, one(nil)...)
			f.want(name, seal(c.plan), f.at(20), c.want, 1)
		})
	}
}

// A check that was under way when the delivery began cannot refuse the event, but its bundle may accept it.
func TestCheckUnderWayMayAccept(t *testing.T) {
	f := follow(t, one(nil)...)
	f.publish(entry("orders", nil), entry("next", nil))
	began := f.at(15)
	race := &askedMeanwhile{followed: f, meanwhile: func() {
		f.want("another delivery", seal(order("next")), began, "", 2)
		f.at(16)
	}}
	o, err := envelope.NewOpener(race, &envelope.Policy{Now: f.now, Unsafe: unchecked})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.Open(t.Context(), envelope.Received{Body: seal(order("next"))},
		envelope.Step{Since: began.Add(time.Second)}); err != nil || f.fetches != 2 {
		t.Errorf("%v after %d fetches", err, f.fetches)
	}
}

// askedMeanwhile has another delivery ask before its first Refresh.
type askedMeanwhile struct {
	*followed
	meanwhile func()
}

func (a *askedMeanwhile) Refresh(ctx context.Context, since time.Time) (*trust.Bundle, error) {
	if a.meanwhile != nil {
		run := a.meanwhile
		a.meanwhile = nil
		run()
	}
	return a.followed.Refresh(ctx, since)
}

// The clock was set back by an hour after the last check: that check lies in the future, and refuses nothing.
func TestCheckAndClockSetBack(t *testing.T) {
	f := follow(t, one(nil)...)
	sealed := seal(order("next"))
	f.want("asked, as the check lies in the future", sealed, f.at(-3600), envelope.ReasonUnknownKey, 2)
	f.signed = nil
	f.want("and cannot be asked", sealed, f.at(-7200), envelope.ReasonTrustUnavailable, 3)
	f.publish(entry("next", nil))
	f.at(-7100)
	f.want("began before the clock was set back", sealed, moment(vectorNow), "", 4)
}

// 10,000 forged events, each under a key of its own, cost one fetch in MinInterval. The second delivery of
// each is refused for good, and no honest event is held up or refused.
func TestFloodOfForgedEvents(t *testing.T) {
	const each = 5 * time.Millisecond
	n := cases.Of(10_000)
	f := follow(t, one(nil)...)
	o, err := envelope.NewOpener(f, &envelope.Policy{Now: f.now, Unsafe: unchecked})
	if err != nil {
		t.Fatal(err)
	}
	honest := seal(order("orders"))
	open := func(sealed []byte, since time.Time) envelope.Reason {
		_, err := o.Open(t.Context(), envelope.Received{Body: sealed}, envelope.Step{Since: since})
		return envelope.ReasonOf(err)
	}
	type delivery struct {
		sealed []byte
		began  time.Time
	}
	var again []delivery
	for i := range n {
		f.nanos.Add(int64(each))
		d := delivery{forged(i), f.now()}
		switch got := open(d.sealed, d.began); got {
		case envelope.ReasonUnknownKey:
		case envelope.ReasonTrustUnavailable:
			again = append(again, d)
		default:
			t.Fatalf("forged event %d: %q", i, got)
		}
		if got := open(honest, f.now()); got != "" {
			t.Fatalf("an honest event beside %d: %q", i, got)
		}
	}
	if most := 1 + int(time.Duration(n)*each/(10*time.Second)); f.fetches > most {
		t.Errorf("%d fetches, at most %d are allowed", f.fetches, most)
	}
	f.nanos.Add(int64(30 * time.Second)) // the visibility timeout
	fetches := f.fetches
	for i, d := range again {
		if got := open(d.sealed, d.began); got != envelope.ReasonUnknownKey {
			t.Fatalf("forged event %d, delivered again: %q", i, got)
		}
	}
	if len(again) < n/2 || f.fetches > fetches+1 {
		t.Errorf("%d were delivered again, and cost %d fetches", len(again), f.fetches-fetches)
	}
}

// forged is an event that names a key of its own.
func forged(i int) []byte {
	p := order("unlisted")
	p.By[0].Edit = set("keyid", mint.Quote(fmt.Sprintf("forged-%d", i)))
	return seal(p)
}

// Two deliveries at the same time share a check, also if one of them began after it.
func TestTwoDeliveriesShareACheck(t *testing.T) {
	f := follow(t, one(nil)...)
	o, err := envelope.NewOpener(f, &envelope.Policy{Now: f.now, Unsafe: unchecked})
	if err != nil {
		t.Fatal(err)
	}
	unknown, honest, began := seal(order("unlisted")), seal(order("orders")), f.at(10)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for range 200 {
				_, err := o.Open(t.Context(), envelope.Received{Body: unknown}, envelope.Step{Since: began})
				if envelope.ReasonOf(err) != envelope.ReasonUnknownKey {
					t.Error(err)
				}
				if _, err := o.Open(t.Context(), envelope.Received{Body: honest}, envelope.Step{Since: began}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if f.fetches != 2 {
		t.Errorf("%d fetches", f.fetches)
	}
}
