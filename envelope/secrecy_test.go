package envelope_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/jwe"
)

const canary = "tangerine-zeppelin-0451"

// A verdict on decrypted data has no word of it: no value, no member's name.
func TestVerdictTellsNoDecryptedText(t *testing.T) {
	c := newConfidential(t)
	key := jwe.NewContentKey()
	r, err := jwe.NewECDHRecipient(c.x25519.Recipient().KeyID(), c.x25519.Recipient().PublicKey())
	check(t, err)
	w, err := r.Wrap(t.Context(), key)
	check(t, err)
	for _, plain := range []string{
		canary, `{"` + canary + `":1,"` + canary + `":2}`, `{"` + canary + `":`,
		`{"` + canary + `":01}`, `["` + canary + `"] 1`, `{"` + canary + `":"\ud800"}`,
		`{"` + canary + "\":\"\xff\"}", `{"` + canary + `":1e999,"` + canary + `":1}`,
		strings.Repeat(`{"`+canary+`":`, 70) + "1" + strings.Repeat("}", 70),
	} {
		_, err := c.open(c.whole(plain, key, w), c.decrypter(c.x25519), fixedNow)
		wantReason(t, err, envelope.ReasonMalformed)
		noCanary(t, err)
	}
}

func noCanary(t *testing.T, err error) {
	t.Helper()
	text := fmt.Sprintf("%v %+v %#v %q", err, err, err, err)
	for e := err; e != nil; {
		text += e.Error()
		u, ok := e.(interface{ Unwrap() error })
		if !ok {
			break
		}
		e = u.Unwrap()
	}
	if doc, err := json.Marshal(err); err == nil {
		text += string(doc)
	}
	if strings.Contains(text, "tangerine") || strings.Contains(text, "zeppelin") {
		t.Errorf("the error quotes the data: %s", text)
	}
}

// An event that was opened prints and logs as its name, by pointer or by value: no decrypted text is in it.
func TestOpenedByValueTellsNoDecryptedText(t *testing.T) {
	c := newConfidential(t)
	key := jwe.NewContentKey()
	r, err := jwe.NewECDHRecipient(c.x25519.Recipient().KeyID(), c.x25519.Recipient().PublicKey())
	check(t, err)
	w, err := r.Wrap(t.Context(), key)
	check(t, err)
	opened, err := c.open(c.whole(`{"a":"`+canary+`"}`, key, w), c.decrypter(c.x25519), fixedNow)
	check(t, err)
	var text bytes.Buffer
	for _, v := range []any{opened, *opened, []envelope.Opened{*opened}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&text, verb, v)
		}
	}
	for _, h := range []slog.Handler{slog.NewTextHandler(&text, nil), slog.NewJSONHandler(&text, nil)} {
		slog.New(h).Info("opened", "pointer", opened, "value", *opened)
	}
	decimal := strings.Trim(fmt.Sprint([]byte(canary)), "[]")
	for _, form := range []string{canary, decimal, hex.EncodeToString([]byte(canary))} {
		if strings.Contains(text.String(), form) {
			t.Errorf("it tells the data: %s", text.String())
		}
	}
}

// Nor does a producer that is to encrypt data tell it when it cannot be sealed.
func TestSealTellsNoDataThatIsToBeSecret(t *testing.T) {
	c := newConfidential(t)
	for data, clear := range map[string]string{
		`{"` + canary + `":12345678901234567890123}`: canary, // clear data is named as precisely as ever
		`{"` + canary + `":1,"` + canary + `":2}`:    "",
	} {
		for _, fields := range [][]string{nil, {"/" + canary}} {
			ev := event.New()
			ev.SetID("s-1")
			ev.SetSource(secretSource)
			ev.SetType("com.example.order.placed")
			check(t, ev.SetData("application/json", json.RawMessage(data)))
			opts := &envelope.SealOptions{Encrypt: c.encrypter(), EncryptFields: fields, Now: fixedNow}
			_, err := envelope.Seal(t.Context(), ev, c.signer, opts)
			if err == nil {
				t.Fatal("sealed")
			}
			if text := err.Error(); strings.Contains(text, "tangerine") || !strings.Contains(text, "data") {
				t.Errorf("it says %s", text)
			}
			_, err = envelope.Seal(t.Context(), ev, c.signer, &envelope.SealOptions{Now: fixedNow})
			if err == nil || !strings.Contains(err.Error(), clear) {
				t.Errorf("in the clear: %v", err)
			}
		}
	}
}
