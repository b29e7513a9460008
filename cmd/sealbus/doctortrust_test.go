package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

func TestSignsUntil(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	days := func(n int) time.Time { return now.Add(time.Duration(n) * 24 * time.Hour) }
	for name, c := range map[string]struct {
		schedules []*keys.Schedule
		want      time.Time
		found     bool
	}{
		"none":              {nil, now, false},
		"without end":       {[]*keys.Schedule{{}}, time.Time{}, true},
		"retires":           {[]*keys.Schedule{{Retired: days(3)}}, days(3), true},
		"expires":           {[]*keys.Schedule{{Expired: days(4)}}, days(4), true},
		"not yet":           {[]*keys.Schedule{{Active: days(1)}}, now, false},
		"no longer":         {[]*keys.Schedule{{Retired: days(-1)}}, now, false},
		"a successor":       {[]*keys.Schedule{{Retired: days(3)}, {Active: days(2)}}, time.Time{}, true},
		"seamless":          {[]*keys.Schedule{{Active: days(3), Retired: days(9)}, {Retired: days(3)}}, days(9), true},
		"a gap":             {[]*keys.Schedule{{Retired: days(3)}, {Active: days(4)}}, days(3), true},
		"three in a row":    {[]*keys.Schedule{{Active: days(5), Retired: days(8)}, {Active: days(2), Retired: days(6)}, {Retired: days(3)}}, days(8), true},
		"one in another":    {[]*keys.Schedule{{Retired: days(9)}, {Retired: days(3)}}, days(9), true},
		"ends this instant": {[]*keys.Schedule{{Retired: now}}, now, false},
	} {
		if got, found := signsUntil(c.schedules, now); !got.Equal(c.want) || found != c.found {
			t.Errorf("%s: %v %v", name, got, found)
		}
	}
}

// doctorTrust runs doctor over the bundle, and over the keyring if it is named.
func (b *bench) doctorTrust(more ...string) (map[string][]finding, int) {
	b.t.Helper()
	return b.findings(append([]string{"doctor", "--trust", b.path("trust.dsse"), "--roots", b.path("roots.json")}, more...)...)
}

func TestDoctorBundle(t *testing.T) {
	b := newBench(t)
	b.org(nil, orderSource)
	found, code := b.doctorTrust()
	one(t, found, "bundle", statusOK, "version 1, signed by its roots, expires in 2d")
	one(t, found, "producer keys", statusOK, "1 producer can sign for 14d and more")
	if code != 0 {
		t.Errorf("exit %d", code)
	}
	b.now = b.now.Add(33 * time.Hour)
	found, code = b.doctorTrust()
	one(t, found, "bundle", statusWarning, "expires in 15h")
	if code != 0 {
		t.Errorf("a warning: exit %d", code)
	}
	b.now = b.now.Add(15 * time.Hour)
	found, code = b.doctorTrust()
	one(t, found, "bundle", statusProblem, "expired")
	if code != exitDue || len(found) != 1 {
		t.Errorf("exit %d: %v", code, found)
	}
	b.check(os.Remove(b.path("trust.dsse")))
	found, _ = b.doctorTrust()
	one(t, found, "bundle", statusProblem, "does not exist")
}

func TestDoctorProducers(t *testing.T) {
	b := newBench(t)
	key := func(producer string, s keys.Schedule) *trust.Key {
		signer, err := keys.GenerateSigner(keys.Ed25519, producer)
		b.check(err)
		return &trust.Key{Verifier: signer.Verifier(), Producer: producer, Sources: []string{orderSource}, Types: []string{"*"}, Schedule: s}
	}
	revoked := key("stolen", keys.Schedule{})
	revoked.Revoked = &trust.Revocation{At: b.now, Reason: "stolen"}
	day := 24 * time.Hour
	b.trust(key("fine", keys.Schedule{}), key("soon", keys.Schedule{Retired: b.now.Add(3 * day)}), key("soon", keys.Schedule{Retired: b.now.Add(5 * day)}),
		key("rotates", keys.Schedule{Retired: b.now.Add(day)}), key("rotates", keys.Schedule{Active: b.now.Add(day / 2)}), key("late", keys.Schedule{Active: b.now.Add(day)}), revoked)
	found, code := b.doctorTrust()
	var all []string
	for _, f := range found["producer keys"] {
		all = append(all, f.Status+" "+f.Cause)
	}
	const want = "problem producer late has no key that signs now|warning producer soon: the last key retires in 5d, and no other follows|problem producer stolen has no key that signs now"
	if got := strings.Join(all, "|"); got != want || code != exitDue {
		t.Errorf("exit %d\n%s", code, got)
	}
}

func TestDoctorKeyring(t *testing.T) {
	b := newBench(t)
	b.org(nil, orderSource)
	ring := []string{"--keyring", b.path("shop.keyring"), "--insecure-no-passphrase"}
	found, _ := b.doctorTrust(ring...)
	one(t, found, "keyring", statusOK, "producer shop, key ")
	one(t, found, "keyring and bundle", statusOK, "accepts key")
	opened, err := keys.OpenInsecureKeyring(b.path("shop.keyring"))
	b.check(err)
	mine := opened.PublicKeys()[0].Verifier
	entry := func(change func(k *trust.Key)) *trust.Key {
		k := &trust.Key{Verifier: mine, Producer: "shop", Sources: []string{orderSource}, Types: []string{"*"}}
		change(k)
		return k
	}
	other, err := keys.GenerateSigner(keys.Ed25519, "shop")
	b.check(err)
	for cause, k := range map[string]*trust.Key{
		"does not know key":    {Verifier: other.Verifier(), Producer: "shop", Sources: []string{orderSource}, Types: []string{"*"}},
		"for producer bakery":  entry(func(k *trust.Key) { k.Producer = "bakery" }),
		"is revoked":           entry(func(k *trust.Key) { k.Revoked = &trust.Revocation{At: b.now, Reason: "stolen"} }),
		"the bundle it is ret": entry(func(k *trust.Key) { k.Schedule.Retired = b.now.Add(-time.Hour) }),
	} {
		b.trust(k)
		found, code := b.doctorTrust(ring...)
		one(t, found, "keyring and bundle", statusProblem, cause)
		if code != exitDue {
			t.Errorf("%s: exit %d", cause, code)
		}
	}
	b.trust(entry(func(k *trust.Key) { k.Sources = []string{"https://shop.example/us/*"} }))
	found, _ = b.doctorTrust(ring...)
	one(t, found, "keyring and bundle", statusWarning, orderSource+", which the bundle does not list")
	found, code := b.findings("doctor", "--keyring", b.path("none"), "--insecure-no-passphrase")
	one(t, found, "keyring", statusUnknown, "does not exist")
	if code != exitUsage {
		t.Errorf("exit %d", code)
	}
}

func TestDoctorUsage(t *testing.T) {
	b := newBench(t)
	b.org(nil, orderSource)
	for want, args := range map[string][]string{
		"--trust and --roots belong together": {"--trust", "x"},
		"cannot be the name of a table":       {"--table", "a b"},
		"--queue: \"billing\" is not a URL":   {"--queue", "billing"},
		"--endpoint":                          {"--endpoint", "localhost"},
		"and is not encrypted":                {"--keyring", b.path("shop.keyring")},
		"--redis is not a URL of Redis":       {"--redis", "http://user:secret@h"},
	} {
		if r := b.run("", append([]string{"doctor"}, args...)...); r.code != exitUsage || !strings.Contains(r.stderr, want) || strings.Contains(r.stderr, "secret") {
			t.Errorf("%v: exit %d\n%s", args, r.code, r.stderr)
		}
	}
}
