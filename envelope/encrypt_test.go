package envelope_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/testbed/mint"
	"github.com/sealbus/sealbus/internal/wire"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/keystest"
	"github.com/sealbus/sealbus/keys/trust"
)

// confidential is a producer and its consumers, each with a key of another kind.
type confidential struct {
	t       testing.TB
	signer  keys.Signer
	trust   *trust.Bundle
	x25519  *keys.LocalIdentity
	p256    *keys.LocalIdentity
	service *keystest.Service
}

const secretSource = "https://orders.example/eu"

func newConfidential(t testing.TB) *confidential {
	t.Helper()
	c := &confidential{t: t, signer: testSigner(t, keys.Ed25519, "orders"),
		service: keystest.NewService("arn:test:key/1")}
	c.x25519, c.p256 = newIdentity(t, keys.X25519), newIdentity(t, keys.P256)
	c.trust = trusting(t, keyOf(c.signer, "https://orders.example/*"))
	return c
}

func newIdentity(t testing.TB, curve keys.Curve) *keys.LocalIdentity {
	t.Helper()
	identity, err := keys.GenerateIdentity(curve)
	if err != nil {
		t.Fatal(err)
	}
	return identity
}

// encrypter encrypts to all three.
func (c *confidential) encrypter() *envelope.Encrypter {
	return c.encryptTo(envelope.EncryptTo{Recipients: []*keys.Recipient{c.x25519.Recipient(),
		c.p256.Recipient()}, Services: []keys.ServiceRecipient{c.service}})
}

func (c *confidential) encryptTo(to envelope.EncryptTo) *envelope.Encrypter {
	c.t.Helper()
	e, err := envelope.NewEncrypter(to)
	if err != nil {
		c.t.Fatal(err)
	}
	return e
}

func (c *confidential) decrypter(identities ...keys.Identity) *envelope.Decrypter {
	return c.decryptWith(envelope.DecryptWith{Identities: keys.OpenWith(identities...)})
}

func (c *confidential) decryptWith(with envelope.DecryptWith) *envelope.Decrypter {
	c.t.Helper()
	d, err := envelope.NewDecrypter(with)
	if err != nil {
		c.t.Fatal(err)
	}
	return d
}

func secretEvent(data string) event.Event {
	ev := event.New()
	ev.SetID("s-1")
	ev.SetSource(secretSource)
	ev.SetType("com.example.order.placed")
	ev.SetDataContentType("application/json")
	ev.DataEncoded = []byte(data)
	return ev
}

func (c *confidential) seal(ev event.Event, opts envelope.SealOptions) *envelope.Sealed {
	c.t.Helper()
	if opts.Now == nil {
		opts.Now = fixedNow
	}
	sealed, err := envelope.Seal(c.t.Context(), ev, c.signer, &opts)
	if err != nil {
		c.t.Fatal(err)
	}
	return sealed
}

// Each recipient opens exactly the data that was sealed. None of it is legible on the way, and others get
// nothing.
func TestEncrypted(t *testing.T) {
	c := newConfidential(t)
	for name, data := range map[string]struct {
		content, typ string
		exact        bool
	}{
		"object":     {`{"card":"4111","total":12.5}`, "application/json", false},
		"scalar":     {`"4111"`, "application/json", false},
		"exact":      {` { "card" : "4111", "n": 1.0 } `, "application/json", true},
		"text":       {"card 4111", "text/plain; charset=utf-8", false},
		"other json": {`{"card":"4111"}`, "application/vnd.example+json", false},
	} {
		t.Run(name, func(t *testing.T) {
			ev := secretEvent(data.content)
			ev.SetDataContentType(data.typ)
			sealed := c.seal(ev, envelope.SealOptions{Encrypt: c.encrypter(), Exact: data.exact})
			// base64 has neither a quote nor a space
			if bytes.Contains(sealed.JSON(), []byte(`"4111`)) ||
				bytes.Contains(sealed.JSON(), []byte("card ")) {
				t.Errorf("legible: %s", sealed.JSON())
			}
			for who, with := range map[string]envelope.DecryptWith{
				c.x25519.Recipient().KeyID(): {Identities: keys.OpenWith(c.x25519)},
				c.p256.Recipient().KeyID():   {Identities: keys.OpenWith(c.p256)},
				c.service.KeyID():            {Services: []keys.ServiceIdentity{c.service}},
			} {
				opened, err := envelope.Open(t.Context(), sealed.JSON(), c.trust,
					&envelope.Policy{Now: fixedNow, Decrypter: c.decryptWith(with), RequireEncrypted: true,
						Unsafe: unchecked})
				if err != nil {
					t.Fatalf("%s: %v", who, err)
				}
				if got := string(opened.Event.Data()); got != data.content ||
					opened.Event.DataContentType() != data.typ {
					t.Errorf("opened %q of type %q", got, opened.Event.DataContentType())
				}
				e := opened.Encryption
				if e == nil || e.OpenedWith != who || e.Fields != nil || len(e.Recipients) != 3 ||
					!slices.Contains(e.Recipients, who) {
					t.Errorf("%s: encryption %+v", who, e)
				}
			}
			for _, stranger := range []*envelope.Decrypter{nil, c.decrypter(newIdentity(t, keys.X25519)),
				c.decrypter(newIdentity(t, keys.P256)),
				c.decryptWith(envelope.DecryptWith{Services: []keys.ServiceIdentity{keystest.NewService("arn:test:key/2")}})} {
				_, err := envelope.Open(t.Context(), sealed.JSON(), c.trust,
					&envelope.Policy{Now: fixedNow, Decrypter: stranger, Unsafe: unchecked})
				wantReason(t, err, envelope.ReasonNotARecipient)
			}
		})
	}
}

