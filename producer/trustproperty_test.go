package producer_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/testbed/cases"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
	"github.com/sealbus/sealbus/keys/trust/policy"
	"github.com/sealbus/sealbus/producer"
)

// Policies change at random, one key is in all of them, and each bundle is built on the one before. All
// consumers accept what a new process signs under the newest. They have that one, or one whose successor they
// need not know yet.
func TestTrustChain(t *testing.T) {
	rnd := rand.New(rand.NewPCG(12, 4))
	key := signer(t, keys.Ed25519)
	early, refused := 0, 0
	n := cases.Of(4_000)
	for range n {
		s, account := &shop{t: t, now: start}, "111122223333"
		list := randomChain(t, rnd, key)
		newest := list[len(list)-1]
		s.source, s.now = newest, newest.Issued().Add(time.Duration(max(0, rnd.IntN(600)-100))*time.Second)
		_, r := s.publish(s.open(ring{key}, producer.Options{Account: account}), placed("1"))
		if r.Err != nil {
			refused++
			continue
		}
		if s.now.Before(newest.KnownAt(newest.SigningKeys()[0])) {
			early++
		}
		w := &world{account: account}
		for i, b := range list {
			if i+1 == len(list) || s.now.Before(list[i+1].Issued().Add(known)) {
				w.mustOpen(t, s, b)
			}
		}
	}
	if early < n/40 || refused < n/10 || refused > n*9/10 {
		t.Errorf("of %d, %d were signed before all was known, and %d refused: the cases say little", n, early, refused)
	}
}

// The event of placed is in all of these but the last.
var (
	chainSources = [][]string{{"https://orders.example/eu"}, {"https://orders.example/*"},
		{"https://orders.example/*", "urn:orders"}, {"https://orders.example/us"}}
	chainTypes = [][]string{{"com.example.order.placed"}, {"com.example.*", "org.*"}, {"*"}, {"com.example.order.*"},
		{"org.*"}}
)

func randomChain(t *testing.T, rnd *rand.Rand, key *keys.LocalSigner) (list []*trust.Bundle) {
	was := entry(key, nil)
	now := start.Add(-2 * known)
	for range 2 + rnd.IntN(4) {
		is := randomGrant(rnd, key, "111122223333")
		is.Sources, is.Types = chainSources[rnd.IntN(len(chainSources))], chainTypes[rnd.IntN(len(chainTypes))]
		for _, same := range []func(){ // a policy changes in few things at a time
			func() { is.Sources = was.Sources }, func() { is.Types = was.Types },
			func() { is.Accounts = was.Accounts }, func() { is.Schedule = was.Schedule },
		} {
			if rnd.IntN(3) > 0 {
				same()
			}
		}
		if rnd.IntN(20) == 0 {
			is.Revoked = &trust.Revocation{At: start, Reason: "stolen"}
		}
		p := &policy.Policy{Producers: []policy.Producer{{Name: "orders", Sources: is.Sources, Types: is.Types,
			Accounts: is.Accounts, Keys: []policy.Key{{ID: key.Verifier().KeyID(), Schedule: is.Schedule, Revoked: is.Revoked}}}}}
		opts := policy.BuildOptions{Now: now, Expires: now.Add(24 * time.Hour), RefreshHint: hint, Widen: []string{"all"},
			UnsafeSchedules: []string{key.Verifier().KeyID()}}
		if len(list) > 0 {
			opts.Previous = list[len(list)-1]
		}
		b, err := p.Build([]*keys.Verifier{key.Verifier()}, opts)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, b)
		was, now = is, now.Add([]time.Duration{known, known - time.Second,
			time.Duration(rnd.IntN(300)) * time.Second}[min(rnd.IntN(5), 2)])
	}
	return list
}

