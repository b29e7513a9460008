package policy

import (
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/keys/keystest"
	"github.com/sealbus/sealbus/keys/trust"
)

// revoking is a timestamp of that version that revokes these IDs.
func revoking(version int64, ids ...string) *trust.Timestamp {
	ts := &trust.Timestamp{Version: version, Revoked: map[string]trust.Withdrawal{}}
	for _, id := range ids {
		ts.Revoked[id] = trust.Withdrawal{Revocation: trust.Revocation{At: now, Reason: "stolen"}, Since: 1}
	}
	return ts
}

func TestBuildTakesATimestampOver(t *testing.T) {
	p := mustParse(t, full(t))
	a, b := verifier(t, "a").KeyID(), verifier(t, "b").KeyID()
	stranger, session := verifier(t, "stranger").KeyID(), verifier(t, "session").KeyID()
	build := func(o BuildOptions) (*trust.Bundle, error) { return p.Build(submitted(t, "a", "b", "c"), o) }
	opts := options(t)
	opts.Timestamp = revoking(7, b, stranger)
	opts.Timestamp.RevokedSessions = map[string]int64{session: 2}
	built, err := build(opts)
	if err != nil || built.Timestamps() != 7 || !built.SessionRevoked(stranger) || !built.SessionRevoked(session) {
		t.Fatalf("%v, %v", built, err)
	}
	later := options(t)
	later.Previous = built
	if built, err := build(later); err != nil || built.Timestamps() != 7 {
		t.Errorf("without another timestamp: %v", err)
	}
	opts.Timestamp = revoking(8, a)
	if _, err := build(opts); err == nil || !strings.Contains(err.Error(), "key "+a+" is revoked by timestamp 8 (stolen)") {
		t.Errorf("a key that the policy does not revoke: %v", err)
	}
	opts.Overrule = []string{a}
	if built, err := build(opts); err != nil || built.Timestamps() != 8 || built.Key(a).Revoked != nil {
		t.Errorf("overruled: %v", err)
	}
	opts.Overrule = []string{a, session}
	if _, err := build(opts); err == nil || !strings.Contains(err.Error(), session) {
		t.Errorf("overruled without a revocation: %v", err)
	}
	opts.Overrule = nil
	for _, version := range []int64{1<<52 + 1, 1<<53 - 2, 1<<53 - 1} { // no thief can use them up
		opts.Timestamp = revoking(version)
		if _, err := build(opts); err == nil {
			t.Errorf("too few timestamps could follow %d", version)
		}
	}
}

// With timestamp keys a bundle may live for 400 days, and says beyond 7 days that it needs a timestamp.
func TestBuildLivesLongWithTimestamps(t *testing.T) {
	p := mustParse(t, full(t))
	roots, err := keystest.Roots(t, 1, keystest.Root(t, "r")).WithTimestampKeys(keystest.Root(t, "t").Verifier())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		life  time.Duration
		needs bool
		ok    bool
	}{{7 * 24 * time.Hour, false, true}, {7*24*time.Hour + time.Second, true, true}, {400 * 24 * time.Hour, true, true},
		{400*24*time.Hour + time.Second, true, false}} {
		opts := options(t)
		opts.TimestampKeys, opts.Expires = true, opts.Now.Add(c.life)
		b, err := p.Build(submitted(t, "a", "b", "c"), opts)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", c.life, err)
		}
		if err != nil {
			continue
		}
		if needs := strings.Contains(string(b.Payload()), `"timestamp":"required"`); needs != c.needs {
			t.Errorf("%s: needs a timestamp: %t", c.life, needs)
		}
		signed, err := trust.SignBundle(t.Context(), b, keystest.Root(t, "r"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := trust.OpenBundle(signed, roots, &trust.Options{Now: func() time.Time { return opts.Now },
			UnsafeNoTimestamp: true}); err != nil {
			t.Errorf("%s: %v", c.life, err)
		}
	}
}
