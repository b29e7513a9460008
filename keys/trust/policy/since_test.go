package policy

import (
	"crypto/sha256"
	"testing"
	"time"

	"github.com/sealbus/sealbus/keys/trust"
)

// since builds the policy after the previous one and gives what Since says of key a.
func since(t *testing.T, was, is *Policy, change func(*BuildOptions)) time.Time {
	t.Helper()
	a := verifier(t, "a").KeyID()
	opts := BuildOptions{Now: now, Expires: after(7), Previous: built(t, was), UnsafeSchedules: []string{a},
		Widen: []string{"all"}}
	if change != nil {
		change(&opts)
	}
	b, err := is.Build(listed(t, is), opts)
	if err != nil {
		t.Fatal(err)
	}
	return b.Key(a).Since
}

// A grant that the previous bundle covers carries on; one that consumers do not know begins anew.
func TestSinceIsCarriedOn(t *testing.T) {
	type fields = map[string]string
	issued := now.AddDate(0, 0, -10)
	for name, c := range map[string]struct {
		was, is string
		new     bool
	}{
		"the same":          {"", "", false},
		"an end":            {"", "retired: 2026-02-01T00:00:00Z", false},
		"an earlier end":    {"retired: 2026-02-01T00:00:00Z", "retired: 2026-01-20T00:00:00Z", false},
		"a later end":       {"retired: 2026-02-01T00:00:00Z", "retired: 2026-02-02T00:00:00Z", true},
		"no end":            {"expired: 2026-02-01T00:00:00Z", "", true},
		"a later beginning": {"active: 2026-01-10T00:00:00Z", "active: 2026-01-11T00:00:00Z", false},
		"an earlier one":    {"active: 2026-01-10T00:00:00Z", "active: 2026-01-09T00:00:00Z", true},
		"published earlier": {"published: 2026-01-10T00:00:00Z, active: 2026-01-10T00:00:00Z", "active: 2026-01-10T00:00:00Z", true},
		"tainted":           {"", "tainted: true", false},
		"no longer tainted": {"tainted: true", "", false},
		"not revoked":       {revoked, "", true},
	} {
		got := since(t, scheduled(t, "", fields{"a": c.was}), scheduled(t, "", fields{"a": c.is}), nil)
		if c.new != got.IsZero() || !c.new && !got.Equal(issued) {
			t.Errorf("%s: since %s", name, got)
		}
	}
	for name, c := range map[string]struct {
		was, is Producer
		new     bool
	}{
		"fewer types": {Producer{Types: []string{"a.*"}}, Producer{Types: []string{"a.b.*", "a.c"}}, false},
		"more types":  {Producer{Types: []string{"a.b"}}, Producer{Types: []string{"a.b", "a.c"}}, true},
		"wider type":  {Producer{Types: []string{"a.b.*"}}, Producer{Types: []string{"a.*"}}, true},
		"any type":    {Producer{Types: []string{"a.*"}}, Producer{Types: []string{"*"}}, true},
		"narrower source": {Producer{Sources: []string{"https://x.example/*"}}, Producer{Sources: []string{"https://x.example/a/*"}},
			false},
		"another source":   {Producer{Sources: []string{"https://x.example/a/*"}}, Producer{Sources: []string{"https://x.example/b"}}, true},
		"fewer accounts":   {Producer{}, Producer{Accounts: []string{"111122223333"}}, false},
		"more accounts":    {Producer{Accounts: []string{}}, Producer{Accounts: []string{"111122223333"}}, true},
		"every account":    {Producer{Accounts: []string{"111122223333"}}, Producer{}, true},
		"another producer": {Producer{Name: "x"}, Producer{Name: "y"}, true},
	} {
		of := func(o Producer) *Policy {
			if o.Name == "" {
				o.Name = "orders"
			}
			o.Keys = []Key{{ID: verifier(t, "a").KeyID()}}
			return &Policy{Producers: []Producer{o}}
		}
		if got := since(t, of(c.was), of(c.is), nil); c.new != got.IsZero() || !c.new && !got.Equal(issued) {
			t.Errorf("%s: since %s", name, got)
		}
	}
}

// With timestamp keys, only a timestamp that names exactly the previous bundle proves since when it counts.
func TestSinceWithTimestamps(t *testing.T) {
	p := scheduled(t, "", map[string]string{"a": ""})
	previous, a := built(t, p), verifier(t, "a").KeyID()
	ts := func() *trust.Timestamp {
		return &trust.Timestamp{Version: 3, RootsVersion: 1, BundleVersion: 1,
			BundleSHA256: sha256.Sum256(previous.Payload()),
			BundleSince:  now.AddDate(0, 0, -4), Issued: now, Expires: after(1)}
	}
	for name, c := range map[string]struct {
		change func(*trust.Timestamp)
		want   time.Time
	}{
		"of the bundle":   {func(*trust.Timestamp) {}, now.AddDate(0, 0, -4)},
		"none":            {nil, time.Time{}},
		"other version":   {func(s *trust.Timestamp) { s.BundleVersion = 2 }, time.Time{}},
		"other content":   {func(s *trust.Timestamp) { s.BundleSHA256[0]++ }, time.Time{}},
		"a wrong clock":   {func(s *trust.Timestamp) { s.BundleSince = after(1) }, time.Time{}},
		"and is withheld": {func(s *trust.Timestamp) { s.Revoked = map[string]trust.Withdrawal{a: {Since: 3}} }, time.Time{}},
	} {
		got := since(t, p, p, func(o *BuildOptions) {
			o.TimestampKeys = true
			if c.change != nil {
				o.Timestamp = ts()
				c.change(o.Timestamp)
				for id := range o.Timestamp.Revoked {
					o.Overrule = append(o.Overrule, id)
				}
			}
		})
		if !got.Equal(c.want) {
			t.Errorf("%s: since %s, want %s", name, got, c.want)
		}
	}
	// From then on the bundles carry it on themselves.
	b, err := p.Build(listed(t, p), BuildOptions{Now: now, Expires: after(7), Previous: previous, TimestampKeys: true, Timestamp: ts()})
	if err != nil {
		t.Fatal(err)
	}
	b, err = p.Build(listed(t, p), BuildOptions{Now: after(1), Expires: after(7), Previous: b, TimestampKeys: true})
	if err != nil || !b.Key(a).Since.Equal(now.AddDate(0, 0, -4)) {
		t.Errorf("%v, %v", b, err)
	}
}
