package policy

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// labelled is the text with [LABEL] for each key ID.
func labelled(t *testing.T, text string) string {
	for _, label := range []string{"a", "b", "c"} {
		text = strings.ReplaceAll(text, verifier(t, label).KeyID(), "["+label+"]")
	}
	return text
}

// ordersIs is a policy of one producer: its scope, and its keys by label, each with its fields.
func ordersIs(t *testing.T, scope string, keys ...string) string {
	doc := "producers:\n  orders:\n" + scope + "    keys:\n"
	for _, k := range keys {
		label, fields, _ := strings.Cut(k, " ")
		doc += "      " + verifier(t, label).KeyID() + ": {" + fields + "}\n"
	}
	return doc
}

// billingIs is a policy of one consumer: the fields of its keys.
func billingIs(t *testing.T, fields ...string) string {
	doc := "consumers:\n  billing:\n    keys:\n"
	for i, f := range fields {
		doc += "      " + verifier(t, string(rune('a'+i))).KeyID() + ": {" + f + "}\n"
	}
	return doc
}

// The sentences, the widenings first: + marks them, [ID] stands for a key ID.
func TestDiff(t *testing.T) {
	orders := func(scope string, keys ...string) string { return ordersIs(t, scope, keys...) }
	billing := func(fields ...string) string { return billingIs(t, fields...) }
	const scope = "    sources: [\"urn:orders:*\"]\n    types: [order.*]\n"
	const more = "    sources: [\"urn:orders:*\"]\n    types: [order.*, refund.*]\n"
	for name, c := range map[string]struct{ was, is, want string }{
		"nothing":        {orders(scope, "a"), orders(scope, "a"), ""},
		"said otherwise": {orders(scope, "a"), orders("    sources: [\"urn:orders:*\"]\n    types: [order.*, order.x]\n", "a"), ""},
		"types":          {orders(scope, "a", "b"), orders(more, "a", "b"), "+types: orders may now also say refund.*"},
		"fewer types":    {orders(more, "a"), orders(scope, "a"), " types: orders may no longer say refund.*"},
		"sources": {orders(scope, "a"), orders("    sources: [\"urn:x\"]\n    types: [order.*]\n", "a"),
			"+sources: orders may now also speak for urn:x\n sources: orders may no longer speak for urn:orders:*"},
		"accounts": {orders(scope+"    accounts: [\"111122223333\"]\n", "a"), orders(scope+"    accounts: [\"444455556666\"]\n", "a"),
			"+accounts: orders may now also speak from account 444455556666\n accounts: orders may no longer speak from account 111122223333"},
		"every account": {orders(scope+"    accounts: []\n", "a"), orders(scope, "a"),
			"+accounts: orders may now speak from every AWS account"},
		"only accounts": {orders(scope, "a"), orders(scope+"    accounts: [\"111122223333\"]\n", "a"),
			" accounts: orders may now speak only from account 111122223333"},
		"a new producer": {"", orders(scope, "a", "b"),
			"+producer: orders is new: it may say order.* for urn:orders:*\n key: key [a] of orders is new\n key: key [b] of orders is new"},
		"a producer goes": {orders(scope, "a"), "", " producer: orders may no longer say anything\n key: key [a] of orders is gone"},
		"rotation": {orders(scope, "a"), orders(scope, "a retired: 2026-03-01T00:00:00Z", "b active: 2026-02-01T00:00:00Z"),
			" retired: key [a] of orders signs until 2026-03-01T00:00:00Z, and not for ever\n key: key [b] of orders is new, active 2026-02-01T00:00:00Z"},
		"a new key with more": {orders(scope, "a"), orders(more, "b"),
			"+types: orders may now also say refund.*\n key: key [a] of orders is gone\n key: key [b] of orders is new"},
		"later": {orders(scope, "a retired: 2026-03-01T00:00:00Z, expired: 2026-04-01T00:00:00Z"), orders(scope, "a retired: 2026-03-02T00:00:00Z"),
			"+retired: key [a] of orders signs until 2026-03-02T00:00:00Z, and not until 2026-03-01T00:00:00Z\n" +
				"+expired: key [a] of orders is accepted for ever, and not until 2026-04-01T00:00:00Z"},
		"earlier": {orders(scope, "a active: 2026-03-01T00:00:00Z"), orders(scope, "a"),
			"+active: key [a] of orders signs from the start, and not from 2026-03-01T00:00:00Z"},
		"revoked":     {orders(scope, "a"), orders(scope, "a "+revoked), " revoked: key [a] of orders is revoked: lost"},
		"not revoked": {orders(scope, "a "+revoked), orders(scope, "a"), "+revoked: key [a] of orders is no longer revoked (it was: lost)"},
		"tainted": {orders(scope, "a"), orders(scope, "a tainted: {reason: moves}"),
			" tainted: key [a] of orders is tainted: another key is preferred (moves)"},
		"not tainted":    {orders(scope, "a tainted: true"), orders(scope, "a"), " tainted: key [a] of orders is no longer tainted"},
		"a new consumer": {"", billing(""), "+consumer: billing may now read what is encrypted to it\n key: key [a] of billing is new"},
		"a consumer's key": {billing(""), billing("", "active: 2026-02-01T00:00:00Z"),
			" key: key [b] of billing is new, active 2026-02-01T00:00:00Z"},
		"a consumer ends": {billing("", ""), billing("retired: 2027-01-01T00:00:00Z", "retired: 2026-01-01T00:00:00Z"),
			" consumer: billing may no longer read as of 2027-01-01T00:00:00Z\n" +
				" retired: key [a] of billing is encrypted to until 2027-01-01T00:00:00Z, and not for ever\n" +
				" retired: key [b] of billing is encrypted to until 2026-01-01T00:00:00Z, and not for ever"},
		"one of its keys ends": {billing("", ""), billing("retired: 2027-01-01T00:00:00Z", ""),
			" retired: key [a] of billing is encrypted to until 2027-01-01T00:00:00Z, and not for ever"},
		"a consumer goes": {billing(""), "", " consumer: billing may no longer read\n key: key [a] of billing is gone"},
		"the key of another": {orders(scope, "a"), "producers:\n  other:\n    sources: [\"urn:o\"]\n    types: [o]\n    keys: {" +
			verifier(t, "a").KeyID() + ": {}}\n",
			"+producer: other is new: it may say o for urn:o\n" +
				"+key: key [a] was of orders: those who have it are now taken for other\n" +
				" producer: orders may no longer say anything\n" +
				" key: key [a] of orders is gone\n key: key [a] of other is new"},
		"times": {"refresh_hint: 5m\nin_flight: 14d\n", "refresh_hint: 1m\ncache: 1h\nin_flight: 1d\n",
			" refresh_hint: consumers look for a newer bundle every 1m, and not every 5m\n" +
				" cache: a cache may serve an old bundle for 1h, and not for (not said)\n in_flight: events are in flight for 1d, and not for 14d"},
	} {
		was, is := mustParse(t, "version: 1\n"+c.was), mustParse(t, "version: 1\n"+c.is)
		var got []string
		for _, ch := range Diff(was.Grants(), is.Grants()) {
			mark := " "
			if ch.Widening {
				mark = "+"
			}
			got = append(got, mark+ch.Kind+": "+labelled(t, ch.Text))
		}
		if text := strings.Join(got, "\n"); text != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, text, c.want)
		}
	}
}

