package home_test

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/quick"

	"github.com/sealbus/sealbus/home"
)

const head = "version: 1\ntrust: {roots: r, bundle: b}\n"

// Each file has one fault, and the error names its place.
func TestConfigIsStrict(t *testing.T) {
	for name, c := range map[string]struct{ doc, says string }{
		"empty":                {"", "empty"},
		"no version":           {"trust: {roots: r, bundle: b}\n", "version: 1"},
		"another version":      {"version: 2\ntrust: {roots: r, bundle: b}\n", "version: 1"},
		"no trust":             {"version: 1\n", "roots and bundle"},
		"no roots":             {"version: 1\ntrust: {bundle: b}\n", "roots and bundle"},
		"unknown field":        {head + "producer: {}\n", `line 3, column 1: unknown field "producer"`},
		"unknown in trust":     {"version: 1\ntrust: {roots: r, bundle: b, root: x}\n", `unknown field "root" in trust`},
		"unknown in producer":  {head + "producers:\n  a: {keyring: k, types: [x]}\n", `line 4, column 19: unknown field "types"`},
		"unknown in consumer":  {head + "consumers:\n  a: {keyring: k}\n", `unknown field "keyring"`},
		"field twice":          {head + "audience: a\naudience: b\n", "stands twice"},
		"no keyring":           {head + "producers:\n  a: {sources: ['urn:x']}\n", "has no keyring"},
		"name of two":          {head + "producers:\n  a: {keyring: k}\nconsumers:\n  a: {}\n", "line 4"},
		"name with a slash":    {head + "consumers:\n  a/b: {}\n", "letters, digits"},
		"name with a dot":      {head + "consumers:\n  .a: {}\n", "letters, digits"},
		"long name":            {head + "consumers:\n  " + strings.Repeat("a", 65) + ": {}\n", "letters, digits"},
		"empty sources":        {head + "consumers:\n  a: {sources: []}\n", "empty list"},
		"empty types":          {head + "consumers:\n  a: {types: []}\n", "empty list"},
		"a source, no list":    {head + "consumers:\n  a: {sources: 'urn:x'}\n", "a list must stand here"},
		"bad pattern":          {head + "consumers:\n  a: {sources: ['a*b']}\n", "line 4"},
		"absolute path":        {head + "quarantine_key: /etc/key\n", "below the home"},
		"path of another home": {head + "quarantine_key: ../key\n", "below the home"},
		"path that climbs":     {head + "quarantine_key: a/../../key\n", "below the home"},
		"path to itself":       {head + "quarantine_key: .\n", "below the home"},
		"path in long form":    {head + "quarantine_key: a//b\n", "below the home"},
		"path of Windows":      {head + "quarantine_key: 'C:\\key'\n", "backslash"},
		"path with a drive":    {head + "quarantine_key: 'c:key'\n", "colon"},
		"empty path":           {head + "quarantine_key: ''\n", "empty path"},
		"long path":            {head + "quarantine_key: " + strings.Repeat("a", 513) + "\n", "512 bytes"},
		"two audiences":        {head + "audience: 'a b'\n", "one name"},
		"min_version 0":        {"version: 1\ntrust: {roots: r, bundle: b, min_version: 0}\n", "min_version"},
		"min_version text":     {"version: 1\ntrust: {roots: r, bundle: b, min_version: 'x'}\n", "line 2"},
		"timestamp elsewhere":  {"version: 1\ntrust: {roots: r, bundle: a/b, timestamp: timestamp.dsse}\n", "beside the bundle"},
		"anchor":               {head + "audience: &a a\n", "anchors"},
		"hidden character":     {head + "audience: a\u200b\n", "U+200B"},
		"second document":      {head + "---\n" + head, "second YAML document"},
		"too large":            {head + "#" + strings.Repeat("a", home.MaxFile), "bytes"},
	} {
		if _, err := home.ParseConfig([]byte(c.doc)); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: the error is %v, it should say %q", name, err, c.says)
		}
	}
}

func TestConfigIsRead(t *testing.T) {
	c, err := home.ParseConfig([]byte(`version: 1
audience: central
trust: {roots: t/r.json, bundle: t/b.dsse, timestamp: t/timestamp.dsse, state: s, min_version: 7}
producers:
  orders: {keyring: k, sources: ["https://a.example/*", "urn:x"]}
  stock: {keyring: l, sources: ["urn:x"]}
consumers:
  billing: {identity: i}
  mailer: {sources: ["urn:y"], types: ["com.example.*"], audience: mail}
`))
	if err != nil {
		t.Fatal(err)
	}
	if c.Trust.MinVersion != 7 || c.Trust.State != "s" || len(c.Producers) != 2 || c.Consumers[0].Types != nil {
		t.Errorf("%+v", c)
	}
	billing, err := c.Consumer("billing")
	if err != nil {
		t.Fatal(err)
	}
	sources, err := c.SourcesOf(billing)
	if want := []string{"https://a.example/*", "urn:x"}; err != nil || !reflect.DeepEqual(sources, want) {
		t.Errorf("billing accepts %v, %v", sources, err)
	}
	mailer := &c.Consumers[1]
	if sources, err := c.SourcesOf(mailer); err != nil || !reflect.DeepEqual(sources, []string{"urn:y"}) {
		t.Errorf("mailer accepts %v, %v", sources, err)
	}
	if c.AudienceOf(billing) != "central" || c.AudienceOf(mailer) != "mail" {
		t.Error("the audience of an entry does not win over that of the file")
	}
	for _, name := range []string{"", "none"} {
		if _, err := c.Producer(name); err == nil {
			t.Errorf("producer %q of two", name)
		}
	}
}

