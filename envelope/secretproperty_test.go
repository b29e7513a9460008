package envelope_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/testbed/cases"
	"github.com/sealbus/sealbus/internal/testbed/mint"
	"github.com/sealbus/sealbus/keys/trust"
)

// pointersOf are JSON Pointers of the value and of all that is in it, each before those within.
func pointersOf(n *node, at string, list []string) []string {
	list = append(list, at)
	for i, k := range n.kids {
		token := strconv.Itoa(i)
		if n.kind == '{' {
			token = strings.NewReplacer("~", "~0", "/", "~1").Replace(k.name)
		}
		list = pointersOf(k, at+"/"+token, list)
	}
	return list
}

// someFields are a few of the value's pointers, in any order, of which none is within another.
func someFields(r *rand.Rand, n *node) []string {
	all := pointersOf(n, "", nil)
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	var list []string
	for _, p := range all {
		overlaps := func(q string) bool { return p == q || strings.HasPrefix(p, q+"/") || strings.HasPrefix(q, p+"/") }
		if len(list) < 1+r.IntN(6) && !slices.ContainsFunc(list, overlaps) {
			list = append(list, p)
		}
	}
	return list
}

// Of any document, any members can be encrypted, or all of it: what is opened is the document, byte by byte,
// however a broker re-serialised what it carried, and none of it is legible on the way.
func TestEncryptedDocuments(t *testing.T) {
	seed := rand.Uint64()
	trust := bundleOf(t, "orders")
	encrypter, err := envelope.NewEncrypter(envelope.EncryptTo{Recipients: recipientsOf("x25519", "p256")})
	if err != nil {
		t.Fatal(err)
	}
	opts := &envelope.Policy{Now: fixedNow, Decrypter: openBoth(t), Unsafe: unchecked}
	for i := range cases.Of(1500) {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		value := randomValue(r, 4)
		ev := orderEvent(t)
		jsonData(written(r, value))(&ev)
		plain, err := envelope.Seal(t.Context(), ev, cast["orders"], &envelope.SealOptions{Now: fixedNow})
		if err != nil {
			t.Fatal(err)
		}
		want, err := envelope.Open(t.Context(), plain.JSON(), trust, opts)
		if err != nil {
			t.Fatal(err)
		}
		with := &envelope.SealOptions{Now: fixedNow, Encrypt: encrypter}
		if i%4 > 0 {
			with.EncryptFields = someFields(r, value)
		}
		sealed, err := envelope.Seal(t.Context(), ev, cast["orders"], with)
		if err != nil {
			t.Fatalf("seed %d, %d: %v: %q in %s", seed, i, err, with.EncryptFields, want.JSON())
		}
		checkOpens(t, sealed.JSON(), trust, opts, want.JSON())
		in := resealed(t, sealed, written(r, dataOf(t, sealed)))
		checkOpens(t, in, trust, opts, want.JSON())
		if carried := dataOf(t, sealed); carried.kind == '{' {
			checkEmbedded(t, trust, opts, sealed, string(want.JSON()), written(r, carried))
		}
		if with.EncryptFields != nil {
			checkIllegible(t, sealed, with.EncryptFields)
		}
		if t.Failed() {
			t.Fatalf("seed %d, %d: %q", seed, i, with.EncryptFields)
		}
	}
}

func checkOpens(t *testing.T, in []byte, trust trust.Source, opts *envelope.Policy, want []byte) {
	t.Helper()
	opened, err := envelope.Open(t.Context(), in, trust, opts)
	if err != nil {
		t.Errorf("%v\n%s", err, in)
	} else if !bytes.Equal(opened.JSON(), want) {
		t.Errorf("got\n%s\nwant\n%s", opened.JSON(), want)
	}
}

func dataOf(t *testing.T, sealed *envelope.Sealed) *node {
	t.Helper()
	n := &node{kind: 'r', text: "null"}
	for _, k := range parseTree(t, string(sealed.JSON())).kids {
		if k.name == "data" {
			n = k
		}
	}
	return plainNode(n)
}

// plainNode is the tree with texts that were taken apart as texts again.
func plainNode(n *node) *node {
	if n.kind == 'p' || n.kind == 'b' {
		return &node{kind: '"', name: n.name, text: mint.Unquote(n.plain())}
	}
	c := *n
	c.kids = make([]*node, len(n.kids))
	for i, k := range n.kids {
		c.kids[i] = plainNode(k)
	}
	return &c
}

// checkIllegible wants a compact JWE at each pointer, by encoding/json.
func checkIllegible(t *testing.T, sealed *envelope.Sealed, fields []string) {
	t.Helper()
	for _, field := range fields {
		raw, found := envelope.LookUpSlowly([]byte(dataOf(t, sealed).String()), field)
		var text string
		if !found || json.Unmarshal(raw, &text) != nil || strings.Count(text, ".") != 4 {
			t.Errorf("%q is %s", field, raw)
		}
	}
}
