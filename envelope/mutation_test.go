package envelope_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"flag"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/testbed/cases"
	"github.com/sealbus/sealbus/internal/testbed/mint"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

var mutationSeed = flag.Uint64("mutation-seed", 0, "repeat the mutations of this seed; 0 = a new one")

// mutations is how many changed events TestMutations opens.
var mutations = cases.Of(200_000)

// victim is a sealed event that is going to be mutated, and what it must remain if it is verified at all.
type victim struct {
	name     string
	bridge   bool
	tree     *node
	opts     *envelope.Policy
	event    string
	producer string
}

func victims(t testing.TB) []*victim {
	foreignOf := func(p mint.Plan) mint.Plan {
		p.Foreign = true
		p.Event = p.Event.Set("vip", `"yes"`)
		return p
	}
	typed := order("orders")
	typed.Event = typed.Event.Set("token", `"AAH/"`).Set("due", `"2026-12-01T00:00:00Z"`).Set("docs",
		`"https://docs.example/x"`).Set("dataschema", `"https://schema.example/2"`)
	typed.Types = map[string]string{"token": "Binary", "due": "Timestamp", "docs": "URI"}
	exact := order("orders")
	exact.Event = exact.Event.Del("data").Set("data_base64",
		mint.Quote(base64.StdEncoding.EncodeToString([]byte(`{ "b": 1.0, "a": 0.10000000000000001 }`))))
	text := order("es256")
	text.Event = text.Event.Set("datacontenttype", `"text/plain"`).Set("data", `"grüß dich\n"`)
	raw := foreignOf(order("orders", "next"))
	raw.Event = raw.Event.Del("data").Set("data_base64",
		mint.Quote(base64.StdEncoding.EncodeToString([]byte(`{ "b": 1.0, "a": 2 }`))))
	core := foreignOf(order("es256"))
	core.CoreOnly = true
	bare := order("orders")
	bare.Event = bare.Event.Del("subject", "time", "audience", "sampledrate", "tenant", "vip", "traceparent",
		"data")
	bound := delegated("orders", "session")
	bound.By = append(bound.By, signedBy("next"))
	var list []*victim
	for _, v := range []struct {
		name   string
		plan   mint.Plan
		layout string
	}{
		{"ed25519", order("orders"), ""}, {"es256", order("es256"), ""},
		{"several", order("orders", "es256", "unlisted", "revoked"), ""},
		{"delegated", delegated("orders", "session"), ""},
		{"delegated by es256", delegated("es256", "session"), ""}, {"delegated and direct", bound, ""},
		{"typed", typed, ""}, {"exact", exact, ""}, {"text", text, ""}, {"bare", bare, ""},
		{"foreign", foreignOf(order("orders")), ""},
		{"foreign, raw data", raw, ""}, {"foreign, core only", core, ""},
		{"structured", order("orders"), "structured"}, {"embedded", order("es256"), "embedded"},
		{"embedded and delegated", delegated("orders", "session"), "embedded"},
		{"embedded and foreign", foreignOf(order("orders")), "embedded"},
	} {
		list = append(list, newVictim(t, v.name, v.layout, v.plan))
	}
	hybrid := newVictim(t, "hybrid", "", order("orders", "mldsa"))
	hybrid.opts.RequiredAlgorithms = []keys.Algorithm{keys.Ed25519, keys.MLDSA65}
	return append(append(list, hybrid), secretVictims(t)...)
}

// secretVictims are encrypted, in whole or in part.
func secretVictims(t testing.TB) []*victim {
	text := order("orders")
	text.Event = text.Event.Set("datacontenttype", `"text/plain"`).Set("data", `"grüß dich\n"`)
	var list []*victim
	for _, v := range []struct {
		name, layout string
		plan         mint.Plan
		fields       []string
	}{
		{"encrypted", "", order("orders"), nil}, {"encrypted text", "", text, nil},
		{"encrypted and structured", "structured", order("orders"), nil},
		{"encrypted and embedded", "embedded", order("es256"), nil},
		{"encrypted and delegated", "", delegated("orders", "session"), nil},
		{"encrypted and hybrid", "", order("orders", "mldsa"), nil},
		{"fields", "", order("orders"), []string{"/total", "/lines/0/sku"}},
		{"fields and embedded", "embedded", order("orders"), []string{"/lines", "/order"}},
		{"root", "", order("es256"), []string{""}},
		{"fields and delegated", "", delegated("es256", "session"), []string{"/total", "/order"}},
		{"fields and hybrid", "", order("orders", "mldsa"), []string{"/lines/0"}},
	} {
		list = append(list, newSecretVictim(t, v.name, v.layout, v.plan, v.fields...))
	}
	return list
}