// A consumer that accepts nothing is an error, and not one that accepts everything.
func TestNoSourceIsRefused(t *testing.T) {
	c, err := home.ParseConfig([]byte(head + "consumers:\n  billing: {}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if sources, err := c.SourcesOf(&c.Consumers[0]); err == nil {
		t.Errorf("it accepts %v", sources)
	}
}

// An added entry is read back, and nothing else changes: for any names and patterns that are allowed.
func TestAddedEntriesAreReadBack(t *testing.T) {
	name := func(seed []byte, prefix string) string {
		const letters = "abcXYZ019._-"
		b := []byte(prefix)
		for _, s := range seed[:min(len(seed), 20)] {
			b = append(b, letters[int(s)%len(letters)])
		}
		return string(b)
	}
	property := func(a, b []byte, more uint8, explicit bool) bool {
		p := home.ProducerEntry{Name: name(a, "1"), Keyring: "secret/" + name(a, "k"),
			Sources: []string{"urn:" + name(b, "s"), "https://orders.example/*"}}
		c := home.ConsumerEntry{Name: name(b, "c"), Identity: "secret/" + name(b, "i")}
		if explicit {
			c.Sources, c.Types, c.Audience = []string{"urn:" + name(a, "t")}, []string{"com." + name(b, "x")}, "true"
		}
		doc, err := home.AddProducer(home.NewConfig(), &p)
		if err == nil {
			doc, err = home.AddConsumer(doc, &c)
		}
		if err != nil {
			t.Log(err)
			return false
		}
		read, err := home.ParseConfig(doc)
		was, _ := home.ParseConfig(home.NewConfig())
		return err == nil && reflect.DeepEqual(read.Producers, []home.ProducerEntry{p}) &&
			reflect.DeepEqual(read.Consumers, []home.ConsumerEntry{c}) && read.Trust == was.Trust &&
			read.QuarantineKey == was.QuarantineKey
	}
	if err := quick.Check(property, nil); err != nil {
		t.Error(err)
	}
}

// Comments of people stay.
func TestCommentsAreKept(t *testing.T) {
	doc := []byte("# ours\n\nversion: 1 # one\ntrust: {roots: r, bundle: b}\n# the shop\nproducers:\n  a: {keyring: k}\n")
	doc, err := home.AddConsumer(doc, &home.ConsumerEntry{Name: "b"})
	if err != nil {
		t.Fatal(err)
	}
	for _, comment := range []string{"# ours", "# one", "# the shop"} {
		if !bytes.Contains(doc, []byte(comment)) {
			t.Errorf("%q is gone:\n%s", comment, doc)
		}
	}
}

func TestAddRefusesATakenName(t *testing.T) {
	doc, err := home.AddProducer(home.NewConfig(), &home.ProducerEntry{Name: "a", Keyring: "k"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := home.AddConsumer(doc, &home.ConsumerEntry{Name: "a"}); err == nil {
		t.Error("a consumer got the name of a producer")
	}
}

// FuzzParseConfig: a file that is read is safe to use, and takes another producer.
func FuzzParseConfig(f *testing.F) {
	seeds, err := filepath.Glob("testdata/fuzz/FuzzParseConfig/*")
	if err != nil || len(seeds) == 0 {
		f.Fatalf("no corpus: %v", err)
	}
	f.Add(home.NewConfig())
	f.Fuzz(func(t *testing.T, doc []byte) {
		c, err := home.ParseConfig(doc)
		if err != nil {
			return
		}
		paths := []string{c.Trust.Roots, c.Trust.Bundle, c.Trust.Timestamp, c.Trust.State, c.Trust.Policy, c.Trust.Keys,
			c.Trust.RootKey, c.Trust.TimestampKey, c.QuarantineKey}
		for _, p := range c.Producers {
			paths = append(paths, p.Keyring)
		}
		for _, e := range c.Consumers {
			paths = append(paths, e.Identity)
			if e.Sources != nil && len(e.Sources) == 0 {
				t.Errorf("consumer %s has an empty list of sources", e.Name)
			}
		}
		for _, p := range paths {
			if p != "" && !filepath.IsLocal(filepath.FromSlash(p)) {
				t.Errorf("the path %q leaves the home", p)
			}
		}
		added, err := home.AddProducer(doc, &home.ProducerEntry{Name: "fuzzed", Keyring: "k"})
		if err != nil {
			return // it has that name, or as many as it may
		}
		again, err := home.ParseConfig(added)
		if err != nil || len(again.Producers) != len(c.Producers)+1 || !reflect.DeepEqual(again.Consumers, c.Consumers) {
			t.Errorf("%v after a producer was added:\n%s", err, added)
		}
	})
}

func TestMain(m *testing.M) {
	_ = os.Unsetenv(home.Variable)
	os.Exit(m.Run())
}
