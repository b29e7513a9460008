package policy

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/keystest"
	"github.com/sealbus/sealbus/keys/trust"
)

var now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func after(days int) time.Time { return now.AddDate(0, 0, days) }

func verifier(t testing.TB, label string) *keys.Verifier {
	if v, ok := made.Load(label); ok {
		return v.(*keys.Verifier)
	}
	v := keystest.Signer(t, keys.Ed25519, "orders", label).Verifier()
	made.Store(label, v)
	return v
}

// made are the keys of verifier by their labels: to make one takes long.
var made sync.Map

const x25519 = `{"kty":"OKP","crv":"X25519","x":"hSDwCYkwp1R0i33ctD73Wg2_Og0mOBr066SpjqqbTmo"}`

func recipient(t testing.TB) *keys.Recipient {
	t.Helper()
	r, err := keys.ParseRecipientJWK([]byte(x25519))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// full is a policy that uses everything.
func full(t testing.TB) string {
	t.Helper()
	enc := recipient(t).KeyID()
	return `# reviewed by two people
version: 1
producers:
  orders: # the shop
    sources: ["https://orders.example/*", urn:example:orders]
    types: [com.example.order.*]
    accounts: [012345678901, "111122223333"]
    keys:
      # made in January
      ` + verifier(t, "a").KeyID() + `:
        published: 2026-01-01T00:00:00Z
        active: 2026-01-02T00:00:00Z
        retired: "2026-02-01T00:00:00Z"
        expired: 2026-02-15T00:00:00Z
      ` + verifier(t, "b").KeyID() + `: {revoked: {at: 2026-01-03T00:00:00Z, reason: "laptop, stolen"}}
  refunds:
    sources: []
    accounts: []
    keys:
      ` + verifier(t, "c").KeyID() + `:
consumers:
  billing:
    keys:
      ` + enc + `: {active: 2026-01-01T00:00:00Z}
`
}

func TestParse(t *testing.T) {
	p, err := Parse([]byte(full(t)))
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Producers) != 2 || len(p.Consumers) != 1 {
		t.Fatalf("%+v", p)
	}
	o, r := p.Producers[0], p.Producers[1]
	if o.Name != "orders" || !slices.Equal(o.Sources,
		[]string{"https://orders.example/*", "urn:example:orders"}) ||
		!slices.Equal(o.Types, []string{"com.example.order.*"}) ||
		!slices.Equal(o.Accounts, []string{"012345678901", "111122223333"}) {
		t.Errorf("orders: %+v", o)
	}
	want := keys.Schedule{Published: after(0), Active: after(1), Retired: after(31), Expired: after(45)}
	if o.Keys[0].ID != verifier(t, "a").KeyID() || o.Keys[0].Schedule != want || o.Keys[0].Revoked != nil ||
		o.Keys[0].line != 10 {
		t.Errorf("key a: %+v", o.Keys[0])
	}
	if rev := o.Keys[1].Revoked; rev == nil || !rev.At.Equal(after(2)) || rev.Reason != "laptop, stolen" {
		t.Errorf("key b: %+v", o.Keys[1])
	}
	if r.Sources == nil || r.Types != nil || r.Accounts == nil || len(r.Keys) != 1 ||
		r.Keys[0].Schedule != (keys.Schedule{}) {
		t.Errorf("refunds: %+v", r)
	}
	if len(p.Consumers[0].Keys) != 1 || p.Consumers[0].Name != "billing" {
		t.Errorf("billing: %+v", p.Consumers)
	}
}

// Each file under testdata/refused has one fault, in the line that its comment "# line N" names; "# line 0"
// is the whole file.
func TestRefused(t *testing.T) {
	files, err := filepath.Glob("testdata/refused/*.yaml")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		doc, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var line int
		if _, err := fmt.Sscanf(string(doc[bytes.LastIndex(doc, []byte("# line")):]), "# line %d",
			&line); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		_, err = Parse(doc)
		var e *fileError
		if !errors.As(err, &e) {
			t.Errorf("%s: %v", file, err)
		} else if e.line != line {
			t.Errorf("%s: line %d, want %d (%v)", file, e.line, line, err)
		}
	}
}

