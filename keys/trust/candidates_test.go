package trust_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// Candidates are what Lookup is for a signature without a key ID: the keys that may have made it, in order,
// and no more than asked for.
func TestCandidates(t *testing.T) {
	const source, typ = "https://orders.example/eu", "com.example.order.placed"
	may := func(k *trust.Key) {
		k.Sources, k.Types = []string{"https://orders.example/*"}, []string{"com.example.*"}
	}
	var list []*trust.Key
	var want []string
	add := func(alg keys.Algorithm, isOne bool, change func(*trust.Key)) {
		s, err := keys.GenerateSigner(alg, "orders")
		if err != nil {
			t.Fatal(err)
		}
		k := &trust.Key{Verifier: s.Verifier(), Producer: "orders"}
		may(k)
		if change != nil {
			change(k)
		}
		list = append(list, k)
		if isOne {
			want = append(want, k.KeyID())
		}
	}
	for range 3 {
		add(keys.Ed25519, true, nil)
		add(keys.ES256, true, nil)
	}
	add(keys.Ed25519, true, func(k *trust.Key) { k.Revoked = &trust.Revocation{At: time.Unix(1, 0), Reason: "stolen"} })
	add(keys.MLDSA65, false, nil)
	add(keys.Ed25519, false, func(k *trust.Key) { k.Sources = []string{"https://billing.example/*"} })
	add(keys.Ed25519, false, func(k *trust.Key) { k.Sources = nil })
	add(keys.Ed25519, false, func(k *trust.Key) { k.Types = []string{"com.other.*"} })
	b, err := trust.NewBundle(trust.BundleOptions{}, list...)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(want)
	ids := func(source, typ string, size, most int) (got []string) {
		for _, k := range b.Candidates(source, typ, size, most) {
			got = append(got, k.KeyID())
		}
		return got
	}
	if got := ids(source, typ, 64, 100); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := ids(source, typ, 64, 3); !slices.Equal(got, want[:3]) {
		t.Errorf("the first three are %q, want %q", got, want[:3])
	}
	if got := ids(source, typ, keys.MLDSA65.SignatureSize(), 100); len(got) != 1 {
		t.Errorf("of ML-DSA-65: %q", got)
	}
	for name, got := range map[string][]string{
		"none asked for": ids(source, typ, 64, 0), "no length": ids(source, typ, 0, 9),
		"another length": ids(source, typ, 63, 9),
		"another source": ids("https://other.example/", typ, 64, 9), "no source": ids("", typ, 64, 9),
		"no type": ids(source, "", 64, 9),
		"a source that matches nothing": ids("https://orders.example/"+strings.Repeat("a/", 3)+
			"..", typ, 64, 9),
	} {
		if got != nil {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// BenchmarkCandidates is the most that a forger can have looked through: a long source in the largest bundle,
// in which no key may speak for it.
func BenchmarkCandidates(b *testing.B) {
	var list []*trust.Key
	for range 2_000 {
		s, err := keys.GenerateSigner(keys.Ed25519, "orders")
		if err != nil {
			b.Fatal(err)
		}
		list = append(list, &trust.Key{
			Verifier: s.Verifier(), Producer: "orders",
			Sources: []string{"https://orders.example/" + s.Verifier().KeyID() + "/*"}, Types: []string{"*"},
		})
	}
	bundle, err := trust.NewBundle(trust.BundleOptions{}, list...)
	if err != nil {
		b.Fatal(err)
	}
	source := "https://orders.example/" + strings.Repeat("a", 8000)
	b.ReportAllocs()
	for b.Loop() {
		if bundle.Candidates(source, "t", 64, 9) != nil {
			b.Fatal("a candidate")
		}
	}
}
