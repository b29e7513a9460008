package envelope_test

import (
	"encoding/base64"
	"encoding/json"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/testbed/cases"
	"github.com/sealbus/sealbus/internal/testbed/mint"
	"github.com/sealbus/sealbus/keys/trust"
)

// culprit is an encrypted event that its own producer changes within what is encrypted, and signs again.
type culprit struct {
	plan  *mint.Plan
	parts map[string]*node // what may be changed: the JWE, the recipients, the fields by their text
	names []string
	event string
	opts  *envelope.Policy
}

const (
	wholePart      = "data"
	recipientsPart = "jwerecipients"
)

func culprits(t testing.TB) (list []*culprit) {
	t.Helper()
	for _, fields := range [][]string{nil, {"/total"}, {"/order", "/total", "/lines/0"}, {""}} {
		p := order("orders")
		q := p.Encrypt(&mint.Secret{Name: strings.Join(fields, " "), To: recipientsOf("p256", "x25519"),
			Fields: fields})
		c := &culprit{plan: q, parts: map[string]*node{}, event: p.Opened(),
			opts: &envelope.Policy{Now: fixed(vectorNow), Decrypter: openBoth(t), Unsafe: unchecked}}
		data := q.Event.Get("data")
		if fields == nil {
			c.add(wholePart, parseTree(t, data))
		} else {
			c.add(recipientsPart, parseTree(t, mint.Unquote(q.Event.Get("jwerecipients"))))
			for _, n := range parseTree(t, "["+data+"]").places(nil) {
				if text := n.node().text; strings.HasPrefix(text, "eyJ") {
					c.add(text, compactTree(text))
				}
			}
		}
		if len(c.names) != 1+len(fields) {
			t.Fatalf("%q: parts %q", fields, c.names)
		}
		list = append(list, c)
	}
	return list
}

func (c *culprit) add(name string, tree *node) {
	c.parts[name] = tree
	c.names = append(c.names, name)
}

// compactTree takes a compact JWE apart.
func compactTree(text string) *node {
	n := &node{kind: 'c'}
	for i, part := range strings.Split(text, ".") {
		kid := &node{kind: 'r', text: part}
		if i == 0 {
			kid = readEncoded(base64.RawURLEncoding, 'h', "", part)
		}
		n.kids = append(n.kids, kid)
	}
	return n
}

// changed is the event with that text in the place of the part, sealed.
func (c *culprit) changed(part, text string) []byte {
	p := *c.plan
	switch part {
	case wholePart:
		p.Event = p.Event.Set("data", text)
	case recipientsPart:
		p.Event = p.Event.Set("jwerecipients", mint.Quote(text))
	default:
		p.Event = p.Event.Set("data", strings.Replace(p.Event.Get("data"), mint.Quote(part), mint.Quote(text),
			1))
	}
	return []byte(p.Seal().String())
}

// Whatever a producer does to the JWE of its event before it signs it, the event is refused for good, or
// opens to what was encrypted: nothing but the content key makes something else.
func TestResignedMutations(t *testing.T) {
	seed := *mutationSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	list, trust, sum := culprits(t), everybody(t), map[envelope.Reason]int{}
	const all = 12_000
	for i := range cases.Of(all) {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		c, donor := list[i%len(list)], list[r.IntN(len(list))]
		part := c.names[r.IntN(len(c.names))]
		text, _ := mutate(r, c.parts[part], donor.parts[donor.names[r.IntN(len(donor.names))]])
		in := c.changed(part, string(text))
		opened, err := openSafely(t, in, c.opts, trust)
		reason := envelope.ReasonOf(err)
		sum[reason]++
		if err == nil && string(opened.JSON()) != c.event {
			t.Fatalf("-mutation-seed %d, %d: opens to\n%s, not\n%s\n%s", seed, i, opened.JSON(), c.event, in)
		}
		if err != nil && (opened != nil || reason.Class() != envelope.Permanent) {
			t.Fatalf("-mutation-seed %d, %d: %v\n%s", seed, i, err, in)
		}
	}
	t.Log(sum)
	for _, reason := range []envelope.Reason{"", envelope.ReasonMalformed, envelope.ReasonDecryptFailed,
		envelope.ReasonUnsupported} {
		if sum[reason] < cases.Of(all)/100 {
			t.Errorf("only %d ended in %q", sum[reason], reason)
		}
	}
}

func openSafely(t *testing.T, in []byte, opts *envelope.Policy,
	trust trust.Source) (*envelope.Opened, error) {
	t.Helper()
	defer func() {
		if p := recover(); p != nil {
			t.Fatalf("panic %v\n%s", p, in)
		}
	}()
	return envelope.Open(t.Context(), in, trust, opts)
}

// FuzzOpenEncrypted: any text in the place of encrypted data, signed by its producer, is refused for good, or
// opens to the plain data of one of the vectors, which are the seeds.
func FuzzOpenEncrypted(f *testing.F) {
	if files, _ := filepath.Glob("testdata/fuzz/FuzzOpenEncrypted/*"); len(files) == 0 {
		f.Fatalf("only %d files in the corpus", len(files))
	}
	list, trust, genuine := culprits(f), everybody(f), map[string]bool{}
	at := func(which uint8) (*culprit, string) {
		c := list[int(which)%len(list)]
		return c, c.names[int(which)/len(list)%len(c.names)]
	}
	note := func(which uint8, text string) {
		c, part := at(which)
		if opened, err := envelope.Open(f.Context(), c.changed(part, text), trust, c.opts); err == nil {
			genuine[string(opened.JSON())] = true
		}
	}
	var seeds []string
	for _, v := range allVectors(f) {
		seeds = append(seeds, secretTexts(v)...)
	}
	for which := range uint8(16) { // each part of each
		c, part := at(which)
		f.Add(which, []byte(c.parts[part].String()))
		for _, text := range append(seeds, c.parts[part].String()) {
			note(which, text)
			// each kind of part once
			if (which == 0 || which == 1 || which == 5) && text[0] == c.parts[part].String()[0] {
				f.Add(which, []byte(text))
			}
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, text []byte) {
		c, part := at(which)
		opened, err := envelope.Open(t.Context(), c.changed(part, string(text)), trust, c.opts)
		switch reason := envelope.ReasonOf(err); {
		case err != nil && (opened != nil || reason.Class() != envelope.Permanent || reason.Cause() == ""):
			t.Fatalf("got %v, %v", opened, err)
		case err == nil && !genuine[string(opened.JSON())]:
			t.Fatalf("opened %s, which nobody encrypted: %q", opened.JSON(), text)
		}
	})
}

// secretTexts is what of a vector stands in the place of what is encrypted.
func secretTexts(v *vector) (list []string) {
	if v.Form != formCloudEvent || v.InputBase64 != "" || !strings.Contains(v.Name, "encrypted-") &&
		!strings.Contains(v.Name, "field-") {
		return nil
	}
	var e struct {
		Data          json.RawMessage
		JWERecipients string
	}
	if json.Unmarshal([]byte(v.Input), &e) != nil || len(e.Data) == 0 || len(e.Data) > 8<<10 {
		return nil
	}
	if e.JWERecipients == "" {
		return []string{string(e.Data)}
	}
	list = append(list, e.JWERecipients)
	for _, part := range strings.Split(string(e.Data), `"`) {
		if strings.HasPrefix(part, "eyJ") {
			list = append(list, part)
		}
	}
	return list
}
