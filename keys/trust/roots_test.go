package trust

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
	if r, err := old.Next(signRoots(t, mustRoots(t, 9, 1, d), a, b, d)); err != nil || r.Version() != 9 {
		t.Errorf("a later version: %v", err)
	}
	for name, who := range map[string][]*RootKey{
		"only by the old": {a, b}, "only by the new": {c, d}, "by the new and one old": {b, c, d},
		"by a stranger": {mustRoot(t)},
	} {
		_, err := old.Next(signRoots(t, next, who...))
		wantWhy(t, name, err, WhyThreshold)
	}
	_, err := old.Next(signRoots(t, mustRoots(t, 2, 2, b, c), a, b, c))
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
