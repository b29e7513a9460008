package doctor_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/doctor"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// doctorTrust runs doctor over the bundle, and over the keyring if it is named.
func doctorTrust(b *clitest.Bench, more ...string) (map[string][]doctor.Finding, int) {
	b.T.Helper()
	return findings(b, append([]string{"doctor", "--trust", b.Path("trust.dsse"), "--roots",
		b.Path("roots.json")}, more...)...)
}

func TestDoctorBundle(t *testing.T) {
	b := clitest.New(t)
	b.Org(nil, clitest.OrderSource)
	found, code := doctorTrust(b)
	one(t, found, "bundle", doctor.StatusOK, "version 1, signed by its roots, expires in 2d")
	one(t, found, "producer keys", doctor.StatusOK, "1 producer can sign for 14d and more")
	if code != 0 {
		t.Errorf("exit %d", code)
	}
	b.Now = b.Now.Add(33 * time.Hour)
	found, code = doctorTrust(b)
	one(t, found, "bundle", doctor.StatusWarning, "expires in 15h")
	if code != 0 {
		t.Errorf("a warning: exit %d", code)
	}
	b.Now = b.Now.Add(15 * time.Hour)
	found, code = doctorTrust(b)
	one(t, found, "bundle", doctor.StatusProblem, "expired")
	if code != ui.ExitDue || len(found) != 1 {
		t.Errorf("exit %d: %v", code, found)
	}
	b.Check(os.Remove(b.Path("trust.dsse")))
	found, _ = doctorTrust(b)
	one(t, found, "bundle", doctor.StatusProblem, "does not exist")
}

func TestDoctorProducers(t *testing.T) {
	b := clitest.New(t)
	key := func(producer string, s keys.Schedule) *trust.Key {
		signer, err := keys.GenerateSigner(keys.Ed25519, producer)
		b.Check(err)
		return &trust.Key{Verifier: signer.Verifier(), Producer: producer,
			Sources: []string{clitest.OrderSource}, Types: []string{"*"}, Schedule: s}
	}
	revoked := key("stolen", keys.Schedule{})
	revoked.Revoked = &trust.Revocation{At: b.Now, Reason: "stolen"}
	day := 24 * time.Hour
	b.Trust(key("fine", keys.Schedule{}), key("soon", keys.Schedule{Retired: b.Now.Add(3 * day)}),
		key("soon", keys.Schedule{Retired: b.Now.Add(5 * day)}),
		key("rotates", keys.Schedule{Retired: b.Now.Add(day)}),
		key("rotates", keys.Schedule{Active: b.Now.Add(day / 2)}),
		key("late", keys.Schedule{Active: b.Now.Add(day)}), revoked)
	found, code := doctorTrust(b)
	var all []string
	for _, f := range found["producer keys"] {
		all = append(all, f.Status+" "+f.Cause)
	}
	const want = "problem producer late has no key that signs now|warning producer soon: the last key retires in 5d, and no other follows|problem producer stolen has no key that signs now"
	if got := strings.Join(all, "|"); got != want || code != ui.ExitDue {
		t.Errorf("exit %d\n%s", code, got)
	}
}

func TestDoctorKeyring(t *testing.T) {
	b := clitest.New(t)
	b.Org(nil, clitest.OrderSource)
	ring := []string{"--keyring", b.Path("shop.keyring"), "--insecure-no-passphrase"}
	found, _ := doctorTrust(b, ring...)
	one(t, found, "keyring", doctor.StatusOK, "producer shop, key ")
	one(t, found, "keyring and bundle", doctor.StatusOK, "accepts key")
	one(t, found, "keyring and bundle", doctor.StatusOK, "all consumers know it in 8m")
	opened, err := keys.OpenKeyring(b.Path("shop.keyring"), "",
		&keys.PrivateFileOptions{InsecureNoPassphrase: true})
	b.Check(err)
	mine := opened.PublicKeys()[0].Verifier
	entry := func(change func(k *trust.Key)) *trust.Key {
		k := &trust.Key{Verifier: mine, Producer: "shop", Sources: []string{clitest.OrderSource},
			Types: []string{"*"}}
		change(k)
		return k
	}
	other, err := keys.GenerateSigner(keys.Ed25519, "shop")
	b.Check(err)
	for cause, k := range map[string]*trust.Key{
		"does not know key": {Verifier: other.Verifier(), Producer: "shop",
			Sources: []string{clitest.OrderSource}, Types: []string{"*"}},
		"for producer bakery":  entry(func(k *trust.Key) { k.Producer = "bakery" }),
		"is revoked":           entry(func(k *trust.Key) { k.Revoked = &trust.Revocation{At: b.Now, Reason: "stolen"} }),
		"the bundle it is ret": entry(func(k *trust.Key) { k.Schedule.Retired = b.Now.Add(-time.Hour) }),
	} {
		b.Trust(k)
		found, code := doctorTrust(b, ring...)
		one(t, found, "keyring and bundle", doctor.StatusProblem, cause)
		if code != ui.ExitDue {
			t.Errorf("%s: exit %d", cause, code)
		}
	}
	b.Trust(entry(func(k *trust.Key) { k.Sources = []string{"https://shop.example/us/*"} }))
	found, _ = doctorTrust(b, ring...)
	one(t, found, "keyring and bundle", doctor.StatusWarning, clitest.OrderSource+
		", which the bundle does not list")
	b.Trust(entry(func(k *trust.Key) { k.Tainted = true }))
	found, _ = doctorTrust(b, ring...)
	one(t, found, "keyring and bundle", doctor.StatusWarning, "is tainted")
	found, code := findings(b, "doctor", "--keyring", b.Path("none"), "--insecure-no-passphrase")
	one(t, found, "keyring", doctor.StatusUnknown, "does not exist")
	if code != ui.ExitUsage {
		t.Errorf("exit %d", code)
	}
}

