package envelope_test

import (
	"encoding/base64"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/mint"
	"github.com/sealbus/sealbus/internal/racing"
	"github.com/sealbus/sealbus/keys"
)

// culprit is an encrypted event that its own producer changes within what is encrypted, and signs again.
type culprit struct {
	plan  *mint.Plan
	parts map[string]*node // what may be changed: the JWE, the recipients, the fields by their text
	names []string
	event string
	opts  *envelope.OpenOptions
}

const (
	wholePart      = "data"
	recipientsPart = "jwerecipients"
)

func culprits(t testing.TB) (list []*culprit) {
	t.Helper()
	for name, fields := range map[string][]string{"whole": nil, "one": {"/total"}, "several": {"/order", "/total", "/lines/0"}, "root": {""}} {
		p := order("orders")
		q := p.Encrypt(&mint.Secret{Name: name, To: recipientsOf("p256", "x25519"), Fields: fields})
		c := &culprit{plan: q, parts: map[string]*node{}, event: p.Opened(), opts: &envelope.OpenOptions{Now: fixed(vectorNow), Decrypter: openBoth(t)}}
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
			t.Fatalf("%s: parts %q", name, c.names)
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
		p.Event = p.Event.Set("data", strings.Replace(p.Event.Get("data"), mint.Quote(part), mint.Quote(text), 1))
	}
	return []byte(p.Seal().String())
}

// Whatever a producer does to the JWE of its event before it signs it, the event is refused for good, or opens to what was
// encrypted: nothing but the content key makes something else.
func TestResignedMutations(t *testing.T) {
	seed := *mutationSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	list, trust, sum := culprits(t), everybody(t), map[envelope.Reason]int{}
	const all = 12_000
	for i := range racing.Tenth(all) {
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
	for _, reason := range []envelope.Reason{"", envelope.ReasonMalformed, envelope.ReasonDecryptFailed, envelope.ReasonUnsupported} {
		if sum[reason] < racing.Tenth(all)/100 {
			t.Errorf("only %d ended in %q", sum[reason], reason)
		}
	}
}

func openSafely(t *testing.T, in []byte, opts *envelope.OpenOptions, trust keys.Source) (*envelope.Opened, error) {
	t.Helper()
	defer func() {
		if p := recover(); p != nil {
			t.Fatalf("panic %v\n%s", p, in)
		}
	}()
	return envelope.Open(t.Context(), in, trust, opts)
}