// Text that a reviewer does not see is refused wherever it stands, in the line in which a diff shows it. A
// file with CRLF is one as any other.
func TestHiddenTextIsRefused(t *testing.T) {
	const evil = "  evil: {sources: ['https://pay.example/*'], types: ['*']}\n"
	for _, hidden := range []string{
		"\r", "\u0085", "\u2028", "\u2029", // lines to YAML, not to git
		"\t", "\v", "\f", "\x00", "\x1b", "\x7f", "\u009b", "\u00a0", "\u200b", "\u200d", "\u202e", "\u2066",
		"\ufeff", "\U000e0041",
		"\xff", "\xc3", "\xed\xa0\x80", "\xe2\x80", "\r\r\n",
	} {
		for where, doc := range map[string]string{
			"comment": "version: 1\nproducers:\n  orders: {} # handed over in person" + hidden + evil,
			"text":    "version: 1\nproducers:\n  orders: {sources: ['urn:a" + hidden + "']}\n",
		} {
			_, err := Parse([]byte(doc))
			var e *fileError
			if !errors.As(err, &e) || e.line != 3 {
				t.Errorf("%q in a %s: %v", hidden, where, err)
			}
		}
	}
	for n, ok := range map[int]bool{100: true, 101: false} { // beyond the edge of the screen
		far := strings.Repeat(" ", n)
		for _, doc := range []string{
			"version: 1\nproducers:\n  orders: {sources: ['urn:a:b'," + far + "'urn:a:*']}\n",
			"version: 1\nproducers:\n  orders: {sources: ['urn:a:b',\n" + far + "'urn:a:*']}\n",
		} {
			if _, err := Parse([]byte(doc)); (err == nil) != ok {
				t.Errorf("%d spaces: %v", n, err)
			}
		}
	}
	for _, doc := range []string{"\ufeffversion: 1\n", "v\x00e\x00r\x00", "\xff\xfev\x00"} {
		if _, err := Parse([]byte(doc)); err == nil {
			t.Errorf("%q is accepted", doc)
		}
	}
	mustParse(t, strings.ReplaceAll(full(t), "\n", "\r\n"))
	mustParse(t, "version: 1 # größer, 漢字, e\u0301, 🙂, !important, 100%\n")
}

// The tag that is only "!" leaves no trace in what the YAML parser hands out.
func TestNonSpecificTagIsRefused(t *testing.T) {
	const head = "version: 1\nproducers:\n"
	for _, doc := range []string{
		head + "  a: ! {sources: []}\n", head + "  ! a: {}\n", head +
			"  a: {sources: [ü, ! 'urn:a:*']}\n", head + "  a: !\n",
		head + "  a:\n   sources:\n   - ! 'urn:a:*'\n", head + "  a: !<!> {}\n", head +
			"  ? ! a\n  : {}\n", "version: ! 1\n", "--- !\nversion: 1\n", "! \nversion: 1\n",
	} {
		if _, err := Parse([]byte(doc)); err == nil || !strings.Contains(err.Error(), "tags") {
			t.Errorf("%q: %v", doc, err)
		}
	}
	mustParse(t, head+"  a: # !\n   sources: ['urn:x:!', \"urn:y:!\"] # ! x\n")
}

// A reviewer reads what the program reads: no text has escapes, several lines or characters that do not show,
// and the error says where.
func TestTextsStandAsTheyAreRead(t *testing.T) {
	head := "version: 1\nproducers:\n"
	id := verifier(t, "a").KeyID()
	for doc, want := range map[string]string{
		head +
			"  a:\n    sources: [\"https://a.example/\\x2a\"]\n": "line 4, column 15: escapes",
		head +
			"  a:\n    sources: ['urn:é:1', \"urn:b:\\u002a\"]\n": "line 4, column 26: escapes",
		head + "  a:\n    types: [\"\\U0000002a\"]\n": "line 4, column 13: escapes",
		head + "  \"\\x61\": {}\n":                    "line 3, column 3: escapes",
		head + "  a:\n    keys:\n      \"\\x" + fmt.Sprintf("%x", id[0]) + id[1:] +
			"\": {}\n": "line 5, column 7: escapes",
		head + "  a:\n    \"sour\\x63es\": ['urn:a:*']\n":      "line 4, column 5: escapes",
		head + "  a:\n    accounts: [\"11112222333\\x33\"]\n":  "line 4, column 16: escapes",
		head + "  a:\n    sources: [\"urn:a:\\\n      *\"]\n":  "line 4, column 15: escapes",
		head + "  a:\n    sources: ['urn:a:b\n      c']\n":     "line 4, column 15: a text of several lines",
		head + "  a:\n    sources:\n    - urn:a:b\n      c\n":  "line 5, column 7: a text of several lines",
		head + "  a:\n    sources:\n    - |-\n      urn:a:*\n": "line 5, column 7: a text of several lines",
		head + "  a:\n    sources:\n    - >-\n      urn:a:*\n": "line 5, column 7: a text of several lines",
		head + "  a:\n    sources: ['urn:a:\u3164b']\n":        "line 4, column 15: the character U+3164",
		head + "  a:\n    types: ['a\ufe0f']\n":                "line 4, column 13: the character U+FE0F",
		head + "  a:\n    types: ['a\u034fb']\n":               "line 4, column 13: the character U+034F",
		head + "  a:\n    types: ['a\u2800']\n":                "line 4, column 13: the character U+2800",
		head + "  a:\n    types: ['a\U0001F600']\n":            "line 4, column 13: the character U+1F600",
		head + "  a:\n    types: ['a\u202eb']\n":               "line 4: the character U+202E",
		"\xef\xbb\xbf" + head:                                  "byte order mark",
		"\xff\xfev\x00e\x00r\x00":                              "UTF-16",
		`{"keys":[],"producer":"a","version":1}`:               "this is a keyring",
	} {
		_, err := Parse([]byte(doc))
		if e := (*fileError)(nil); !errors.As(err, &e) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", doc, err, want)
		}
	}
	p := mustParse(t, "\n\n"+head+
		"  a:\n    sources: [\"urn:é:*\", 'urn:b:1', urn:c:*, 'urn:it''s']\n    types: ['a\\b', \"*\", 'say\"']\n  \"b\": {}\n  ? c\n  : {}\n")
	if got := p.Producers[0]; !slices.Equal(got.Sources,
		[]string{"urn:é:*", "urn:b:1", "urn:c:*", "urn:it's"}) ||
		!slices.Equal(got.Types, []string{`a\b`, "*", `say"`}) {
		t.Errorf("%+v", got)
	}
}

