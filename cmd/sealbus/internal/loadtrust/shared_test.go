package loadtrust

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// owned is a bundle with one key for each grant. A number makes the key, so that the order of keys is mixed.
func owned(t *testing.T, grants ...trust.Key) *trust.Bundle {
	t.Helper()
	var list []*trust.Key
	for _, g := range grants {
		signer, err := keys.GenerateSigner(keys.Ed25519, g.Producer)
		if err != nil {
			t.Fatal(err)
		}
		g.Verifier = signer.Verifier()
		list = append(list, &g)
	}
	now := time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)
	b, err := trust.NewBundle(trust.BundleOptions{Version: 1, Issued: now, Expires: now.Add(time.Hour)}, list...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func grant(producer, source string, types ...string) trust.Key {
	return trust.Key{Producer: producer, Sources: []string{source}, Types: types}
}

func TestSharedSources(t *testing.T) {
	revoked := grant("b", "https://x.example/*", "*")
	revoked.Revoked = &trust.Revocation{At: time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC), Reason: "stolen"}
	for name, c := range map[string]struct {
		keys []trust.Key
		want []Shared
	}{
		"one owner":           {[]trust.Key{grant("a", "https://x.example/*", "*"), grant("a", "https://x.example/*", "*")}, nil},
		"others":              {[]trust.Key{grant("a", "https://x.example/a/*", "*"), grant("b", "https://x.example/ab/*", "*")}, nil},
		"other types":         {[]trust.Key{grant("a", "https://x.example/*", "t.a"), grant("b", "https://x.example/*", "t.b")}, nil},
		"revoked":             {[]trust.Key{grant("a", "https://x.example/*", "*"), revoked}, nil},
		"the place itself":    {[]trust.Key{grant("a", "https://x.example/", "*"), grant("b", "https://x.example/*", "*")}, nil},
		"the same":            {[]trust.Key{grant("b", "urn:x:y", "t.a"), grant("a", "urn:x:y", "t.*")}, []Shared{{[2]string{"a", "b"}, "urn:x:y"}}},
		"wider":               {[]trust.Key{grant("b", "urn:x:*", "t.a"), grant("a", "urn:x:y:*", "*")}, []Shared{{[2]string{"a", "b"}, "urn:x:y:*"}}},
		"two keys, said once": {[]trust.Key{grant("b", "urn:x:*", "*"), grant("b", "urn:x:*", "t.b"), grant("a", "urn:x:y", "*")}, []Shared{{[2]string{"a", "b"}, "urn:x:y"}}},
	} {
		if got := SharedSources(owned(t, c.keys...)); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// TestSharedSourcesFindsAll compares it with all pairs of patterns, and all sources and types.
func TestSharedSourcesFindsAll(t *testing.T) {
	patterns := []string{"https://x.example/*", "https://x.example/a", "https://x.example/a/*", "https://x.example/a/b",
		"https://y.example/*", "/a/*", "/a/b", "urn:x:*", "urn:x:a:*", "urn:x:a"}
	places := []string{"https://x.example/a", "https://x.example/a/b", "https://x.example/a/c", "https://x.example/d",
		"https://y.example/a", "/a/b", "/a/c", "urn:x:a", "urn:x:a:b", "urn:x:c"}
	types, sent := []string{"*", "t.*", "t.a", "u.b"}, []string{"t.a", "t.c", "u.b", "v"}
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(list []string) string { return list[random.IntN(len(list))] }
	for range 200 {
		var grants []trust.Key
		for range 2 + random.IntN(8) {
			grants = append(grants, grant(pick([]string{"a", "b", "c"}), pick(patterns), pick(types)))
		}
		want := map[string]bool{}
		for _, a := range grants {
			for _, b := range grants {
				if a.Producer >= b.Producer {
					continue
				}
				for _, s := range places {
					for _, typ := range sent {
						if keys.MatchSource(a.Sources, s) && keys.MatchSource(b.Sources, s) &&
							keys.MatchType(a.Types, typ) && keys.MatchType(b.Types, typ) {
							narrower := max(a.Sources[0], b.Sources[0]) // "*" comes before letters
							want[fmt.Sprint(a.Producer, b.Producer, narrower)] = true
						}
					}
				}
			}
		}
		got := map[string]bool{}
		for _, s := range SharedSources(owned(t, grants...)) {
			got[fmt.Sprint(s.Producers[0], s.Producers[1], s.Source)] = true
		}
		if !maps.Equal(got, want) {
			t.Fatalf("%+v: %v, want %v", grants, got, want)
		}
	}
}
