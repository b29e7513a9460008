package producer_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/session"
	"github.com/sealbus/sealbus/keys/trust"
	"github.com/sealbus/sealbus/producer"
)

// hint is the refresh hint of the bundles, and known is when all consumers know a grant.
const hint = time.Minute

var known = keydoc.KnownAfter(hint, 0)

// at is a moment of the virtual clock.
func at(d time.Duration) time.Time { return start.Add(d) }

// shop is a producer whose clock and trust a test sets.
type shop struct {
	t        *testing.T
	now      time.Time
	source   trust.Source
	sent     []*envelope.Sealed
	mu       sync.Mutex
	warnings []producer.Warning
}

func (s *shop) Bundle(ctx context.Context) (*trust.Bundle, error) { return s.source.Bundle(ctx) }

func (s *shop) Send(_ context.Context, events []*envelope.Sealed) []producer.Result {
	s.sent = append(s.sent, events...)
	return make([]producer.Result, len(events))
}

// use is for another source, which is asked when its pause has passed.
func (s *shop) use(source trust.Source) {
	s.source, s.now = source, s.now.Add(time.Second)
}

func (s *shop) open(ring keys.SignerSource, opts producer.Options) *producer.Producer {
	s.t.Helper()
	opts.Trust, opts.Now = s, func() time.Time { return s.now }
	opts.Warn = func(w producer.Warning) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.warnings = append(s.warnings, w)
	}
	p, err := producer.New(ring, s, &opts)
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

// told are the warnings since the last call.
func (s *shop) told() []producer.Warning {
	list := s.warnings
	s.warnings = nil
	for i := range list {
		if list[i].Text == "" {
			s.t.Error("a warning without a text")
		}
		list[i].Text = ""
	}
	return list
}

// publish publishes one event, and tells the keys that signed it.
func (s *shop) publish(p *producer.Producer, ev event.Event) (signed []string, r producer.Result) {
	s.t.Helper()
	s.sent = nil
	results, err := p.Publish(s.t.Context(), ev)
	if (err == nil) != (len(s.sent) == 1) {
		s.t.Fatalf("%d events sent, error %v", len(s.sent), err)
	}
	if err == nil {
		signed = s.sent[0].KeyIDs()
	}
	return signed, results[0]
}

// mustSign publishes one event, which these keys are to sign.
func (s *shop) mustSign(p *producer.Producer, want ...keys.Signer) {
	s.t.Helper()
	signed, r := s.publish(p, placed("1"))
	ids := []string{}
	for _, k := range want {
		ids = append(ids, k.Verifier().KeyID())
	}
	if r.Err != nil || r.Unchecked != nil || !slices.Equal(signed, ids) {
		s.t.Fatalf("%v signed, want %v; error %v, unchecked %v", signed, ids, r.Err, r.Unchecked)
	}
}