// A policy and the bundle of it allow the same.
func TestDiffOfPolicyAndBundle(t *testing.T) {
	p := mustParse(t, full(t))
	b, err := p.Build(submitted(t, "a", "b", "c"), options(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, changes := range [][]Change{Diff(p.Grants(), GrantsOf(b)), Diff(GrantsOf(b), p.Grants())} {
		if len(changes) > 0 {
			t.Errorf("%v", changes)
		}
	}
}

// Keys of one producer may differ in a bundle. A new key that none of them covers alone is a widening.
func TestDiffOfUnlikeKeys(t *testing.T) {
	key := func(label, source, typ string) *trust.Key {
		return &trust.Key{Verifier: verifier(t, label), Producer: "orders", Sources: strings.Fields(source), Types: strings.Fields(typ)}
	}
	of := func(list ...*trust.Key) *Grants {
		b, err := trust.NewBundle(trust.BundleOptions{}, list...)
		if err != nil {
			t.Fatal(err)
		}
		return GrantsOf(b)
	}
	a, b := key("a", "urn:a", "x"), key("b", "urn:b", "y")
	changes := Diff(of(a, b), of(a, b, key("c", "urn:a", "y")))
	if len(changes) != 2 || !changes[0].Widening || changes[0].KeyID != verifier(t, "c").KeyID() ||
		changes[0].Text != "new key "+verifier(t, "c").KeyID()+" of orders may do more than each of its earlier keys" {
		t.Errorf("%v", changes)
	}
	if changes := Diff(of(a, b), of(a, b, key("c", "urn:a", "x"))); len(changes) != 1 || changes[0].Widening {
		t.Errorf("%v", changes)
	}
}

// A widening is built only if its producer or consumer is named, and always if there is no previous bundle.
func TestBuildRefusesAWidening(t *testing.T) {
	was, is := scheduled(t, "", map[string]string{"a": ""}), scheduled(t, "", map[string]string{"a": "", "b": ""})
	is.Producers[0].Types = []string{"a.*", "b.*"}
	opts := BuildOptions{Now: now, Expires: after(7), Previous: built(t, was)}
	for names, ok := range map[string]bool{"": false, "billing": false, "orders": true, "all": true, "billing orders": true} {
		opts.Widen = strings.Fields(names)
		_, err := is.Build(listed(t, is), opts)
		var wider *WideningError
		if ok && err != nil || !ok && (!errors.As(err, &wider) || !slices.Equal(wider.Names(), []string{"orders"}) ||
			err.Error() != "policy: it allows more than the previous bundle: orders may now also say b.*") {
			t.Errorf("%q: %v", names, err)
		}
	}
	opts.Widen, opts.Previous = nil, nil
	if _, err := is.Build(listed(t, is), opts); err != nil {
		t.Errorf("the first bundle: %v", err)
	}
}

// If no change of a diff is a widening, whatever the new bundle allows a key, the old one allowed it, or, for
// a new key, an earlier key of the same producer.
func TestNoWideningAllowsNoMore(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	some := func(list ...string) (out []string) {
		for _, s := range list {
			if random.IntN(2) == 0 {
				out = append(out, s)
			}
		}
		return out
	}
	sources := []string{"urn:a:*", "urn:a:b", "https://x.example/*", "https://x.example/a/*", "https://x.example/a/b"}
	types := []string{"*", "a.*", "a.b.*", "a.b.c"}
	policyOf := func() *Policy {
		p := &Policy{}
		labels := some("a", "b", "c")
		for _, name := range []string{"orders", "mail"} {
			o := Producer{Name: name, Sources: some(sources...), Types: some(types...)}
			for _, l := range labels[:len(labels)/2] {
				o.Keys = append(o.Keys, Key{ID: verifier(t, l).KeyID()})
			}
			labels = labels[len(labels)/2:]
			p.Producers = append(p.Producers, o)
		}
		return p
	}
	quiet := 0
	for range 20_000 {
		was, is := policyOf(), policyOf()
		if random.IntN(2) == 0 {
			is.Producers[0].Sources = some(was.Producers[0].Sources...)
			is.Producers[0].Types = some(was.Producers[0].Types...)
		}
		if slices.ContainsFunc(Diff(was.Grants(), is.Grants()), func(c Change) bool { return c.Widening }) {
			continue
		}
		quiet++
		for i, o := range is.Producers {
			for range o.Keys {
				if len(was.Producers[i].Keys) == 0 || !allows(was.Producers[i], o) {
					t.Fatalf("%+v, then %+v", was.Producers[i], o)
				}
			}
		}
	}
	if quiet < 500 {
		t.Error(fmt.Sprint("only ", quiet, " without a widening"))
	}
}

// allows compares what two producers may say by samples.
func allows(was, is Producer) bool {
	for _, source := range []string{"urn:a:b", "urn:a:c", "https://x.example/a/b", "https://x.example/a/c", "https://x.example/b"} {
		for _, typ := range []string{"a.b.c", "a.b.d", "a.c", "d"} {
			may := func(o Producer) bool {
				return keys.MatchSource(o.Sources, source) && keys.MatchType(o.Types, typ)
			}
			if may(is) && !may(was) {
				return false
			}
		}
	}
	return true
}