// Consumers accept what Publish signs under a random bundle: those that have the same bundle, and those that
// have the one before and still may.
func TestTrustProperty(t *testing.T) {
	rnd := rand.New(rand.NewPCG(12, 3))
	pool := []*keys.LocalSigner{signer(t, keys.Ed25519), signer(t, keys.ES256), signer(t, keys.Ed25519),
		signer(t, keys.MLDSA65), signer(t, keys.MLDSA65)}
	signed, refused, older := 0, 0, 0
	n := cases.Of(5_000)
	for range n {
		w := randomWorld(t, rnd, pool)
		s := &shop{t: t, now: at(time.Duration(rnd.IntN(int(2*known/time.Second))) * time.Second), source: w.bundle}
		p := s.open(w.ring, producer.Options{Account: w.account})
		_, r := s.publish(p, placed("1"))
		if r.Err != nil {
			if _, ok := errors.AsType[*producer.TrustError](r.Err); !ok {
				t.Fatal(r.Err)
			}
			refused++
			continue
		}
		signed++
		w.mustOpen(t, s, w.bundle)
		if s.now.Before(w.bundle.Issued().Add(known)) {
			older++
			w.mustOpen(t, s, w.before)
		}
	}
	if signed < n/10 || refused < n/10 || older < n/50 {
		t.Errorf("%d signed, %d of them just after a bundle, %d refused: the cases say little", signed, older, refused)
	}
}

// world is a ring with two bundles, of which the later one was issued at start.
type world struct {
	ring           twoLists
	before, bundle *trust.Bundle
	account        string
}

func (w *world) mustOpen(t *testing.T, s *shop, b *trust.Bundle) {
	t.Helper()
	o, err := envelope.NewOpener(b, s.policy())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.Open(context.Background(), envelope.Received{Body: s.sent[0].JSON(), Account: w.account},
		envelope.Step{}); err != nil {
		t.Fatalf("at %v: %v\nkeys %v of %+v", s.now, err, s.sent[0].KeyIDs(), b.SigningKeys())
	}
}

func randomWorld(t *testing.T, rnd *rand.Rand, pool []*keys.LocalSigner) *world {
	w := &world{}
	var before, after []*trust.Key
	if rnd.IntN(2) == 0 {
		w.account = "111122223333"
	}
	for i, s := range pool {
		switch {
		case i > 0 && rnd.IntN(4) == 0:
		case i == 0 || rnd.IntN(2) == 0:
			w.ring.due = append(w.ring.due, s)
		default:
			w.ring.others = append(w.ring.others, s)
		}
		old := randomGrant(rnd, s, w.account)
		old.Since = at(-24 * time.Hour)
		if rnd.IntN(3) > 0 {
			before = append(before, old)
		} else {
			old = nil
		}
		k := randomGrant(rnd, s, w.account)
		if old != nil && rnd.IntN(3) > 0 { // the same grant
			same := *old
			k = &same
		} else if old != nil && rnd.IntN(4) > 0 {
			k.Before = &trust.Grant{Schedule: old.Schedule, Sources: old.Sources, Types: old.Types, Accounts: old.Accounts}
		}
		if k.Tainted = rnd.IntN(4) == 0; rnd.IntN(8) == 0 {
			k.Revoked = &trust.Revocation{At: start, Reason: "stolen"}
		}
		if rnd.IntN(5) > 0 {
			after = append(after, k)
		}
	}
	w.before, w.bundle = issued(t, at(-23*time.Hour), before...), version(t, 2, start, after...)
	return w
}

// randomGrant is a grant that is known with its bundle.
func randomGrant(rnd *rand.Rand, s *keys.LocalSigner, account string) *trust.Key {
	return entry(s, func(k *trust.Key) {
		k.Since = time.Time{}
		one := func(good []string, others ...[]string) []string {
			if rnd.IntN(4) > 0 {
				return good
			}
			return others[rnd.IntN(len(others))]
		}
		k.Sources = one(k.Sources, []string{"https://orders.example/eu"}, []string{"https://orders.example/us"}, nil)
		k.Types = one(k.Types, []string{"*"}, []string{"com.example.order.placed"}, []string{"org.*"}, nil)
		k.Accounts = one(nil, []string{"111122223333"}, []string{"444455556666"}, []string{})
		if account == "" { // the producer does not know it, so it cannot check it
			k.Accounts = nil
		}
		moment := start.Add(-time.Duration(rnd.IntN(600)) * time.Second)
		for _, m := range []*time.Time{&k.Schedule.Published, &k.Schedule.Active, &k.Schedule.Retired,
			&k.Schedule.Expired} {
			moment = moment.Add(time.Duration(1+rnd.IntN(600)) * time.Second)
			if rnd.IntN(2) == 0 {
				*m = moment
			}
		}
	})
}
