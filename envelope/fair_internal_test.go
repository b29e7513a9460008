package envelope

import (
	"fmt"
	"slices"
	"testing"

	"github.com/sealbus/sealbus/internal/jwe"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/keystest"
)

// A full cache drops what the largest holder has: the oldest of its largest source.
func TestFairCache(t *testing.T) {
	type put struct{ producer, source, key string }
	many := func(producer string, sources, each int) (list []put) {
		for i := range sources * each {
			list = append(list, put{producer, fmt.Sprint("s", i%sources), fmt.Sprint(producer, i)})
		}
		return list
	}
	for name, test := range map[string]struct {
		puts []put
		want []string // the keys that are left, the oldest first
	}{
		"one source": {many("a", 1, 10),
			[]string{"a2", "a3", "a4", "a5", "a6", "a7", "a8", "a9"}},
		"many sources of one producer": {many("a", 10, 1),
			[]string{"a2", "a3", "a4", "a5", "a6", "a7", "a8", "a9"}},
		"another producer keeps what it has": {slices.Concat(many("b", 2, 1), many("a", 100, 1)),
			[]string{"b0", "b1", "a94", "a95", "a96", "a97", "a98", "a99"}},
		"a newcomer gets its share": {slices.Concat(many("a", 8, 1), many("b", 4, 1)),
			[]string{"a4", "a5", "a6", "a7", "b0", "b1", "b2", "b3"}},
		"and no more than its share": {slices.Concat(many("a", 8, 1), many("b", 5, 1)),
			[]string{"a4", "a5", "a6", "a7", "b1", "b2", "b3", "b4"}},
		"the largest source": {
			slices.Concat([]put{{"a", "rare", "x"}}, many("a", 1, 10)),
			[]string{"x", "a3", "a4", "a5", "a6", "a7",
				"a8", "a9"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			dropped := 0
			c := fairCache[string, string]{most: 8, drop: func(string) { dropped++ }}
			for _, p := range test.puts {
				c.put(p.key, p.producer, p.source, p.key)
			}
			var got []string
			for _, item := range c.order {
				got = append(got, item.value)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("left are %q, want %q", got, test.want)
			}
			if len(c.items) != len(got) || dropped != len(test.puts)-len(got) {
				t.Errorf("%d in the map, %d dropped, of %d", len(c.items), dropped, len(test.puts))
			}
			c.removeIf(func(_, _ string) bool { return true })
			if len(c.items)+len(c.order)+len(c.held) != 0 {
				t.Errorf("something is left: %v %v %v", c.items, c.order, c.held)
			}
		})
	}
}

// A producer with a thousand sources costs another one no call: the content key that it has at hand stays
// there.
func TestOneProducerDoesNotEvictAnother(t *testing.T) {
	s := keystest.NewService("k")
	d, err := NewDecrypter(DecryptWith{Services: []keys.ServiceIdentity{s}})
	if err != nil {
		t.Fatal(err)
	}
	d.keys.most = 16
	entry := func(source string) jwe.WrappedKey {
		t.Helper()
		secret, encrypted, err := s.GenerateKey(t.Context(), source)
		if err != nil {
			t.Fatal(err)
		}
		key, err := jwe.ContentKeyFrom(secret)
		if err != nil {
			t.Fatal(err)
		}
		w, err := key.Wrapped(jwe.AlgAWSKMS, "k", encrypted)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	open := func(producer, source string, w jwe.WrappedKey) {
		t.Helper()
		s := &secret{bound: binding{producer: producer, source: source}, entries: []jwe.WrappedKey{w}}
		u := &unlocking{Decrypter: d, secret: s, now: morning} // a secret without fields opens under any key
		if _, verdict := u.unlock(t.Context()); verdict != nil {
			t.Fatal(verdict)
		}
	}
	quiet := entry("urn:shared")
	open("quiet", "urn:shared", quiet)
	for i := range 1000 {
		source := fmt.Sprint("urn:noisy:", i)
		open("noisy", source, entry(source))
		open("noisy", "urn:shared", entry("urn:shared")) // of the same source as the other producer's
	}
	before := s.Calls("test:DecryptKey")
	open("quiet", "urn:shared", quiet)
	if n := s.Calls("test:DecryptKey") - before; n != 0 || len(d.keys.order) != 16 {
		t.Errorf("%d calls for a key that was at hand, %d keys are held", n, len(d.keys.order))
	}
	open("noisy", "urn:shared", quiet) // the same entry, of another producer
	if n := s.Calls("test:DecryptKey") - before; n != 1 {
		t.Errorf("%d calls: a content key at hand is of one producer", n)
	}
}

// The delegations of one producer stay remembered, however many another producer has.
func TestOneProducerDoesNotEvictAnothersDelegations(t *testing.T) {
	m := delegationMemory{byText: fairCache[string, *delegation]{most: 8}}
	quiet := &delegation{isPlain: true}
	m.keep([]byte("quiet"), "quiet", quiet)
	for i := range 100 {
		m.keep(fmt.Append(nil, i), "noisy", &delegation{isPlain: true})
	}
	if item := m.byText.items["quiet"]; item == nil || item.value != quiet || len(m.byText.items) != 8 {
		t.Errorf("forgotten, or too many: %d", len(m.byText.items))
	}
}
