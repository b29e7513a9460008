package consumer_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/consumer"
)

// manyKeys are n keys, each another one.
func manyKeys(n int) (list [][]byte) {
	for i := range n {
		list = append(list, bytes.Repeat([]byte{byte(i)}, consumer.MinQuarantineKey))
	}
	return list
}

func TestQuarantineKeysRefuse(t *testing.T) {
	type made = func() (consumer.QuarantineKeys, error)
	keys := func(name string, list ...[]byte) made {
		return func() (consumer.QuarantineKeys, error) {
			return consumer.NewQuarantineKeys(name, list[0], list[1:]...)
		}
	}
	bin, dust := quarantineKeys(t, "bin", macKey), quarantineKeys(t, "dust", otherKey)
	sixteen := quarantineKeys(t, "dust", manyKeys(16)[0], manyKeys(16)[1:]...)
	anyName, err := consumer.AnyQuarantine(otherKey)
	if err != nil {
		t.Fatal(err)
	}
	also := func(k consumer.QuarantineKeys, others ...consumer.QuarantineKeys) made {
		return func() (consumer.QuarantineKeys, error) { return k.Also(others...) }
	}
	for name, c := range map[string]struct {
		make made
		want string
	}{
		"no name":                {keys("", macKey), "no name of the quarantine"},
		"a name that is no text": {keys("\xff", macKey), "is no text"},
		"no key":                 {keys("bin", nil), "of 0 bytes, at least 32"},
		"short key":              {keys("bin", macKey[1:]), "of 31 bytes, at least 32"},
		"short older key":        {keys("bin", macKey, otherKey[1:]), "of 31 bytes, at least 32"},
		"one key twice":          {keys("bin", macKey, bytes.Clone(macKey)), "one key twice"},
		"one key for HMAC":       {keys("bin", macKey, append(bytes.Clone(macKey), 0)), "one key twice"},
		"too many keys":          {keys("bin", manyKeys(17)...), "17 quarantine keys, at most 16"},
		"any quarantine, short key": {
			func() (consumer.QuarantineKeys, error) { return consumer.AnyQuarantine(macKey[1:]) },
			"at least 32",
		},
		"another with the same key": {also(bin, quarantineKeys(t, "dust", macKey)), `"bin" and for "dust"`},
		"too many with the other's": {also(bin, sixteen), "17 quarantine keys, at most 16"},
		"another without a name":    {also(bin, anyName), "number 1 of the other"},
		"another that is none":      {also(bin, dust, consumer.QuarantineKeys{}), "number 2 of the other"},
		"others of any quarantine":  {also(anyName, bin), "without a name"},
		"others of none":            {also(consumer.QuarantineKeys{}, bin), "without a name"},
	} {
		k, err := c.make()
		if err == nil || !strings.Contains(err.Error(), c.want) || k != (consumer.QuarantineKeys{}) {
			t.Errorf("%s: %v, %v, want an error with %q", name, k, err, c.want)
		}
	}
	if sixteen.Name() != "dust" || bin == (consumer.QuarantineKeys{}) {
		t.Errorf("%v, %v", sixteen, bin)
	}
}

// Also leaves what it was called on as it was.
func TestQuarantineKeysAlso(t *testing.T) {
	bin, dust := quarantineKeys(t, "bin", macKey), quarantineKeys(t, "dust", otherKey)
	both, err := bin.Also(dust)
	if err != nil {
		t.Fatal(err)
	}
	theirs := record()
	theirs.Quarantine = "dust"
	doc := marshal(t, theirs, otherKey)
	if r, err := both.Parse(doc); err != nil || r.Quarantine != "dust" {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := bin.Parse(doc); err == nil {
		t.Error("a record of another quarantine is authentic")
	}
	if _, err := both.Marshal(theirs); err == nil {
		t.Error("a record of another quarantine was written")
	}
	if doc, err = both.Marshal(record()); err != nil {
		t.Fatal(err)
	}
	if r, err := bin.Parse(doc); err != nil || r.Quarantine != "bin" {
		t.Errorf("%+v, %v", r, err)
	}
}

// Keys that write nothing say so.
func TestQuarantineKeysWithoutAName(t *testing.T) {
	anyName, err := consumer.AnyQuarantine(macKey)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []consumer.QuarantineKeys{{}, anyName} {
		if doc, err := k.Marshal(record()); err == nil {
			t.Errorf("%v wrote %s", k, doc)
		}
	}
	doc := marshal(t, record(), macKey)
	if r, err := anyName.Parse(doc); err != nil || r.Quarantine != "bin" {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err := (consumer.QuarantineKeys{}).Parse(doc); err == nil {
		t.Errorf("without any key: %+v", r)
	}
}

// However a program prints its keys, what has them, its options or the consumer, no key comes out.
func TestQuarantineKeysAreNotPrinted(t *testing.T) {
	w := newWorld(t)
	w.reopens()
	keys, err := w.bin.keys.Also(quarantineKeys(t, "dust", otherKey))
	if err != nil {
		t.Fatal(err)
	}
	w.bin.keys = keys
	type holder struct {
		Keys   consumer.QuarantineKeys
		Ptr    *consumer.QuarantineKeys
		hidden consumer.QuarantineKeys
		Map    map[string]any
	}
	h := holder{keys, &keys, keys, map[string]any{"keys": keys}}
	var texts []string
	verbs := []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%08b", "%c", "%t", "%p"}
	for _, v := range []any{
		keys, &keys, h, &h, w.opts, &w.opts, w.consumer(), w.bin, []any{keys},
		map[consumer.QuarantineKeys]int{keys: 1},
	} {
		for _, verb := range verbs {
			texts = append(texts, fmt.Sprintf(verb, v))
		}
		var log bytes.Buffer
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "value", v)
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "value", v, slog.Group("g", "value", v))
		doc, _ := json.Marshal(v) // fails for functions
		text, _ := xml.Marshal(v)
		texts = append(texts, log.String(), string(doc), string(text))
	}
	named := 0
	for _, text := range texts {
		if strings.Contains(text, "QuarantineKeys(") {
			named++
		}
		for _, key := range []string{
			"kkkkkkkk", "6b6b6b6b", "6B6B6B6B", "107 107", "0x6b, 0x6b", "1101011 1101011",
			"oooooooo", "6f6f6f6f", "6F6F6F6F", "111 111", "0x6f, 0x6f", "1101111 1101111",
			base64.StdEncoding.EncodeToString(macKey)[:8], base64.StdEncoding.EncodeToString(otherKey)[:8],
		} {
			if strings.Contains(text, key) {
				t.Errorf("the key is printed: %.200s", text)
			}
		}
	}
	if named < 30 {
		t.Errorf("only %d texts have the keys in them", named)
	}
}