func TestDoctorUsage(t *testing.T) {
	b := clitest.New(t)
	b.Org(nil, clitest.OrderSource)
	for want, args := range map[string][]string{
		"--trust and --roots belong together": {"--trust", "x"},
		"cannot be the name of a table":       {"--table", "a b"},
		"--queue: \"billing\" is not a URL":   {"--queue", "billing"},
		"--endpoint":                          {"--endpoint", "localhost"},
		"and is not encrypted":                {"--keyring", b.Path("shop.keyring")},
		"--redis is not a URL of Redis":       {"--redis", "http://user:secret@h"},
	} {
		if r := b.Run("", append([]string{"doctor"}, args...)...); r.Code != ui.ExitUsage ||
			!strings.Contains(r.Stderr, want) || strings.Contains(r.Stderr, "secret") {
			t.Errorf("%v: exit %d\n%s", args, r.Code, r.Stderr)
		}
	}
}

// Where the roots name timestamp keys, the timestamp runs out first.
func TestDoctorTimestamp(t *testing.T) {
	b := clitest.New(t)
	b.Org(nil, clitest.OrderSource)
	must := func(args ...string) { b.Must("", append([]string{"trust"}, args...)...) }
	must("root", "new", "--out", b.Path("root.key"), "--insecure-no-passphrase")
	must("root", "new", "--out", b.Path("stamp.key"), "--insecure-no-passphrase")
	must("roots", b.Path("root.key.pub"), "--timestamp-key", b.Path("stamp.key.pub"), "--out", b.Path("stamped.json"))
	b.Check(os.WriteFile(b.Path("policy.yaml"), []byte("version: 1\nproducers: {}\n"), 0o600))
	must("build", "--policy", b.Path("policy.yaml"), "--root", b.Path("root.key"), "--roots", b.Path("stamped.json"),
		"--insecure-no-passphrase", "--out", b.Path("stamped.dsse"))
	must("timestamp", "--key", b.Path("stamp.key"), "--insecure-no-passphrase", "--roots", b.Path("stamped.json"),
		"--bundle", b.Path("stamped.dsse"), "--previous", "none", "--out", b.Path("timestamp.dsse"))
	look := func() map[string][]doctor.Finding {
		found, _ := findings(b, "doctor", "--trust", b.Path("stamped.dsse"), "--roots", b.Path("stamped.json"))
		return found
	}
	one(t, look(), "bundle", doctor.StatusOK, "timestamp 1 expires in 1d")
	b.Now = b.Now.Add(13 * time.Hour)
	one(t, look(), "bundle", doctor.StatusWarning, "timestamp 1 expires in 11h")
	b.Now = b.Now.Add(11 * time.Hour)
	one(t, look(), "bundle", doctor.StatusProblem, "expired")
}

func TestDoctorSharedSources(t *testing.T) {
	b := clitest.New(t)
	key := func(producer, source string) *trust.Key {
		signer, err := keys.GenerateSigner(keys.Ed25519, producer)
		b.Check(err)
		return &trust.Key{Verifier: signer.Verifier(), Producer: producer, Sources: []string{source}, Types: []string{"*"}}
	}
	list := []*trust.Key{key("alone", "https://alone.example/*")}
	b.Trust(append(list, key("orders", clitest.OrderSource))...)
	if found, _ := doctorTrust(b); found["shared sources"] != nil {
		t.Errorf("nothing is shared, and it finds %v", found["shared sources"])
	}
	for i := range 22 {
		list = append(list, key(fmt.Sprintf("p%02d", i), "https://all.example/*"))
	}
	b.Trust(list...)
	found, code := doctorTrust(b)
	if got := found["shared sources"]; len(got) != 21 || code != 0 ||
		!strings.HasPrefix(got[0].Cause, "p00 and p01 may both sign events of https://all.example/*") ||
		got[20].Cause != "and there are others" || got[20].Status != doctor.StatusWarning {
		t.Errorf("exit %d, %d findings\n%v", code, len(got), got)
	}
}
