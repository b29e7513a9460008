package trust

import (
	"fmt"
	"testing"

	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/keys"
)

// benchmarkPayload is a published bundle of n signing keys, each with a schedule, a source and a type.
func benchmarkPayload(b testing.TB, alg keys.Algorithm, n int) []byte {
	b.Helper()
	list := make([]*Key, n)
	for i := range list {
		list[i] = testKey(b, alg, func(k *Key) {
			k.Producer = fmt.Sprintf("team-%d", i)
			k.Sources, k.Types = []string{fmt.Sprintf("https://team-%d.example/*", i)}, []string{"com.example.*"}
			k.Schedule = keys.Schedule{Published: day(1), Active: day(2), Retired: day(300)}
		})
	}
	bundle, err := NewBundle(BundleOptions{Version: 1, Issued: day(0), Expires: day(7)}, list...)
	if err != nil {
		b.Fatal(err)
	}
	return bundle.Payload()
}

// BenchmarkParseBundle is what loading a bundle costs for each key. The signature of a root key is not in it.
func BenchmarkParseBundle(b *testing.B) {
	for _, alg := range keys.Algorithms() {
		for _, n := range []int{1, 100, 1_000, keydoc.MaxKeys} {
			if n == keydoc.MaxKeys && alg != keys.Ed25519 {
				continue // slow to make, and with ML-DSA larger than a bundle may be
			}
			b.Run(fmt.Sprintf("%s/%d_keys", alg, n), func(b *testing.B) {
				payload := benchmarkPayload(b, alg, n)
				b.ReportAllocs()
				for b.Loop() {
					if _, err := ParseBundle(payload); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/1e3/float64(n)/float64(b.N), "us/key")
			})
		}
	}
}

// sinkKeys and sinkKey keep the compiler from leaving a look-up out.
var (
	sinkKeys []*Key
	sinkKey  *Key
)

// BenchmarkLookup is what finding the key of a signature costs among as many as a bundle may have.
func BenchmarkLookup(b *testing.B) {
	bundle, err := ParseBundle(benchmarkPayload(b, keys.Ed25519, keydoc.MaxKeys))
	if err != nil {
		b.Fatal(err)
	}
	list := bundle.SigningKeys()
	ids := make([]string, len(list))
	for i, k := range list {
		ids[i] = k.KeyID()
	}
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		i = (i + 7_919) % len(ids) // a prime, so that no two look-ups are neighbours
		sinkKeys = bundle.Lookup(ids[i])
	}
}