func signer(t testing.TB, alg keys.Algorithm) *keys.LocalSigner {
	t.Helper()
	s, err := keys.GenerateSigner(alg, "orders")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// entry is the key in a bundle, known since long ago.
func entry(s keys.Signer, edit func(*trust.Key)) *trust.Key {
	k := &trust.Key{Verifier: s.Verifier(), Producer: "orders", Since: at(-24 * time.Hour),
		Sources: []string{"https://orders.example/*"}, Types: []string{"com.example.*"}}
	if edit != nil {
		edit(k)
	}
	return k
}

// issued is a bundle that was issued then and lives for a day.
func issued(t testing.TB, when time.Time, list ...*trust.Key) *trust.Bundle {
	t.Helper()
	return version(t, 1, when, list...)
}

func version(t testing.TB, v int64, when time.Time, list ...*trust.Key) *trust.Bundle {
	t.Helper()
	b, err := trust.NewBundle(trust.BundleOptions{Version: v, Issued: when, Expires: when.Add(24 * time.Hour),
		RefreshHint: hint}, list...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// ring has a key that is due, the first, and others that are not.
type ring []keys.Signer

func (r ring) Signers(time.Time) ([]keys.Signer, error) { return r[:1], nil }

func (r ring) Candidates(time.Time) (due, others []keys.Signer) { return r[:1], r[1:] }

// Each refusal of a consumer is an error before the event is sent.
func TestTrustRefuses(t *testing.T) {
	key := signer(t, keys.Ed25519)
	for name, test := range map[string]struct {
		entry     func(*trust.Key)
		account   string
		want      envelope.Reason
		permanent bool
	}{
		"revoked": {entry: func(k *trust.Key) { k.Revoked = &trust.Revocation{At: at(0), Reason: "stolen"} },
			want: envelope.ReasonRevokedKey, permanent: true},
		"not published": {entry: func(k *trust.Key) { k.Schedule.Published = at(time.Second) },
			want: envelope.ReasonKeyNotValid},
		"not active": {entry: func(k *trust.Key) { k.Schedule.Active = at(time.Second) },
			want: envelope.ReasonKeyNotValid},
		"retired":          {entry: func(k *trust.Key) { k.Schedule.Retired = at(0) }, want: envelope.ReasonKeyNotValid},
		"expired":          {entry: func(k *trust.Key) { k.Schedule.Expired = at(0) }, want: envelope.ReasonKeyNotValid},
		"another producer": {entry: func(k *trust.Key) { k.Producer = "billing" }, want: envelope.ReasonKeyNotValid},
		"source": {entry: func(k *trust.Key) { k.Sources = []string{"https://orders.example/us"} },
			want: envelope.ReasonSourceNotAllowed},
		"type": {entry: func(k *trust.Key) { k.Types = nil }, want: envelope.ReasonTypeNotAllowed},
		"account": {entry: func(k *trust.Key) { k.Accounts = []string{"111122223333"} }, account: "999988887777",
			want: envelope.ReasonAccountMismatch},
		"not known yet": {entry: func(k *trust.Key) { k.Since = at(time.Second - known) },
			want: envelope.ReasonUnknownKey},
		"good": {account: "111122223333", entry: func(k *trust.Key) { k.Accounts = []string{"111122223333"} }},
		"at each edge": {entry: func(k *trust.Key) {
			k.Since = at(-known)
			k.Schedule = keys.Schedule{Published: at(0), Active: at(0), Retired: at(time.Second), Expired: at(time.Second)}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := &shop{t: t, now: start, source: issued(t, start, entry(key, test.entry))}
			p := s.open(ring{key}, producer.Options{Account: test.account})
			_, r := s.publish(p, placed("1"))
			e, _ := errors.AsType[*producer.TrustError](r.Err)
			switch {
			case test.want == "" && r.Err == nil:
			case e == nil:
				t.Fatalf("error %v", r.Err)
			case e.Reason != test.want || e.KeyID != key.Verifier().KeyID() || e.Temporary() == test.permanent:
				t.Fatalf("%+v, temporary %v", e, e.Temporary())
			case !errors.Is(r.Err, &producer.TrustError{Reason: test.want}) ||
				errors.Is(r.Err, &producer.TrustError{Reason: envelope.ReasonExpired}):
				t.Error("errors.Is does not tell the reason")
			case e.Cause == "" || e.Advice == "":
				t.Errorf("%+v does not say what to do", e)
			}
			if told := s.told(); len(told) > 0 {
				t.Errorf("told %+v", told)
			}
		})
	}
	s := &shop{t: t, now: start, source: issued(t, start)}
	if _, r := s.publish(s.open(ring{key}, producer.Options{}), placed("1")); !errors.Is(r.Err,
		&producer.TrustError{Reason: envelope.ReasonUnknownKey}) {
		t.Errorf("a key that is not listed: %v", r.Err)
	}
}

// Each event of a batch has an answer of its own, by its source and type.
func TestTrustJudgesEachEvent(t *testing.T) {
	key := signer(t, keys.Ed25519)
	s := &shop{t: t, now: start, source: issued(t, start, entry(key, nil))}
	p := s.open(ring{key}, producer.Options{})
	list := numbered(5)
	list[1].SetType("org.other")
	list[3].SetSource("https://billing.example/eu")
	results, err := p.Publish(t.Context(), list...)
	if err == nil || len(s.sent) != 3 {
		t.Fatalf("%d sent, error %v", len(s.sent), err)
	}
	for i, want := range []envelope.Reason{1: envelope.ReasonTypeNotAllowed, 3: envelope.ReasonSourceNotAllowed,
		4: ""} {
		e, _ := errors.AsType[*producer.TrustError](results[i].Err)
		if (e == nil) != (want == "") || e != nil && e.Reason != want {
			t.Errorf("event %d: %v", i, results[i].Err)
		}
	}
}

// Of several keys, the one that signs is the one on which all instances of the producer agree.
func TestTrustChooses(t *testing.T) {
	a, b, c := signer(t, keys.Ed25519), signer(t, keys.Ed25519), signer(t, keys.Ed25519)
	high, low := a, b
	if a.Verifier().KeyID() < b.Verifier().KeyID() {
		high, low = b, a
	}
	tainted := func(k *trust.Key) { k.Tainted = true }
	active := func(d time.Duration) func(*trust.Key) {
		return func(k *trust.Key) { k.Schedule.Active = at(d) }
	}
	unknown := func(k *trust.Key) { k.Since = start }
	id := func(s keys.Signer) string { return s.Verifier().KeyID() }
	for name, test := range map[string]struct {
		due, others []keys.Signer
		bundle      []*trust.Key
		want        keys.Signer
		told        []producer.Warning
	}{
		"the highest ID": {due: []keys.Signer{low, high}, bundle: []*trust.Key{entry(a, nil), entry(b, nil)},
			want: high},
		"active last": {due: []keys.Signer{high, low},
			bundle: []*trust.Key{entry(high, active(-2)), entry(low, active(-1e9))}, want: high},
		"active last, of the lowest ID": {due: []keys.Signer{low, high},
			bundle: []*trust.Key{entry(low, active(-1e9)), entry(high, active(-2e9))}, want: low},
		"due before others": {due: []keys.Signer{low}, others: []keys.Signer{high},
			bundle: []*trust.Key{entry(low, nil), entry(high, active(-1e9))}, want: low},
		"an older one goes on": {due: []keys.Signer{a}, others: []keys.Signer{b},
			bundle: []*trust.Key{entry(a, unknown), entry(b, nil)}, want: b,
			told: []producer.Warning{{Reason: envelope.ReasonUnknownKey, KeyID: id(a), Instead: id(b)}}},
		"not tainted": {due: []keys.Signer{a, b}, bundle: []*trust.Key{entry(a, tainted), entry(b, nil)}, want: b},
		"not tainted, even if not due": {due: []keys.Signer{a}, others: []keys.Signer{b},
			bundle: []*trust.Key{entry(a, tainted), entry(b, nil)}, want: b},
		"tainted if no other can": {due: []keys.Signer{a, b}, others: []keys.Signer{c},
			bundle: []*trust.Key{entry(a, tainted), entry(b, unknown)}, want: a,
			told: []producer.Warning{{KeyID: id(a)}}},
	} {
		t.Run(name, func(t *testing.T) {
			s := &shop{t: t, now: start, source: issued(t, start, test.bundle...)}
			p := s.open(twoLists{test.due, test.others}, producer.Options{})
			for range 3 { // told once
				s.mustSign(p, test.want)
			}
			if told := s.told(); !slices.Equal(told, test.told) {
				t.Errorf("told %+v", told)
			}
		})
	}
}

// twoLists is a ring with these candidates.
type twoLists struct{ due, others []keys.Signer }

func (r twoLists) Signers(time.Time) ([]keys.Signer, error)         { return r.due[:1], nil }
func (r twoLists) Candidates(time.Time) (due, others []keys.Signer) { return r.due, r.others }

// A classical and a post-quantum key sign together, and each gives way to an older one of its kind.
func TestTrustKeepsBothKinds(t *testing.T) {
	ed, old, pq := signer(t, keys.Ed25519), signer(t, keys.ES256), signer(t, keys.MLDSA65)
	r := twoLists{[]keys.Signer{ed, pq}, []keys.Signer{old}}
	s := &shop{t: t, now: start, source: issued(t, start, entry(ed, nil), entry(pq, nil))}
	p := s.open(r, producer.Options{})
	s.mustSign(p, ed, pq)
	unknown := func(k *trust.Key) { k.Since = start }
	s.use(issued(t, start, entry(ed, unknown), entry(old, nil), entry(pq, unknown)))
	s.mustSign(p, old)
	want := []producer.Warning{
		{Reason: envelope.ReasonUnknownKey, KeyID: ed.Verifier().KeyID(), Instead: old.Verifier().KeyID()},
		{Reason: envelope.ReasonUnknownKey, KeyID: pq.Verifier().KeyID()},
	}
	if told := s.told(); !slices.Equal(told, want) {
		t.Errorf("told %+v", told)
	}
	s.now = at(known) // no new bundle is needed
	s.mustSign(p, ed, pq)
	if p := s.open(keys.SignWith(ed, old, pq), producer.Options{}); p != nil { // all of them are to sign
		s.mustSign(p, ed, old, pq)
	}
}

// A key rotates through a change of the bundle, with a keyring file: the old key signs until the new one is
// known, also in a process that starts just after the publication.
func TestTrustRotation(t *testing.T) {
	old, fresh := signer(t, keys.Ed25519), signer(t, keys.Ed25519)
	file, err := keys.CreateKeyring(filepath.Join(t.TempDir(), "orders.keyring"), "", "orders", &keys.KeyringOptions{
		PrivateFileOptions: keys.PrivateFileOptions{InsecureNoPassphrase: true}, Key: old})
	if err != nil {
		t.Fatal(err)
	}
	before := issued(t, at(-time.Hour), entry(old, nil))
	s := &shop{t: t, now: start, source: before}
	p := s.open(file, producer.Options{})
	s.mustSign(p, old)
	if err := file.Add(fresh, keys.Schedule{Active: start}); err != nil {
		t.Fatal(err)
	}
	s.mustSign(p, old) // the keyring alone would sign with the fresh key
	if told := s.told(); len(told) != 1 || told[0].Reason != envelope.ReasonUnknownKey {
		t.Fatalf("told %+v", told)
	}
	s.now = at(time.Minute)
	after := issued(t, s.now, entry(old, nil), entry(fresh, func(k *trust.Key) {
		k.Since, k.Schedule.Active = s.now, start
	}))
	s.use(after)
	s.mustSign(p, old)
	if told := s.told(); len(told) != 1 {
		t.Fatalf("a new bundle: told %+v", told)
	}
	restarted := s.open(file, producer.Options{})
	s.mustSign(restarted, old)
	s.now = at(time.Minute + known)
	s.mustSign(p, fresh)
	s.mustSign(restarted, fresh)
	for _, sealed := range s.sent { // a consumer that missed two refreshes has it now
		if _, err := envelope.Open(t.Context(), sealed.JSON(), after, s.policy()); err != nil {
			t.Error(err)
		}
	}
}

// A key that may do more goes on with what every consumer knows, also in a process that starts just then.
func TestTrustWidened(t *testing.T) {
	key := signer(t, keys.Ed25519)
	types := func(more ...string) []string { return append([]string{"com.example.*"}, more...) }
	sources := []string{"https://orders.example/*"}
	const placed, cancelled = "com.example.order.placed", "com.example.order.cancelled"
	for name, test := range map[string]struct {
		edit func(*trust.Key)
		want map[string]envelope.Reason // by type, until the whole grant is known
		then map[string]envelope.Reason // from then on
	}{
		"wider": {func(k *trust.Key) { k.Types, k.Before = types("org.a"), &trust.Grant{Sources: sources, Types: types()} },
			map[string]envelope.Reason{placed: "", "org.a": envelope.ReasonUnknownKey, "org.b": envelope.ReasonTypeNotAllowed},
			map[string]envelope.Reason{placed: "", "org.a": "", "org.b": envelope.ReasonTypeNotAllowed}},
		"wider and narrower": {func(k *trust.Key) {
			k.Types, k.Before = []string{placed, "org.a"}, &trust.Grant{Sources: sources, Types: types()}
		},
			map[string]envelope.Reason{placed: "", "org.a": envelope.ReasonUnknownKey, cancelled: envelope.ReasonTypeNotAllowed},
			map[string]envelope.Reason{placed: "", "org.a": "", cancelled: envelope.ReasonTypeNotAllowed}},
		"longer": {func(k *trust.Key) {
			k.Schedule.Retired = at(48 * time.Hour)
			k.Before = &trust.Grant{Sources: sources, Types: types(), Schedule: keys.Schedule{Retired: at(24 * time.Hour)}}
		}, map[string]envelope.Reason{placed: ""}, map[string]envelope.Reason{placed: ""}},
		"longer, and the known part has ended": {func(k *trust.Key) {
			k.Before = &trust.Grant{Sources: sources, Types: types(), Schedule: keys.Schedule{Retired: start}}
		}, map[string]envelope.Reason{placed: envelope.ReasonUnknownKey}, map[string]envelope.Reason{placed: ""}},
		"another source": {func(k *trust.Key) { k.Before = &trust.Grant{Sources: []string{"urn:x"}, Types: types()} },
			map[string]envelope.Reason{placed: envelope.ReasonUnknownKey}, map[string]envelope.Reason{placed: ""}},
		"another account": {func(k *trust.Key) {
			k.Before = &trust.Grant{Sources: sources, Types: types(), Accounts: []string{"444455556666"}}
		}, map[string]envelope.Reason{placed: envelope.ReasonUnknownKey}, map[string]envelope.Reason{placed: ""}},
		"this account": {func(k *trust.Key) {
			k.Before = &trust.Grant{Sources: sources, Types: types(), Accounts: []string{"111122223333"}}
		}, map[string]envelope.Reason{placed: ""}, map[string]envelope.Reason{placed: ""}},
	} {
		t.Run(name, func(t *testing.T) {
			s := &shop{t: t, now: start, source: issued(t, start, entry(key, func(k *trust.Key) {
				k.Since = time.Time{}
				test.edit(k)
			}))}
			p := s.open(ring{key}, producer.Options{Account: "111122223333"})
			for _, moment := range []time.Time{start, at(known - time.Second)} {
				s.now = moment
				s.mustJudge(p, test.want)
			}
			s.now = at(known)
			s.mustJudge(p, test.then)
		})
	}
}

// The part that consumers know already may begin or end while the whole is not known.
func TestTrustWidenedFrom(t *testing.T) {
	key := signer(t, keys.Ed25519)
	s := &shop{t: t, now: start, source: issued(t, start, entry(key, func(k *trust.Key) {
		k.Since, k.Before = time.Time{}, &trust.Grant{Sources: k.Sources, Types: k.Types,
			Schedule: keys.Schedule{Active: at(time.Minute), Retired: at(2 * time.Minute)}}
	}))}
	p := s.open(ring{key}, producer.Options{})
	for _, m := range []struct {
		after time.Duration
		want  envelope.Reason
	}{{0, envelope.ReasonUnknownKey}, {time.Minute, ""}, {2 * time.Minute, envelope.ReasonUnknownKey}, {known, ""}} {
		s.now = at(m.after)
		s.mustJudge(p, map[string]envelope.Reason{"com.example.order.placed": m.want})
	}
}

// mustJudge publishes one event of each type, and wants it to be signed ("") or refused for now.
func (s *shop) mustJudge(p *producer.Producer, want map[string]envelope.Reason) {
	s.t.Helper()
	for typ, reason := range want {
		ev := placed("1")
		ev.SetType(typ)
		_, r := s.publish(p, ev)
		e, _ := errors.AsType[*producer.TrustError](r.Err)
		if (e == nil) != (reason == "") || e != nil && (e.Reason != reason || !e.Temporary()) {
			s.t.Errorf("%s, type %s: %v, want %q", s.now, typ, r.Err, reason)
		}
	}
}

func (s *shop) policy() *envelope.Policy {
	return &envelope.Policy{MaxAge: time.Hour, Sources: []string{"https://orders.example/*"},
		Now: func() time.Time { return s.now }}
}

// none is a Source without a bundle.
type none struct{ err error }

func (n none) Bundle(context.Context) (*trust.Bundle, error) { return nil, n.err }

type panics struct{}

func (panics) Bundle(context.Context) (*trust.Bundle, error) { panic("broken") }

// Without a live bundle the keyring decides, and each Result says so; RequireTrust refuses.
func TestTrustDown(t *testing.T) {
	key := signer(t, keys.Ed25519)
	good := issued(t, start, entry(key, nil))
	for name, source := range map[string]trust.Source{
		"an error":          none{trust.ErrUnavailable},
		"neither":           none{nil},
		"a panic":           panics{},
		"an expired bundle": issued(t, at(-24*time.Hour), entry(key, func(k *trust.Key) { k.Since = time.Time{} })),
	} {
		t.Run(name, func(t *testing.T) {
			s := &shop{t: t, now: start, source: source}
			p := s.open(ring{key}, producer.Options{})
			for range 2 {
				signed, r := s.publish(p, placed("1"))
				if r.Err != nil || !errors.Is(r.Unchecked, trust.ErrUnavailable) || len(signed) != 1 {
					t.Fatalf("%+v", r)
				}
			}
			if told := s.told(); len(told) != 1 || told[0].Reason != envelope.ReasonTrustUnavailable {
				t.Errorf("told %+v", told)
			}
			s.use(good)
			s.mustSign(p, key)
			s.use(source)
			if _, r := s.publish(p, placed("1")); r.Unchecked == nil || len(s.told()) != 1 {
				t.Error("the second outage is not told")
			}
			_, r := s.publish(s.open(ring{key}, producer.Options{RequireTrust: true}), placed("1"))
			e, ok := errors.AsType[*producer.TrustError](r.Err)
			if !ok || e.Reason != envelope.ReasonTrustUnavailable || !e.Temporary() ||
				!errors.Is(r.Err, trust.ErrUnavailable) || len(s.told()) != 0 {
				t.Errorf("RequireTrust: %v", r.Err)
			}
		})
	}
}

// hangs is a Source that does not look at its context.
type hangs struct {
	trust.Source
	until chan struct{}
}

func (h hangs) Bundle(ctx context.Context) (*trust.Bundle, error) {
	<-h.until
	return h.Source.Bundle(ctx)
}

// A source that hangs holds up one Publish for 2 s, and for half of the time that its context has left.
func TestTrustHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := signer(t, keys.Ed25519)
		until := make(chan struct{})
		s := &shop{t: t, now: start, source: hangs{issued(t, start, entry(key, nil)), until}}
		p := s.open(ring{key}, producer.Options{})
		wait := func(ctx context.Context, most time.Duration) {
			t.Helper()
			began := time.Now()
			results, err := p.Publish(ctx, placed("1"))
			if took := time.Since(began); err != nil || results[0].Unchecked == nil || took != most {
				t.Fatalf("%v after %v, unchecked %v", err, took, results[0].Unchecked)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		wait(ctx, 500*time.Millisecond)
		wait(t.Context(), 1500*time.Millisecond)
		wait(t.Context(), 0)
		close(until)
		synctest.Wait()
		s.mustSign(p, key)
	})
}

// A cancelled context is the error of each event, and no outage of the trust.
func TestTrustCancelled(t *testing.T) {
	key := signer(t, keys.Ed25519)
	s := &shop{t: t, now: start, source: none{trust.ErrUnavailable}}
	p := s.open(ring{key}, producer.Options{RequireTrust: true})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Publish(ctx, placed("1")); !errors.Is(err, producer.ErrNotSent) || len(s.told()) != 0 {
		t.Error(err)
	}
}

// A session ends with its root key, and with its own revocation.
func TestTrustOfSessions(t *testing.T) {
	root := signer(t, keys.Ed25519)
	opts := &session.Options{Now: now}
	d, err := session.Delegate(t.Context(), root, session.Scope{
		Sources: []string{"https://orders.example/*"}, Types: []string{"*"}}, time.Hour, opts)
	if err != nil {
		t.Fatal(err)
	}
	key, err := d.Session(t.Context(), start)
	if err != nil {
		t.Fatal(err)
	}
	revoked := func(k *trust.Key) { k.Revoked = &trust.Revocation{At: start, Reason: "stolen"} }
	tainted := func(k *trust.Key) { k.Tainted = true }
	withSession, err := trust.NewBundle(trust.BundleOptions{RevokedSessions: d.KeyIDs()}, entry(root,
		func(k *trust.Key) { k.Since = time.Time{} }))
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		bundle *trust.Bundle
		want   envelope.Reason
		told   int
	}{
		"good":    {bundle: issued(t, start, entry(root, nil))},
		"tainted": {bundle: issued(t, start, entry(root, tainted)), told: 1},
		"root":    {bundle: issued(t, start, entry(root, revoked)), want: envelope.ReasonRevokedKey},
		"session": {bundle: withSession, want: envelope.ReasonRevokedKey},
		"the session's key is listed and revoked": {want: envelope.ReasonRevokedKey,
			bundle: issued(t, start, entry(root, nil), entry(key, revoked))},
		"root not listed": {bundle: issued(t, start), want: envelope.ReasonUnknownKey},
	} {
		for kind, ring := range map[string]keys.SignerSource{"session": d, "one key": keys.SignWith(key)} {
			t.Run(name+", "+kind, func(t *testing.T) {
				s := &shop{t: t, now: start, source: test.bundle}
				p := s.open(ring, producer.Options{})
				_, r := s.publish(p, placed("1"))
				e, _ := errors.AsType[*producer.TrustError](r.Err)
				if (e == nil) != (test.want == "") || e != nil && e.Reason != test.want || len(s.told()) != test.told {
					t.Fatalf("error %v", r.Err)
				}
			})
		}
	}
}

func TestTrustOptions(t *testing.T) {
	key := signer(t, keys.Ed25519)
	for name, opts := range map[string]*producer.Options{
		"RequireTrust alone": {RequireTrust: true},
		"a nil bundle":       {Trust: (*trust.Bundle)(nil)},
		"no account":         {Account: "1234"},
	} {
		if _, err := producer.New(keys.SignWith(key), busFunc(accept), opts); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	s := &shop{t: t, now: start, source: issued(t, start, entry(key, nil))}
	for name, bad := range map[string]keys.SignerSource{
		"a nil signer": twoLists{[]keys.Signer{(*keys.LocalSigner)(nil)}, nil},
		"none is due":  twoLists{[]keys.Signer{}, []keys.Signer{key}},
	} {
		if _, err := s.open(noneDue{bad}, producer.Options{}).Publish(t.Context(), placed("1")); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// noneDue is a ring of candidates whose Signers fails.
type noneDue struct{ keys.SignerSource }

func (noneDue) Signers(time.Time) ([]keys.Signer, error) { return nil, keys.ErrNoSigner }

func (n noneDue) Candidates(now time.Time) (due, others []keys.Signer) {
	return n.SignerSource.(twoLists).Candidates(now)
}