func TestSizeLimit(t *testing.T) {
	doc := append([]byte("version: 1\n#"), bytes.Repeat([]byte("x"), keydoc.MaxPolicy)...)
	if _, err := Parse(doc); err == nil {
		t.Error("accepted")
	}
	if _, err := Parse(doc[:keydoc.MaxPolicy]); err != nil {
		t.Error(err)
	}
}

func submitted(t testing.TB, labels ...string) (list []*keys.Verifier) {
	for _, l := range labels {
		list = append(list, verifier(t, l))
	}
	return list
}

func options(t testing.TB) BuildOptions {
	return BuildOptions{Now: now, Expires: after(7), RefreshHint: time.Minute,
		Recipients: []*keys.Recipient{recipient(t)}}
}

func mustParse(t testing.TB, doc string) *Policy {
	t.Helper()
	p, err := Parse([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestBuild(t *testing.T) {
	p := mustParse(t, full(t))
	b, err := p.Build(submitted(t, "c", "a", "b", "a"), options(t))
	if err != nil {
		t.Fatal(err)
	}
	if b.Version() != 1 || !b.Issued().Equal(now) || !b.Expires().Equal(after(7)) ||
		b.RefreshHint() != time.Minute || len(b.SigningKeys()) != 3 {
		t.Errorf("%s", b.Payload())
	}
	a := b.Lookup(verifier(t, "a").KeyID())[0]
	if a.Producer != "orders" || !keys.MatchSource(a.Sources, "https://orders.example/x") ||
		!keys.MatchType(a.Types, "com.example.order.x") || a.AllowsAccount("999999999999") ||
		a.StateAt(after(40)) != keys.StateRetired {
		t.Errorf("key a: %+v", a)
	}
	if got := b.Lookup(verifier(t, "b").KeyID())[0].StateAt(now); got != keys.StateRevoked {
		t.Errorf("key b is %s", got)
	}
	if c := b.Lookup(verifier(t, "c").KeyID())[0]; c.Producer != "refunds" ||
		c.AllowsAccount("111122223333") || keys.MatchType(c.Types, "x") {
		t.Errorf("key c: %+v", c)
	}
	if list, err := b.Recipients("billing", now); err != nil || len(list) != 1 ||
		list[0].KeyID() != recipient(t).KeyID() {
		t.Errorf("no encryption key in %s: %v", b.Payload(), err)
	}
	if back, err := trust.ParseBundle(b.Payload()); err != nil || !bytes.Equal(back.Payload(), b.Payload()) {
		t.Error(err)
	}
}

func TestBuildFollows(t *testing.T) {
	p := mustParse(t, full(t))
	o := options(t)
	one, two := verifier(t, "session 1").KeyID(), verifier(t, "session 2").KeyID()
	o.RevokedSessions = []string{one}
	first, err := p.Build(submitted(t, "a", "b", "c"), o)
	if err != nil {
		t.Fatal(err)
	}
	o.Previous, o.RevokedSessions = first, []string{two, one}
	next, err := p.Build(submitted(t, "a", "b", "c"), o)
	if err != nil || next.Version() != 2 || !next.SessionRevoked(one) || !next.SessionRevoked(two) {
		t.Errorf("%v, %v", next, err)
	}
}

func TestBuildRefuses(t *testing.T) {
	p := mustParse(t, full(t))
	all := submitted(t, "a", "b", "c")
	opts := func(change func(*BuildOptions)) BuildOptions { o := options(t); change(&o); return o }
	for name, c := range map[string]struct {
		public []*keys.Verifier
		opts   BuildOptions
		names  string // what the error must name
	}{
		"not listed":        {submitted(t, "a", "b", "c", "d"), options(t), verifier(t, "d").KeyID()},
		"not submitted":     {submitted(t, "a", "b"), options(t), verifier(t, "c").KeyID()},
		"nothing submitted": {nil, options(t), verifier(t, "b").KeyID()},
		"enc not submitted": {all, opts(func(o *BuildOptions) { o.Recipients = nil }), "billing"},
		"enc not listed": {all, opts(func(o *BuildOptions) {
			o.Recipients = append(o.Recipients, keystest.Identity(t, keys.P256, "x").Recipient())
		}), "not listed"},
		"no time":              {all, opts(func(o *BuildOptions) { o.Now = time.Time{} }), "time"},
		"no end":               {all, opts(func(o *BuildOptions) { o.Expires = time.Time{} }), "expired"},
		"expired at the start": {all, opts(func(o *BuildOptions) { o.Expires = now }), "expired"},
		"lives too long": {all, opts(func(o *BuildOptions) { o.Expires = after(7).Add(time.Second) }),
			"168h"},
		"hint too long": {all, opts(func(o *BuildOptions) { o.Expires, o.RefreshHint = after(1), 24*time.Hour }), "refresh hint"},
		"session":       {all, opts(func(o *BuildOptions) { o.RevokedSessions = []string{"x"} }), "session"},
	} {
		if _, err := p.Build(c.public, c.opts); err == nil || !strings.Contains(err.Error(), c.names) {
			t.Errorf("%s: %v", name, err)
		}
	}
	longer := opts(func(o *BuildOptions) { o.Expires, o.MaxLifetime = after(30), 30*24*time.Hour })
	if _, err := p.Build(all, longer); err != nil {
		t.Errorf("a longer life that is asked for: %v", err)
	}
}

// A signing key that is listed under a consumer is not a signing key.
func TestBuildOfAKeyForAnotherUse(t *testing.T) {
	id := verifier(t, "a").KeyID()
	p := mustParse(t, "version: 1\nconsumers: {billing: {keys: {"+id+": {}}}}\n")
	o := options(t)
	o.Recipients = nil
	if _, err := p.Build(submitted(t, "a"), o); err == nil || !strings.Contains(err.Error(), "another use") {
		t.Error(err)
	}
}

func TestAddKeyToNothing(t *testing.T) {
	id := verifier(t, "a").KeyID()
	doc, changes, err := AddProducerKey(nil, "orders", id, keys.Schedule{Active: after(1)})
	if err != nil {
		t.Fatal(err)
	}
	want := "version: 1\nproducers:\n  orders:\n    sources: []\n    types: []\n    keys:\n      " + id +
		":\n        active: 2026-01-02T00:00:00Z\nconsumers: {}\n"
	if string(doc) != want {
		t.Errorf("got\n%s, want\n%s", doc, want)
	}
	if all := strings.Join(changes, "\n"); !strings.Contains(all, "fill") || !strings.Contains(all, id) ||
		!strings.Contains(all, "new policy file") {
		t.Errorf("changes: %s", all)
	}
	b, err := mustParse(t, string(doc)).Build(submitted(t, "a"), BuildOptions{Now: now, Expires: after(1)})
	if err != nil {
		t.Fatal(err)
	}
	if k := b.SigningKeys()[0]; keys.MatchSource(k.Sources, "https://orders.example/x") ||
		keys.MatchType(k.Types, "x") {
		t.Error("a new producer is allowed something")
	}
}

func TestAddKeyKeepsTheRest(t *testing.T) {
	id := verifier(t, "new").KeyID()
	doc, changes, err := AddProducerKey([]byte(full(t)), "orders", id,
		keys.Schedule{Published: after(3), Active: after(4)})
	if err != nil {
		t.Fatal(err)
	}
	for _, kept := range []string{"# reviewed by two people", "# the shop", "# made in January",
		"012345678901", "laptop, stolen"} {
		if !bytes.Contains(doc, []byte(kept)) {
			t.Errorf("%q is lost in\n%s", kept, doc)
		}
	}
	if len(changes) != 3 {
		t.Errorf("changes %q", changes)
	}
	was, is := mustParse(t, full(t)), mustParse(t, string(doc))
	added := is.Producers[0].Keys[2]
	if added.ID != id || !added.Schedule.Active.Equal(after(4)) {
		t.Errorf("added %+v", added)
	}
	is.Producers[0].Keys = is.Producers[0].Keys[:2]
	if a, b := describe(was), describe(is); a != b {
		t.Errorf("was %s, is %s", a, b)
	}
}

// describe is the policy without line numbers.
func describe(p *Policy) string {
	var out strings.Builder
	fmt.Fprint(&out, p.RefreshHint, p.Cache, p.InFlight)
	one := func(list []Key) {
		for _, k := range list {
			fmt.Fprintf(&out, " %s %v %t %q", k.ID, k.Schedule, k.Tainted, k.TaintReason)
			if k.Revoked != nil {
				fmt.Fprintf(&out, " %v", *k.Revoked)
			}
		}
	}
	for _, o := range p.Producers {
		fmt.Fprintf(&out, "\n%s %#v %#v %#v", o.Name, o.Sources, o.Types, o.Accounts)
		one(o.Keys)
	}
	for _, c := range p.Consumers {
		fmt.Fprintf(&out, "\n%s", c.Name)
		one(c.Keys)
	}
	return out.String()
}

func TestAddKeyAgain(t *testing.T) {
	id := verifier(t, "a").KeyID()
	same, changes, err := AddProducerKey([]byte(full(t)), "orders", id, keys.Schedule{Active: after(1)})
	if err != nil || string(same) != full(t) || changes != nil {
		t.Errorf("nothing new, but %q (%v)", changes, err)
	}
	doc, changes, err := AddProducerKey([]byte(full(t)), "orders", id, keys.Schedule{Retired: after(20)})
	if err != nil || len(changes) != 1 || !strings.Contains(changes[0], "was 2026-02-01") {
		t.Fatalf("changes %q (%v)", changes, err)
	}
	if k := mustParse(t, string(doc)).Producers[0].Keys[0]; !k.Schedule.Retired.Equal(after(20)) ||
		!k.Schedule.Active.Equal(after(1)) {
		t.Errorf("%+v", k)
	}
	doc, _, err = AddProducerKey([]byte(full(t)), "refunds", verifier(t, "c").KeyID(),
		keys.Schedule{Active: after(1)})
	if err != nil || mustParse(t, string(doc)).Producers[1].Keys[0].Schedule.Active.IsZero() {
		t.Errorf("a key without schedule: %v", err)
	}
}

func TestAddKeyRefuses(t *testing.T) {
	id := verifier(t, "a").KeyID()
	fresh := verifier(t, "new").KeyID()
	for name, c := range map[string]struct {
		doc      string
		kind     kind
		name, id string
		schedule keys.Schedule
	}{
		"another producer's": {full(t), kindProducer, "refunds", id, keys.Schedule{}},
		"as a consumer's":    {full(t), kindConsumer, "orders", id, keys.Schedule{}},
		"bad name":           {full(t), kindProducer, "or ders", fresh, keys.Schedule{}},
		"bad ID":             {full(t), kindProducer, "orders", "x", keys.Schedule{}},
		"bad schedule": {full(t), kindProducer, "orders", fresh,
			keys.Schedule{Active: after(2), Retired: after(1)}},
		"schedule with old": {full(t), kindProducer, "orders", id, keys.Schedule{Retired: after(0)}},
		"bad file":          {"version: 2\n", kindProducer, "orders", fresh, keys.Schedule{}},
	} {
		if doc, changes, err := addKey([]byte(c.doc), c.kind, c.name, c.id, c.schedule); err == nil ||
			doc != nil || changes != nil {
			t.Errorf("%s: %q, %v", name, changes, err)
		}
	}
}

func TestAddConsumerKey(t *testing.T) {
	id := verifier(t, "new").KeyID()
	doc, changes, err := AddConsumerKey([]byte("version: 1\n"), "billing", id, keys.Schedule{})
	if err != nil || len(changes) != 2 {
		t.Fatalf("%q, %v", changes, err)
	}
	if p := mustParse(t, string(doc)); len(p.Producers) != 0 || p.Consumers[0].Keys[0].ID != id {
		t.Errorf("%s", doc)
	}
}

func TestSetScope(t *testing.T) {
	doc := full(t)
	filled, changes, err := SetScope([]byte(doc), "refunds", []string{"urn:refunds:*", "https://x.example/é"},
		[]string{"*"})
	if err != nil || len(changes) != 2 || changes[1] != "producer refunds: types *" {
		t.Fatalf("%q, %v", changes, err)
	}
	was, is := mustParse(t, doc), mustParse(t, string(filled))
	if r := is.Producers[1]; !slices.Equal(r.Sources, []string{"urn:refunds:*", "https://x.example/é"}) ||
		!slices.Equal(r.Types, []string{"*"}) {
		t.Errorf("refunds: %+v", r)
	}
	is.Producers[1].Sources, is.Producers[1].Types = was.Producers[1].Sources, was.Producers[1].Types
	if a, b := describe(was), describe(is); a != b {
		t.Errorf("was %s, is %s", a, b)
	}
	for name, c := range map[string]struct{ sources, types []string }{
		"nothing asked": {}, "the same": {nil, []string{"*"}},
		"both the same": {[]string{"urn:refunds:*", "https://x.example/é"}, []string{"*"}},
	} {
		if again, changes, err := SetScope(filled, "refunds", c.sources, c.types); err != nil ||
			changes != nil || !bytes.Equal(again, filled) {
			t.Errorf("%s: %q, %v", name, changes, err)
		}
	}
	for name, c := range map[string]struct {
		producer       string
		sources, types []string
	}{
		"wider":       {"orders", []string{"https://orders.example/*", "urn:example:orders", "urn:x:*"}, nil},
		"other types": {"orders", nil, []string{"*"}},
		"one filled":  {"orders", nil, []string{}}, "absent": {"shop", []string{"urn:x:*"}, nil},
		"a consumer":  {"billing", []string{"urn:x:*"}, nil},
		"bad pattern": {"refunds", []string{"https://*"}, nil}, "twice": {"refunds", nil, []string{"a", "a"}},
	} {
		if got, changes, err := SetScope([]byte(doc), c.producer, c.sources, c.types); err == nil ||
			got != nil || changes != nil {
			t.Errorf("%s: %q, %v", name, changes, err)
		}
	}
}

func TestTaint(t *testing.T) {
	for _, label := range []string{"a", "c"} { // one with fields, one without
		for _, reason := range []string{"", "moves: to \"KMS\" # here"} {
			id := verifier(t, label).KeyID()
			doc, changes, err := Taint([]byte(full(t)), id, reason)
			if err != nil || len(changes) != 1 || !strings.Contains(changes[0], "key "+id+": tainted") {
				t.Fatalf("%q, %v", changes, err)
			}
			p := mustParse(t, string(doc))
			for _, k := range p.allKeys() {
				if k.Tainted != (k.ID == id) || k.ID == id && k.TaintReason != reason {
					t.Errorf("%q: %+v", reason, k)
				}
			}
			b, err := p.Build(submitted(t, "a", "b", "c"), options(t))
			if err != nil || !b.Key(id).Tainted || b.Key(verifier(t, "b").KeyID()).Tainted {
				t.Errorf("%v", err)
			}
			again, changes, err := Taint(doc, id, "other")
			if err != nil || changes != nil || !bytes.Equal(again, doc) {
				t.Errorf("tainted again: %q, %v", changes, err)
			}
		}
	}
	a := verifier(t, "a").KeyID()
	for name, c := range map[string][3]string{
		"not listed": {full(t), verifier(t, "d").KeyID(), ""}, "bad file": {"{", a, ""},
		"two lines": {full(t), a, "x\ny"}, "too long": {full(t), a, strings.Repeat("x", keydoc.MaxReason+1)},
	} {
		if doc, changes, err := Taint([]byte(c[0]), c[1], c[2]); err == nil || doc != nil || changes != nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// The policy says how often consumers look, and a flag of the builder may only say the same.
func TestPolicyHasTheTimes(t *testing.T) {
	p := mustParse(t, "version: 1\nrefresh_hint: 5m\ncache: 1h30m\nin_flight: 14d\n")
	if p.RefreshHint != 5*time.Minute || p.Cache != 90*time.Minute || p.InFlight != 14*24*time.Hour {
		t.Errorf("%+v", p)
	}
	for hint, ok := range map[time.Duration]bool{0: true, 5 * time.Minute: true, time.Minute: false} {
		b, err := p.Build(nil, BuildOptions{Now: now, Expires: after(7), RefreshHint: hint})
		if (err == nil) != ok || ok && (b.RefreshHint() != 5*time.Minute || b.Cache() != 90*time.Minute) {
			t.Errorf("%s: %v", hint, err)
		}
	}
}

func TestRevoke(t *testing.T) {
	for _, label := range []string{"a", "c"} {
		id := verifier(t, label).KeyID()
		doc, changes, err := Revoke([]byte(full(t)), id, "found: on a \"bus\" # here",
			after(5).Add(time.Millisecond))
		if err != nil || len(changes) != 1 || !strings.Contains(changes[0], id) {
			t.Fatalf("%q, %v", changes, err)
		}
		b, err := mustParse(t, string(doc)).Build(submitted(t, "a", "b", "c"), options(t))
		if err != nil {
			t.Fatal(err)
		}
		k := b.Lookup(id)[0]
		if k.Revoked == nil || k.Revoked.Reason != `found: on a "bus" # here` ||
			!k.Revoked.At.Equal(after(5)) {
			t.Errorf("key %s: %+v", label, k.Revoked)
		}
		again, changes, err := Revoke(doc, id, "other", after(6))
		if err != nil || changes != nil || !bytes.Equal(again, doc) {
			t.Errorf("revoked again: %q, %v", changes, err)
		}
	}
	for name, f := range map[string]func() ([]byte, []string, error){
		"not listed": func() ([]byte, []string, error) { return Revoke([]byte(full(t)), verifier(t, "d").KeyID(), "x", now) },
		"no time": func() ([]byte, []string, error) {
			return Revoke([]byte(full(t)), verifier(t, "a").KeyID(), "x", time.Time{})
		},
		"bad reason": func() ([]byte, []string, error) {
			return Revoke([]byte(full(t)), verifier(t, "a").KeyID(), "x\ny", now)
		},
		"bad file": func() ([]byte, []string, error) { return Revoke([]byte("{"), verifier(t, "a").KeyID(), "x", now) },
	} {
		if doc, _, err := f(); err == nil || doc != nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// FuzzPolicy: an edit of a parsed policy changes that key and nothing else, whatever the file looks like, and
// an edit without effect returns the file byte for byte. Spacing and blank lines are not kept by an edit;
// what an edit wrote is kept by the next one up to the edit.
func FuzzPolicy(f *testing.F) {
	f.Add([]byte(full(f)))
	f.Add([]byte("version: 1\n"))
	f.Add([]byte("version: 1\nproducers: {orders: {keys: }}\nconsumers: ~\n"))
	f.Add([]byte("version: 1\nrefresh_hint: 5m\ncache: 1d1s\nin_flight: 14d\nproducers: {orders: {keys: {" +
		verifier(f, "a").KeyID() + ": {tainted: true}, " + verifier(f, "b").KeyID() + ": {tainted: {reason: x}}}}}\n"))
	f.Add([]byte("{version: 1, producers: {a: {sources: [x], types: ['*']}}}"))
	id := verifier(f, "fuzz").KeyID()
	f.Fuzz(func(t *testing.T, doc []byte) {
		p, err := Parse(doc)
		if err != nil {
			if e := (*fileError)(nil); !errors.As(err, &e) {
				t.Fatalf("not an Error: %v", err)
			}
			return
		}
		if owner, _ := p.find(id); owner != "" {
			return
		}
		edited, changes, err := AddConsumerKey(doc, "fuzz", id, keys.Schedule{Active: now})
		if err != nil {
			t.Fatalf("%q: %v", doc, err)
		}
		if len(changes) == 0 {
			t.Fatal("no change is told")
		}
		is := mustParse(t, string(edited))
		if owner, _ := is.find(id); owner != "consumer fuzz" {
			t.Fatalf("%q: the key is listed under %q", edited, owner)
		}
		is.remove(id, p)
		if a, b := describe(p), describe(is); a != b {
			t.Fatalf("%q was %s, is %s", doc, a, b)
		}
		same, changes, err := AddConsumerKey(edited, "fuzz", id, keys.Schedule{Active: now})
		if err != nil || changes != nil || !bytes.Equal(same, edited) {
			t.Fatalf("an edit without effect: %q, %v", changes, err)
		}
	})
}

// remove takes the key out, and its consumer if that is not in was.
func (p *Policy) remove(id string, was *Policy) {
	for i := range p.Consumers {
		p.Consumers[i].Keys = slices.DeleteFunc(p.Consumers[i].Keys, func(k Key) bool { return k.ID == id })
	}
	if len(p.Consumers) > len(was.Consumers) {
		p.Consumers = p.Consumers[:len(was.Consumers)]
	}
}

// A key that the policy ends before its keyring stops signing with it: what it signs in between would be
// rejected for good, whichever end it is.
func TestCheckKeyringsEnds(t *testing.T) {
	id := verifier(t, "a").KeyID()
	public := []keys.PublicKey{
		{Verifier: verifier(t, "a"), Producer: "orders"},
		{Verifier: verifier(t, "b"), Producer: "orders", Schedule: keys.Schedule{Active: after(30)}},
	}
	for ends, want := range map[string]string{
		"retired: 2026-01-31T00:00:00Z":                                "",
		"expired: 2026-01-31T00:00:00Z":                                "",
		"retired: 2026-01-30T23:59:59Z":                                "retired 2026-01-30T23:59:59Z is too early",
		"expired: 2026-01-30T23:59:59Z":                                "expired 2026-01-30T23:59:59Z is too early",
		"retired: 2026-01-02T00:00:00Z, expired: 2026-03-01T00:00:00Z": "retired 2026-01-02T00:00:00Z is too early",
	} {
		p := mustParse(t,
			"version: 1\nproducers:\n  orders:\n    sources: []\n    types: []\n    keys:\n      "+id+": {"+
				ends+"}\n")
		switch err := p.CheckKeyrings(public, now); {
		case want == "" && err != nil, want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %q", ends, err, want)
		}
		if err := p.CheckKeyrings(public, after(31)); err != nil {
			t.Errorf("%s, when the next key signs: %v", ends, err)
		}
	}
}

// A key signs again when the one that took over from it ends before it, unless a third has taken over.
func TestCheckKeyringsSignsAgain(t *testing.T) {
	p := mustParse(t, "version: 1\nproducers:\n  orders:\n    keys:\n      "+verifier(t, "a").KeyID()+
		": {retired: 2026-01-31T00:00:00Z}\n")
	a := keys.PublicKey{Verifier: verifier(t, "a"), Producer: "orders"}
	ending := a
	ending.Schedule = keys.Schedule{Retired: after(90)}
	b := keys.PublicKey{Verifier: verifier(t, "b"), Producer: "orders",
		Schedule: keys.Schedule{Active: after(30), Retired: after(60)}}
	c := keys.PublicKey{Verifier: verifier(t, "c"), Producer: "orders",
		Schedule: keys.Schedule{Active: after(60)}}
	for _, test := range []struct {
		public []keys.PublicKey
		want   string
	}{
		{[]keys.PublicKey{a}, ""},
		{[]keys.PublicKey{a, b}, "signs with it for ever, as it does again when the next key ends"},
		{[]keys.PublicKey{ending, b}, "signs with it until 2026-04-01T00:00:00Z"},
		{[]keys.PublicKey{a, b, c}, ""},
		{[]keys.PublicKey{ending, c, b}, ""},
		{[]keys.PublicKey{a, c}, "signs with it until 2026-03-02T00:00:00Z"},
	} {
		switch err := p.CheckKeyrings(test.public, now); {
		case test.want == "" && err != nil, test.want != "" &&
			(err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%d keys: %v, want %q", len(test.public), err, test.want)
		}
	}
}

// An encryption key is not listed under the name of another consumer, who could not open what is encrypted to
// it while its owner could, and not for longer than its keyring opens with it.
func TestCheckKeyringsOfConsumers(t *testing.T) {
	of := func(schedule keys.Schedule) []keys.PublicKey {
		return []keys.PublicKey{{Recipient: recipient(t), Consumer: "billing", Schedule: schedule}}
	}
	for _, c := range []struct {
		consumer, schedule string
		keyring            keys.Schedule
		want               string
	}{
		{"billing", "", keys.Schedule{}, ""},
		{"audit", "", keys.Schedule{}, "its keyring is that of consumer billing, which would read instead"},
		{"audit", "revoked: {at: 2026-01-01T00:00:00Z, reason: lost}", keys.Schedule{}, ""},
		{"billing", "", keys.Schedule{Expired: after(30)}, "opens with it until 2026-01-31T00:00:00Z only"},
		{"billing", "retired: 2026-02-01T00:00:00Z", keys.Schedule{Expired: after(30)},
			"opens with it until 2026-01-31T00:00:00Z only"},
		{"billing", "expired: 2026-02-01T00:00:00Z", keys.Schedule{Expired: after(30)},
			"opens with it until 2026-01-31T00:00:00Z only"},
		{"billing", "retired: 2026-01-31T00:00:00Z, expired: 2026-02-01T00:00:00Z",
			keys.Schedule{Expired: after(30)}, ""},
		{"billing", "expired: 2026-01-31T00:00:00Z", keys.Schedule{Expired: after(30)}, ""},
	} {
		p := mustParse(t, "version: 1\nconsumers:\n  "+c.consumer+":\n    keys:\n      "+recipient(t).KeyID()+
			": {"+c.schedule+"}\n")
		switch err := p.CheckKeyrings(of(c.keyring), now); {
		case c.want == "" && err != nil, c.want != "" &&
			(err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s, %q: %v, want %q", c.consumer, c.schedule, err, c.want)
		}
	}
}

func TestCheckStart(t *testing.T) {
	day := func(n int) time.Time { return time.Date(2026, 1, 1+n, 0, 0, 0, 0, time.UTC) }
	for _, c := range []struct {
		trust, keyring keys.Schedule
		ok             bool
	}{
		{keys.Schedule{}, keys.Schedule{}, true}, {keys.Schedule{}, keys.Schedule{Active: day(2)}, true},
		{keys.Schedule{Active: day(2)}, keys.Schedule{Active: day(2)}, true},
		{keys.Schedule{Active: day(1)}, keys.Schedule{Active: day(2)}, true},
		{keys.Schedule{Active: day(2).Add(time.Second)}, keys.Schedule{Active: day(2)}, false},
		{keys.Schedule{Active: day(1)}, keys.Schedule{}, false},
		{keys.Schedule{Published: day(3)}, keys.Schedule{Active: day(2)}, false},
		{keys.Schedule{Published: day(2)}, keys.Schedule{Active: day(2)}, true},
		{keys.Schedule{Active: day(2)}, keys.Schedule{Active: day(2), Retired: day(9)}, true},
	} {
		if err := checkStart(c.trust, c.keyring); (err == nil) != c.ok {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