func newSecretVictim(t testing.TB, name, layout string, p mint.Plan, fields ...string) *victim {
	t.Helper()
	q := p.Encrypt(&mint.Secret{Name: name, To: recipientsOf("p256", "x25519"), Fields: fields})
	return makeVictim(t, name, layout, q, p.Opened())
}

func newVictim(t testing.TB, name, layout string, p mint.Plan) *victim {
	t.Helper()
	return makeVictim(t, name, layout, &p, p.Opened())
}

// openBoth opens what is encrypted to either of the vectors' recipients.
func openBoth(t testing.TB) *envelope.Decrypter {
	t.Helper()
	d, err := envelope.NewDecrypter(envelope.DecryptWith{Identities: keys.OpenWith(identities["x25519"],
		identities["p256"])})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func makeVictim(t testing.TB, name, layout string, p *mint.Plan, opened string) *victim {
	t.Helper()
	in := p.Seal()
	text := in.String()
	if layout != "" {
		detail := text
		if layout == "embedded" {
			detail = mint.Embedded(in)
		}
		text = mint.Delivery(mint.Unquote(in.Get("source")), mint.Unquote(in.Get("type")), "111122223333",
			detail).String()
	}
	v := &victim{
		name: name, bridge: layout != "", tree: parseTree(t, text), event: opened, producer: "orders",
		opts: &envelope.Policy{
			Now: fixed(vectorNow), MaxAge: 5 * time.Minute, Audience: "central", Decrypter: openBoth(t),
			ExtensionTypes: map[string]string{"token": "Binary", "due": "Timestamp", "docs": "URI"},
			Unsafe:         anySource,
		},
	}
	if p.CoreOnly || p.Event.Get("audience") == "" {
		v.opts.Audience = ""
	}
	if opened, err := v.open([]byte(v.tree.String()), everybody(t)); err != nil || !v.is(opened) {
		t.Fatalf("%s: %v", name, err)
	}
	return v
}

// everybody is the bundle of the vectors, with a key of ML-DSA-65.
func everybody(t testing.TB) *trust.Bundle {
	return trusting(t, append(mainKeys(), entry("mldsa", nil))...)
}

func (v *victim) open(in []byte, trust trust.Source) (*envelope.Opened, error) {
	return v.openBy(v.opts, in, trust)
}

func (v *victim) openBy(p *envelope.Policy, in []byte, trust trust.Source) (*envelope.Opened, error) {
	if v.bridge {
		return openEventBridge(context.Background(), in, trust, p)
	}
	return envelope.Open(context.Background(), in, trust, p)
}

// openPlainly opens without tables of the keys.
func (v *victim) openPlainly(in []byte, trust trust.Source) (*envelope.Opened, error) {
	plain := *v.opts
	plain.NoKeyTables = true
	return v.openBy(&plain, in, trust)
}

func (v *victim) is(o *envelope.Opened) bool {
	return string(o.JSON()) == v.event && o.Producer == v.producer
}

// Whatever is done to a sealed event, also by hops that add members to it, opening it ends in a rejection
// with a Reason, or in the very event that was
// sealed. A splice may also give the event that it took the other half from.
func TestMutations(t *testing.T) {
	seed := *mutationSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	const workers = 2
	run := &mutationRun{victims: victims(t), trust: everybody(t), seed: seed}
	tallies := make([]map[envelope.Reason]int, workers)
	var group sync.WaitGroup
	for w := range workers {
		tallies[w] = map[envelope.Reason]int{}
		group.Go(func() {
			for i := w; i < mutations && !t.Failed(); i += workers {
				run.one(t, i, tallies[w])
			}
		})
	}
	group.Wait()
	if t.Failed() {
		t.Fatalf("repeat with -mutation-seed %d", seed)
	}
	checkTally(t, tallies)
}

// checkTally makes sure that all mutations ran, and that they got everywhere.
func checkTally(t *testing.T, tallies []map[envelope.Reason]int) {
	total, sum := 0, map[envelope.Reason]int{}
	for _, tally := range tallies {
		for reason, n := range tally {
			sum[reason] += n
			total += n
		}
	}
	t.Logf("%v", sum)
	if total != mutations {
		t.Errorf("%d mutations, not %d", total, mutations)
	}
	for _, reason := range []envelope.Reason{"", envelope.ReasonMalformed, envelope.ReasonUnsigned,
		envelope.ReasonUnsupported, envelope.ReasonUnknownKey,
		envelope.ReasonBadSignature, envelope.ReasonModified, envelope.ReasonEnvelopeMismatch} {
		if sum[reason] < mutations/2000 {
			t.Errorf("only %d mutations ended in %q", sum[reason], reason)
		}
	}
}

type mutationRun struct {
	victims []*victim
	trust   trust.Source
	seed    uint64
}

// one makes and opens the i-th mutation.
func (m *mutationRun) one(t *testing.T, i int, tally map[envelope.Reason]int) {
	r := rand.New(rand.NewPCG(m.seed, uint64(i)))
	v := m.victims[i%len(m.victims)]
	donor := m.victims[r.IntN(len(m.victims))]
	in, spliced := mutate(r, v.tree, donor.tree)
	defer func() {
		if p := recover(); p != nil {
			t.Errorf("mutation %d of %q: panic %v\n%s", i, v.name, p, in)
		}
	}()
	opened, err := v.open(in, m.trust)
	reason := envelope.ReasonOf(err)
	tally[reason]++
	if i%4 == 0 { // the verdict does not depend on tables of keys
		plainly, why := v.openPlainly(in, m.trust)
		if envelope.ReasonOf(why) != reason || err == nil && !bytes.Equal(plainly.JSON(), opened.JSON()) {
			t.Errorf("mutation %d of %q: %v with tables, %v without\n%s", i, v.name, err, why, in)
		}
	}
	switch {
	case err != nil && (opened != nil || reason.Cause() == "" || reason.Class() != envelope.Permanent):
		t.Errorf("mutation %d of %q: %v\n%s", i, v.name, err, in)
	case err == nil && !v.is(opened) && !(spliced && donor.is(opened)):
		t.Errorf("mutation %d of %q is verified as\n%s of %q, not\n%s of %q\n%s", i, v.name, opened.JSON(),
			opened.Producer, v.event, v.producer, in)
	}
}

// node is a JSON value that can be taken apart: base64 of JSON, too, is a node with that JSON as its child.
type node struct {
	// { [ " of JSON; r: any other, as its text; b: a string that is base64 of the child; p: base64url;
	// h: without quotes; c: parts of a compact JWE
	kind  byte
	name  string
	text  string
	kids  []*node
	spoil func(string) string // what is done to the text that the node would be written as
}

func parseTree(t testing.TB, text string) *node {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	n, err := readNode(d, "")
	if err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return n
}

func readNode(d *json.Decoder, name string) (*node, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch v := token.(type) {
	case string:
		return readText(name, v), nil
	case json.Delim:
		n := &node{kind: byte(v), name: name}
		for d.More() {
			kid := ""
			if v == '{' {
				if token, err = d.Token(); err != nil {
					return nil, err
				}
				kid = token.(string)
			}
			k, err := readNode(d, kid)
			if err != nil {
				return nil, err
			}
			n.kids = append(n.kids, k)
		}
		_, err = d.Token()
		return n, err
	}
	raw, err := json.Marshal(token)
	return &node{kind: 'r', name: name, text: string(raw)}, err
}

func readText(name, text string) *node {
	kid := &node{}
	switch name {
	case "dssematerial", "payload":
		kid = readEncoded(base64.StdEncoding, 'b', name, text)
	case "protected":
		kid = readEncoded(base64.RawURLEncoding, 'p', name, text)
	}
	if kid.kind != 0 {
		return kid
	}
	return &node{kind: '"', name: name, text: text}
}

// readEncoded is a node of that kind for JSON in base64; its kind is 0 if the text is something else.
func readEncoded(encoding *base64.Encoding, kind byte, name, text string) *node {
	inner, err := encoding.DecodeString(text)
	if err != nil {
		return &node{}
	}
	d := json.NewDecoder(strings.NewReader(string(inner)))
	d.UseNumber()
	kid, err := readNode(d, "")
	if err != nil {
		return &node{}
	}
	return &node{kind: kind, name: name, kids: []*node{kid}}
}

func (n *node) String() string {
	text := n.plain()
	if n.spoil != nil {
		return n.spoil(text)
	}
	return text
}

func (n *node) plain() string {
	switch n.kind {
	case 'r':
		return n.text
	case '"':
		return mint.Quote(n.text)
	case 'b':
		return mint.Quote(base64.StdEncoding.EncodeToString([]byte(n.inner())))
	case 'p':
		return mint.Quote(base64.RawURLEncoding.EncodeToString([]byte(n.inner())))
	case 'h':
		return base64.RawURLEncoding.EncodeToString([]byte(n.inner()))
	case 'c':
		parts := make([]string, len(n.kids))
		for i, k := range n.kids {
			parts[i] = k.String()
		}
		return strings.Join(parts, ".")
	}
	parts := make([]string, len(n.kids))
	for i, k := range n.kids {
		if parts[i] = k.String(); n.kind == '{' {
			parts[i] = mint.Quote(k.name) + ":" + parts[i]
		}
	}
	return string(n.kind) + strings.Join(parts, ",") + string(n.kind+2)
}

// inner is what is encoded: one kid, unless it was doubled or deleted.
func (n *node) inner() (text string) {
	for _, k := range n.kids {
		text += k.String()
	}
	return text
}

func (n *node) clone() *node {
	c := *n
	c.kids = make([]*node, len(n.kids))
	for i, k := range n.kids {
		c.kids[i] = k.clone()
	}
	return &c
}

// place is where a node hangs.
type place struct {
	parent *node
	index  int
}

func (p place) node() *node { return p.parent.kids[p.index] }

func (n *node) places(list []place) []place {
	for i, k := range n.kids {
		list = k.places(append(list, place{n, i}))
	}
	return list
}

// mutate changes a tree in one to three places and returns its text, and whether a part of the donor is in
// it.
func mutate(r *rand.Rand, tree, donor *node) (text []byte, spliced bool) {
	if r.IntN(4) == 0 {
		return spoilBytes(r, []byte(tree.String())), false
	}
	tree = tree.clone()
	if r.IntN(6) == 0 {
		addHop(r, tree, donor.places(nil))
		if r.IntN(2) == 0 {
			return []byte(tree.String()), false
		}
	}
	for range 1 + r.IntN(6)/4 {
		places := tree.places(nil)
		if len(places) == 0 {
			break
		}
		if r.IntN(5) == 0 {
			spliced = splice(r, places, donor) || spliced
			continue
		}
		change(r, places[r.IntN(len(places))], places)
	}
	return []byte(tree.String()), spliced
}

// splice puts a part of the donor in the place of one of the same name, or anywhere.
func splice(r *rand.Rand, places []place, donor *node) bool {
	others := donor.places(nil)
	at, from := places[r.IntN(len(places))], others[r.IntN(len(others))].node()
	if r.IntN(4) != 0 {
		of := slices.IndexFunc(others, func(p place) bool { return p.node().name == at.node().name })
		if of < 0 {
			return false
		}
		from = others[of].node()
	}
	name := at.node().name
	at.parent.kids[at.index] = from.clone()
	at.parent.kids[at.index].name = name
	return true
}

// change does one thing to the node at that place.
func change(r *rand.Rand, at place, places []place) {
	n, p := at.node(), at.parent
	other := places[r.IntN(len(places))].node()
	switch r.IntN(13) {
	case 0: // delete
		p.kids = slices.Delete(p.kids, at.index, at.index+1)
	case 1: // twice, at some place
		p.kids = slices.Insert(p.kids, r.IntN(len(p.kids)+1), n.clone())
	case 2: // another order
		r.Shuffle(len(p.kids), func(i, j int) { p.kids[i], p.kids[j] = p.kids[j], p.kids[i] })
	case 3: // another name
		n.name = []string{other.name, strings.ToUpper(n.name), n.name + "x", ""}[r.IntN(4)]
	case 4: // exchange the values of two siblings
		j := r.IntN(len(p.kids))
		p.kids[at.index], p.kids[j] = p.kids[j], p.kids[at.index]
		p.kids[at.index].name, p.kids[j].name = p.kids[j].name, p.kids[at.index].name
	case 5: // a member more, of something from elsewhere
		if other = other.clone(); len(p.kids) > 0 && p.kind != 'b' && len(places) < 500 {
			p.kids = slices.Insert(p.kids, r.IntN(len(p.kids)+1), other)
		}
	case 6:
		retype(r, n)
	case 7:
		respell(r, n)
	case 8: // one in the place of another
		if len(n.kids) == 0 && len(other.kids) == 0 {
			n.kind, n.text = other.kind, other.text
		}
	case 9: // one deeper
		inner := *n
		*n = node{kind: "{["[r.IntN(2)], name: n.name, kids: []*node{&inner}}
	case 10:
		n.spoil = base64Spoils[r.IntN(len(base64Spoils))]
	default: // bytes
		s := r.Uint64()
		n.spoil = func(text string) string {
			return string(spoilBytes(rand.New(rand.NewPCG(s, 1)), []byte(text)))
		}
	}
}

// retype gives a scalar another JSON type with the same, or a similar, text.
func retype(r *rand.Rand, n *node) {
	switch {
	case n.kind == '"' && r.IntN(3) > 0:
		n.kind = 'r'
	case n.kind == 'r' && r.IntN(3) > 0:
		n.kind = '"'
	default:
		*n = node{kind: 'r', name: n.name, text: []string{"null", "true", "false", "0", `""`, "{}", "[]",
			"1.0", "-0", "1e400"}[r.IntN(10)]}
	}
}

// respell writes the same value in another way.
func respell(r *rand.Rand, n *node) {
	switch n.kind {
	case '"':
		s := r.Uint64()
		n.spoil = func(text string) string { return escaped(rand.New(rand.NewPCG(s, 2)), text) }
	case 'r':
		n.spoil = func(text string) string { return respelled(r, text) }
	default:
		n.spoil = func(text string) string { return " \n" + strings.ReplaceAll(text, `":`, `" : `) + "\t" }
	}
}

// base64Spoils are the ways in which base64 is malleable, and a few that are none.
var base64Spoils = []func(string) string{
	func(s string) string { return strings.ReplaceAll(s, "=", "") },
	func(s string) string { return strings.NewReplacer("+", "-", "/", "_").Replace(s) },
	func(s string) string { return strings.Replace(s, "A", "A\\n", 1) },
	func(s string) string { return strings.Replace(s, `="`, `=="`, 1) },
	func(s string) string { return strings.Replace(s, `"`, `" `, 1) },
	nextLast, nextLast,
}

// nextLast replaces the last character before the padding by its successor, which changes bits that
// a lenient decoder ignores.
func nextLast(s string) string {
	end := len(strings.TrimRight(s, `="`))
	if end == 0 || end == len(s) {
		return s
	}
	return s[:end-1] + string(s[end-1]+1) + s[end:]
}

func spoilBytes(r *rand.Rand, b []byte) []byte {
	if len(b) == 0 {
		return []byte{byte(r.Uint32())}
	}
	i := r.IntN(len(b))
	j := min(len(b), i+1+r.IntN(12))
	switch r.IntN(7) {
	case 0, 1, 2:
		b[i] ^= 1 << r.IntN(8)
	case 3:
		b[i] = "{}[]\":,\\0 1e.-+\n\x00"[r.IntN(17)]
	case 4:
		return slices.Delete(b, i, j)
	case 5:
		return slices.Insert(b, i, slices.Clone(b[i:j])...)
	default:
		k := r.IntN(len(b))
		b[i], b[k] = b[k], b[i]
	}
	return b
}
