package trust

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/keys"
)

func mustRoots(t testing.TB, version int64, threshold int, list ...*RootKey) *Roots {
	t.Helper()
	var public []*keys.Verifier
	for _, k := range list {
		public = append(public, k.Verifier())
	}
	r, err := NewRoots(version, threshold, public...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func signRoots(t testing.TB, r *Roots, keys ...*RootKey) []byte {
	t.Helper()
	var signers []RootSigner
	for _, k := range keys {
		signers = append(signers, k)
	}
	signed, err := SignRoots(context.Background(), r, signers...)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// A bundle or a roots file that is not there cannot be signed, and does not panic.
func TestNothingToSign(t *testing.T) {
	root := mustRoot(t)
	if _, err := SignBundle(t.Context(), nil, root); err == nil || err.Error() != "trust: no bundle to sign" {
		t.Errorf("SignBundle: %v", err)
	}
	if _, err := SignRoots(t.Context(), nil, root); err == nil ||
		err.Error() != "trust: no roots file to sign" {
		t.Errorf("SignRoots: %v", err)
	}
}

func TestNewRoots(t *testing.T) {
	a, b := mustRoot(t).Verifier(), mustRoot(t).Verifier()
	if r, err := NewRoots(1, 0, a); err != nil || r.Threshold() != 1 {
		t.Errorf("a single key needs no threshold: %v", err)
	}
	var many []*keys.Verifier
	for range maxRoots + 1 {
		many = append(many, mustRoot(t).Verifier())
	}
	for name, c := range map[string]struct {
		version   int64
		threshold int
		keys      []*keys.Verifier
	}{
		"no threshold for two": {1, 0, []*keys.Verifier{a, b}},
		"three of two":         {1, 3, []*keys.Verifier{a, b}}, "negative": {1, -1, []*keys.Verifier{a}},
		"no keys": {1, 0, nil}, "twice the same": {1, 2, []*keys.Verifier{a, a}},
		"nil key": {1, 1, []*keys.Verifier{nil}}, "version 0": {0, 1, []*keys.Verifier{a}},
		"too many": {1, 1, many},
	} {
		_, err := NewRoots(c.version, c.threshold, c.keys...)
		wantWhy(t, name, err, WhyMalformed)
	}
}

func TestParseRoots(t *testing.T) {
	a, b, c := mustRoot(t), mustRoot(t), mustRoot(t)
	r := mustRoots(t, 3, 2, a, b)
	for name, doc := range map[string][]byte{
		"bare": r.Payload(), "bare, spaced": []byte(" " + strings.ReplaceAll(string(r.Payload()), ":", ": ") +
			"\n"),
		"signed": signRoots(t, r, a, b), "signed by others too": signRoots(t, r, a, c, b),
	} {
		back, err := ParseRoots(doc)
		if err != nil || !bytes.Equal(back.Payload(), r.Payload()) || back.Version() != 3 ||
			back.Threshold() != 2 || len(back.Keys()) != 2 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if one, err := ParseRoots([]byte(`{"version":1,"keys":[` + string(a.Verifier().JWK()) +
		`]}`)); err != nil || one.Threshold() != 1 {
		t.Errorf("one key without a threshold: %v", err)
	}
	private, err := a.signer.UnsafePrivateJWK()
	if err != nil {
		t.Fatal(err)
	}
	two := string(a.Verifier().JWK()) + "," + string(b.Verifier().JWK())
	for name, doc := range map[string]string{
		"no threshold for two": `{"version":1,"keys":[` + two + `]}`,
		"threshold 0":          `{"version":1,"threshold":0,"keys":[` + two + `]}`,
		"unknown member":       `{"version":1,"threshold":1,"keys":[` + two + `],"x":1}`,
		"no version":           `{"threshold":1,"keys":[` + two + `]}`,
		"private key":          `{"version":1,"threshold":1,"keys":[` + string(private) + `]}`,
		"no keys":              `{"version":1,"threshold":1,"keys":[]}`,
		"duplicate member":     `{"version":1,"version":2,"threshold":1,"keys":[` + two + `]}`,
		"not JSON":             `roots`,
		"trailing":             string(r.Payload()) + "x",
	} {
		_, err := ParseRoots([]byte(doc))
		wantWhy(t, name, err, WhyMalformed)
	}
	_, err = ParseRoots(signRoots(t, r, a))
	wantWhy(t, "signed by one of two", err, WhyThreshold)
	_, err = ParseRoots(signRoots(t, r, a, c))
	wantWhy(t, "signed by a stranger", err, WhyThreshold)
	_, err = ParseRoots(bytes.Repeat([]byte(" "), keydoc.MaxSigned+1))
	wantWhy(t, "too large", err, WhyTooLarge)
}

func TestNextRoots(t *testing.T) {
	a, b, c, d := mustRoot(t), mustRoot(t), mustRoot(t), mustRoot(t)
	old := mustRoots(t, 2, 2, a, b)
	next := mustRoots(t, 3, 2, b, c, d)
	if r, err := old.Next(signRoots(t, next, a, b, c)); err != nil || r.Version() != 3 || len(r.Keys()) != 3 {
		t.Errorf("signed by old and new: %v", err)
	}
	_, err := old.Next(signRoots(t, mustRoots(t, 4, 1, d), a, b, d))
	wantWhy(t, "a version is left out", err, WhyNewerRoots)
	for name, who := range map[string][]*RootKey{
		"only by the old": {a, b}, "only by the new": {c, d}, "by the new and one old": {b, c, d},
		"by a stranger": {mustRoot(t)},
	} {
		_, err := old.Next(signRoots(t, next, who...))
		wantWhy(t, name, err, WhyThreshold)
	}
	_, err = old.Next(signRoots(t, mustRoots(t, 2, 2, b, c), a, b, c))
	wantWhy(t, "the same version", err, WhyRollback)
	_, err = old.Next(signRoots(t, mustRoots(t, 1, 2, b, c), a, b, c))
	wantWhy(t, "an older version", err, WhyRollback)
	_, err = old.Next(next.Payload())
	wantWhy(t, "unsigned", err, WhyMalformed)
	bundle, err := SignBundle(t.Context(), fullBundle(t), a, b)
	if err != nil {
		t.Fatal(err)
	}
	_, err = old.Next(bundle)
	wantWhy(t, "a bundle", err, WhyType)
	for name, c := range map[string]struct {
		signed []byte
		want   BundleWhy
	}{
		"one root twice":       {doubled(t, signRoots(t, next, a, c, d)), WhyThreshold},
		"a root of both twice": {doubled(t, signRoots(t, next, b)), WhyThreshold},
		"not canonical":        {sealedRoots(t, bytes.Replace(next.Payload(), []byte(":"), []byte(": "), 1), a, b, c), WhyMalformed},
		"unknown member":       {sealedRoots(t, bytes.Replace(next.Payload(), []byte("{"), []byte(`{"a":1,`), 1), a, b, c), WhyMalformed},
		"more than 256 KiB":    {append(signRoots(t, next, a, b, c), bytes.Repeat([]byte(" "), keydoc.MaxRoots)...), WhyTooLarge},
		"a root not in either": {signRoots(t, next, mustRoot(t), b, c), WhyThreshold},
	} {
		_, err := old.Next(c.signed)
		wantWhy(t, name, err, c.want)
	}
}

// sealedRoots signs the text of a payload, whatever it says.
func sealedRoots(t testing.TB, payload []byte, keys ...*RootKey) []byte {
	t.Helper()
	var signers []RootSigner
	for _, k := range keys {
		signers = append(signers, k)
	}
	signed, err := signPayload(t.Context(), keydoc.RootsType, payload, signers)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// Limits are members of their own. Roots without them are written as before.
func TestRootsLimits(t *testing.T) {
	a := mustRoot(t)
	bare := mustRoots(t, 3, 1, a)
	if bytes.Contains(bare.Payload(), []byte("min")) || bytes.Contains(bare.Payload(), []byte("expires")) {
		t.Errorf("%s", bare.Payload())
	}
	limits := RootsLimits{Expires: day(9).Add(time.Millisecond), MinBundle: 7, MinTimestamp: 1<<53 - 1}
	r, err := bare.WithLimits(limits)
	if err != nil {
		t.Fatal(err)
	}
	back, err := ParseRoots(r.Payload())
	if limits.Expires = day(9); err != nil || back.Limits() != limits || bare.Limits() != (RootsLimits{}) ||
		!bytes.Contains(r.Payload(), []byte(`"expires":"2026-01-10T00:00:00Z"`)) {
		t.Errorf("%+v, %v", back, err)
	}
	for name, c := range map[string]RootsLimits{"negative bundle": {MinBundle: -1},
		"negative timestamp": {MinTimestamp: -1}, "2^53": {MinBundle: 1 << 53},
		"2^53, timestamp": {MinTimestamp: 1 << 53}, "year 10000": {Expires: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}} {
		_, err := bare.WithLimits(c)
		wantWhy(t, name, err, WhyMalformed)
	}
	for _, member := range []string{`"min_bundle":0`, `"min_bundle":9007199254740992`, `"min_bundle":1.5`, `"min_timestamp":-1`,
		`"min_timestamp":"1"`, `"expires":""`, `"expires":"2026-01-10T00:00:00.5Z"`, `"expires":null`, `"min_roots":1`} {
		_, err := ParseRoots(bytes.Replace(bare.Payload(), []byte("{"), []byte("{"+member+","), 1))
		wantWhy(t, member, err, WhyMalformed)
	}
}

// Without a holding, the limits bind as well.
func TestRootsLimitsBind(t *testing.T) {
	o := newTimed(t)
	limited := func(limits RootsLimits) *Roots {
		r, err := o.roots.WithLimits(limits)
		o.check(err)
		return r
	}
	b := o.bundle(4, 0)
	ts := o.timestamp(b, nil, day(1))
	ts.Version = 4
	bundle, timestamp := o.signBundle(b), o.sign(ts)
	at := func(when time.Time) func() time.Time { return func() time.Time { return when } }
	for name, c := range map[string]struct {
		limits RootsLimits
		now    time.Time
		want   BundleWhy
	}{
		"at the floors":   {RootsLimits{MinBundle: 4, MinTimestamp: 4, Expires: day(2)}, day(1), ""},
		"bundle floor":    {RootsLimits{MinBundle: 5}, day(1), WhyRollback},
		"timestamp floor": {RootsLimits{MinTimestamp: 5}, day(1), WhyRollback},
		"expired":         {RootsLimits{Expires: day(1)}, day(1), WhyExpired},
	} {
		r := limited(c.limits)
		_, err := OpenBundle(bundle, r, &Options{Now: at(c.now), Timestamp: timestamp})
		if (err == nil) != (c.want == "") || whyOf(err) != c.want {
			t.Errorf("%s: OpenBundle: %v", name, err)
		}
		_, err = OpenTimestamp(timestamp, r, c.now)
		if (err == nil) != (c.want == "") || whyOf(err) != c.want {
			t.Errorf("%s: OpenTimestamp: %v", name, err)
		}
	}
	made, err := NewTimestamp(limited(RootsLimits{MinTimestamp: 9}), b, nil, TimestampOptions{Now: day(1)})
	if err != nil || made.Version != 9 {
		t.Errorf("%+v, %v", made, err)
	}
	_, err = NewTimestamp(limited(RootsLimits{MinBundle: 9}), b, nil, TimestampOptions{Now: day(1)})
	wantWhy(t, "a timestamp of a bundle below the floor", err, WhyRollback)
}

func TestRootsAddSignature(t *testing.T) {
	a, b := mustRoot(t), mustRoot(t)
	signed, err := AddSignature(t.Context(), signRoots(t, mustRoots(t, 1, 2, a, b), a), b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseRoots(signed); err != nil {
		t.Error(err)
	}
}

// Roots that were not filled accept nothing: neither a bundle, nor successors, nor a file to follow.
func TestZeroRootsTrustNothing(t *testing.T) {
	attacker := mustRoot(t)
	signed, err := SignBundle(t.Context(), versioned(t, 9), attacker)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "bundle")
	if err := os.WriteFile(path, signed, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]*Roots{"zero": {},
		"keys without a threshold": {version: 1, keys: []*keys.Verifier{attacker.Verifier()}},
		"negative":                 {threshold: -1}} {
		_, err := OpenBundle(signed, r, &Options{Now: newClock(day(1)).now})
		wantWhy(t, name+": OpenBundle", err, WhyThreshold)
		_, err = WatchFile(path, r, &Options{Now: newClock(day(1)).now})
		wantWhy(t, name+": WatchFile", err, WhyThreshold)
		_, err = r.Next(signRoots(t, mustRoots(t, 2, 1, attacker), attacker))
		wantWhy(t, name+": Next", err, WhyThreshold)
	}
	if _, err := OpenBundle(signed, nil, nil); err == nil {
		t.Error("nil roots accept a bundle")
	}
	_, err = (*Roots)(nil).Next(signRoots(t, mustRoots(t, 2, 1, attacker), attacker))
	wantWhy(t, "nil: Next", err, WhyThreshold)
}

// A program that keeps roots in a JSON configuration gets what ParseRoots gives, or an error.
func TestRootsUnmarshalJSON(t *testing.T) {
	a, b := mustRoot(t), mustRoot(t)
	want := mustRoots(t, 3, 2, a, b)
	for name, doc := range map[string][]byte{"bare": want.Payload(), "signed": signRoots(t, want, a, b)} {
		var config struct{ Roots *Roots }
		if err := json.Unmarshal([]byte(`{"Roots":`+string(doc)+`}`), &config); err != nil ||
			!bytes.Equal(config.Roots.Payload(), want.Payload()) {
			t.Errorf("%s: %v", name, err)
		}
		if err := json.Unmarshal(mustRoots(t, 4, 1, a).Payload(), config.Roots); err == nil ||
			config.Roots.Version() != 3 {
			t.Errorf("%s: roots in use were replaced (%v)", name, err)
		}
	}
	for _, doc := range []string{`{}`, `{"keys":[],"threshold":2,"version":1}`, `{"Version":1}`, `[]`, `null`,
		string(signRoots(t, want, a))} {
		var r Roots
		if err := json.Unmarshal([]byte(doc), &r); err == nil || r.threshold != 0 {
			t.Errorf("%s: accepted", doc)
		}
	}
}