func wantReason(t testing.TB, err error, want envelope.Reason) {
	t.Helper()
	if got := envelope.ReasonOf(err); got != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// Encrypted fields are restored to exactly the document that was sealed, whatever they are and wherever they
// stand.
func TestEncryptedFields(t *testing.T) {
	c := newConfidential(t)
	const doc = `{"a~/b":1,"card":{"cvc":null,"number":"4111"},"items":[{"n":1},{"n":[]}],"name":"é\n","total":12.5}`
	for _, fields := range [][]string{
		{"/card/number"}, {"/card"}, {"/card/cvc", "/total"}, {"/items/1/n", "/items/0"},
		{"/a~0~1b", "/name"}, {""},
		{"/total", "/name", "/items", "/card", "/a~0~1b"},
	} {
		t.Run(strings.Join(fields, " "), func(t *testing.T) {
			sealed := c.seal(secretEvent(doc), envelope.SealOptions{Encrypt: c.encrypter(),
				EncryptFields: fields})
			opts := &envelope.Policy{Now: fixedNow, Decrypter: c.decrypter(c.p256),
				RequireEncryptedFields: append([]string{"/not/there"}, fields...), Unsafe: unchecked}
			opened, err := envelope.Open(t.Context(), sealed.JSON(), c.trust, opts)
			if err != nil {
				t.Fatal(err)
			}
			if got := string(opened.Event.Data()); got != doc {
				t.Errorf("opened %s", got)
			}
			if !slices.Equal(opened.Encryption.Fields, fields) ||
				opened.Event.Extensions()["jwerecipients"] != nil {
				t.Errorf("encryption %+v, extensions %v", opened.Encryption, opened.Event.Extensions())
			}
			for _, layout := range []envelope.Layout{envelope.Structured, envelope.Embedded} {
				if layout == envelope.Embedded && fields[0] == "" {
					continue // its data is a string then
				}
				throughBridgeWith(t, sealed, c.trust, layout, opts, doc)
			}
		})
	}
}

func throughBridgeWith(t *testing.T, sealed *envelope.Sealed, trust trust.Source, layout envelope.Layout,
	opts *envelope.Policy, data string) {
	t.Helper()
	entry, err := sealed.EventBridge(layout)
	if err != nil {
		t.Fatal(err)
	}
	delivery := mint.Delivery(entry.Source, entry.DetailType, "000000000000", string(entry.Detail)).String()
	opened, err := openEventBridge(t.Context(), []byte(delivery), trust, opts)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(opened.Event.Data()); got != data {
		t.Errorf("layout %d: opened %s", layout, got)
	}
}

func TestEncryptRefuses(t *testing.T) {
	c := newConfidential(t)
	many := make([]string, wire.MaxEncryptedFields+1)
	for i := range many {
		many[i] = fmt.Sprintf("/f%d", i)
	}
	for name, test := range map[string]struct {
		data, typ string
		opts      envelope.SealOptions
		want      string
	}{
		"missing": {`{"a":1}`, "", envelope.SealOptions{EncryptFields: []string{"/b"}},
			`there is nothing at "/b"`},
		"missing index": {`[1]`, "", envelope.SealOptions{EncryptFields: []string{"/1"}},
			`there is nothing at "/1"`},
		"dash": {`[1]`, "", envelope.SealOptions{EncryptFields: []string{"/-"}},
			`there is nothing at "/-"`},
		"leading zero": {`[1,2]`, "", envelope.SealOptions{EncryptFields: []string{"/01"}},
			`there is nothing at "/01"`},
		"in a scalar": {`{"a":1}`, "", envelope.SealOptions{EncryptFields: []string{"/a/b"}},
			`there is nothing at "/a/b"`},
		"nested": {`{"a":{"b":1}}`, "", envelope.SealOptions{EncryptFields: []string{"/a/b", "/a"}},
			"overlap"},
		"twice": {`{"a":1}`, "", envelope.SealOptions{EncryptFields: []string{"/a", "/a"}},
			"overlap"},
		"all and one": {`{"a":1}`, "", envelope.SealOptions{EncryptFields: []string{"", "/a"}}, "overlap"},
		"no pointer": {`{"a":1}`, "", envelope.SealOptions{EncryptFields: []string{"a"}},
			`begins with "/"`},
		"bad escape": {`{"a":1}`, "", envelope.SealOptions{EncryptFields: []string{"/~2"}},
			"followed by 0 or 1"},
		"too many": {`{"a":1}`, "", envelope.SealOptions{EncryptFields: many}, "more than 64 fields"},
		"exact": {`{"a":1}`, "", envelope.SealOptions{EncryptFields: []string{"/a"}, Exact: true},
			"in JSON data only"},
		"text": {`a`, "text/plain", envelope.SealOptions{EncryptFields: []string{"/a"}},
			"in JSON data only"},
		"no data": {``, "", envelope.SealOptions{}, "there is none to encrypt"},
		"too large": {`"` + strings.Repeat("x", 900<<10) +
			`"`, "", envelope.SealOptions{}, "too large once it is encrypted"},
	} {
		t.Run(name, func(t *testing.T) {
			ev := secretEvent(test.data)
			if test.typ != "" {
				ev.SetDataContentType(test.typ)
			}
			test.opts.Encrypt, test.opts.Now = c.encrypter(), fixedNow
			_, err := envelope.Seal(t.Context(), ev, c.signer, &test.opts)
			wantSealError(t, err, test.want)
		})
	}
	_, err := envelope.Seal(t.Context(), secretEvent(`{"a":1}`), c.signer,
		&envelope.SealOptions{EncryptFields: []string{"/a"}, Now: fixedNow})
	wantSealError(t, err, "there is no recipient")
	ev := secretEvent(`{"a":1}`)
	ev.SetExtension("jwerecipients", "x")
	_, err = envelope.Seal(t.Context(), ev, c.signer, &envelope.SealOptions{Now: fixedNow})
	wantSealError(t, err, "set by sealing")
}

func wantSealError(t testing.TB, err error, text string) {
	t.Helper()
	if e, ok := err.(*envelope.SealError); !ok || !strings.Contains(e.Error(), text) {
		t.Errorf("got %v, want a SealError with %q", err, text)
	}
}

// One content key serves a source for five minutes, by the clock of the callers: the service is asked 12
// times an hour.
func TestCallsWhenSealing(t *testing.T) {
	c := newConfidential(t)
	second := keystest.NewService("arn:test:key/2")
	e := c.encryptTo(envelope.EncryptTo{Services: []keys.ServiceRecipient{c.service, second}})
	now := fixedNow()
	for range 3600 * 10 {
		c.seal(secretEvent(`1`), envelope.SealOptions{Encrypt: e, Now: func() time.Time { return now }})
		now = now.Add(100 * time.Millisecond)
	}
	if g, n := c.service.Calls("test:GenerateKey"), second.Calls("test:EncryptKey"); g != 12 || n != 12 ||
		c.service.Calls("test:EncryptKey")+second.Calls("test:GenerateKey") != 0 {
		t.Errorf("in an hour %d keys were generated and %d encrypted, want 12", g, n)
	}
}

// A service that fails is asked again only after a second by the clock of the callers: not for each event of
// a batch.
func TestServiceRestsAfterAnError(t *testing.T) {
	c := newConfidential(t)
	down := true
	c.service.Fail = func(_ context.Context, op string) error {
		if down {
			return &keys.ServiceError{Op: op, KeyID: "k", Cause: "throttled", Fix: "wait"}
		}
		return nil
	}
	e := c.encryptTo(envelope.EncryptTo{Services: []keys.ServiceRecipient{c.service}})
	now := fixedNow()
	sealAt := func() error {
		_, err := envelope.Seal(t.Context(), secretEvent(`1`), c.signer,
			&envelope.SealOptions{Encrypt: e, Now: func() time.Time { return now }})
		return err
	}
	for range 100 {
		if _, ok := errors.AsType[*keys.ServiceError](sealAt()); !ok {
			t.Fatal("no ServiceError")
		}
	}
	if n := c.service.Calls("test:GenerateKey"); n != 1 {
		t.Errorf("asked %d times in an instant", n)
	}
	down, now = false, now.Add(999*time.Millisecond)
	if sealAt() == nil {
		t.Error("asked again before a second was over")
	}
	now = now.Add(time.Second)
	if err := sealAt(); err != nil || c.service.Calls("test:GenerateKey") != 2 {
		t.Errorf("after a second: %v, asked %d times", err, c.service.Calls("test:GenerateKey"))
	}
}

type rawJSON = json.RawMessage

// changedMaterial changes the DSSE envelope of an event.
func changedMaterial(t testing.TB, doc []byte, change func(env map[string]any)) []byte {
	t.Helper()
	var ev, env map[string]any
	check(t, json.Unmarshal(doc, &ev))
	material, err := base64.StdEncoding.DecodeString(ev["dssematerial"].(string))
	check(t, err)
	check(t, json.Unmarshal(material, &env))
	change(env)
	material, err = json.Marshal(env)
	check(t, err)
	ev["dssematerial"] = base64.StdEncoding.EncodeToString(material)
	out, err := json.Marshal(ev)
	check(t, err)
	return out
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
