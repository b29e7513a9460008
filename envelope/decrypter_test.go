package envelope_test

import (
	"context"
	"crypto/ecdh"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/jwe"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/keystest"
	"github.com/sealbus/sealbus/keys/trust"
)

func (c *confidential) open(doc []byte, d *envelope.Decrypter,
	now func() time.Time) (*envelope.Opened, error) {
	return envelope.Open(c.t.Context(), doc, c.trust,
		&envelope.Policy{Now: now, Decrypter: d, Unsafe: unchecked})
}

// A consumer process decrypts each content key once in 15 minutes, whatever comes in between; another source
// has keys of its own, and its event is never opened with the other's.
func TestCallsWhenOpening(t *testing.T) {
	c, clock := newConfidential(t), newClockwork()
	e := c.encryptTo(envelope.EncryptTo{Services: []keys.ServiceRecipient{c.service}})
	d := c.decryptWith(envelope.DecryptWith{Services: []keys.ServiceIdentity{c.service}})
	keysUsed := 0
	for range 12 { // an hour of content keys
		keysUsed++
		for i := range 100 {
			ev := secretEvent(fmt.Sprintf(`{"n":%d}`, i))
			sealed := c.seal(ev, envelope.SealOptions{Encrypt: e, Now: clock.now})
			if _, err := c.open(sealed.JSON(), d, clock.now); err != nil {
				t.Fatal(err)
			}
		}
		clock.add(envelope.MaxKeyAge)
	}
	if n := c.service.Calls("test:DecryptKey"); n != int64(keysUsed) {
		t.Errorf("%d keys decrypted of %d", n, keysUsed)
	}
	sealed := c.seal(secretEvent(`1`), envelope.SealOptions{Encrypt: e, Now: clock.now}).JSON()
	for i, wait := range []time.Duration{0, envelope.MaxUnwrappedAge - 1, 1, -2 * time.Hour} {
		clock.add(wait)
		if _, err := c.open(sealed, d, clock.now); err != nil {
			t.Fatal(err)
		}
		if want := []int64{13, 13, 14, 15}[i]; c.service.Calls("test:DecryptKey") != want {
			t.Errorf("after %s: %d keys decrypted, want %d", wait, c.service.Calls("test:DecryptKey"), want)
		}
	}
}

// The bundle's word on the consumer's own key is law: revoked or expired, it opens nothing more, not even
// what is at hand.
func TestRevokedIdentity(t *testing.T) {
	c := newConfidential(t)
	sealed := c.seal(secretEvent(`{"a":1}`),
		envelope.SealOptions{Encrypt: c.encryptTo(envelope.EncryptTo{Recipients: []*keys.Recipient{c.x25519.Recipient()}})}).JSON()
	list := func(k trust.Key) *trust.Bundle {
		k.Recipient, k.Consumer = c.x25519.Recipient(), "billing"
		b, err := trust.NewBundle(trust.BundleOptions{}, &k, keyOf(c.signer, "https://orders.example/*"))
		check(t, err)
		return b
	}
	retired := list(trust.Key{Schedule: keys.Schedule{Retired: testNow.Add(-time.Hour)}})
	expired := list(trust.Key{Schedule: keys.Schedule{Expired: testNow}})
	revoked := list(trust.Key{Revoked: &trust.Revocation{At: testNow, Reason: "stolen"}})
	d := c.decrypter(c.x25519)
	lax := c.decryptWith(envelope.DecryptWith{Identities: keys.OpenWith(c.x25519), UnsafeRevoked: true})
	for _, test := range []struct {
		trust *trust.Bundle
		d     *envelope.Decrypter
		want  envelope.Reason
	}{
		{retired, d, ""}, {expired, d, envelope.ReasonNotARecipient}, {c.trust, d, ""},
		{revoked, d, envelope.ReasonNotARecipient}, {revoked, lax, ""},
	} {
		_, err := envelope.Open(t.Context(), sealed, test.trust,
			&envelope.Policy{Now: fixedNow, Decrypter: test.d, Unsafe: unchecked})
		wantReason(t, err, test.want)
		if test.want != "" && !strings.Contains(err.Error(), "revoked or expired") {
			t.Errorf("got %v", err)
		}
	}
}

// One that fails is no reason not to try the next: a service that is down, a key that has the name but not
// the secret.
func TestTriesTheNext(t *testing.T) {
	c := newConfidential(t)
	sealed := c.seal(secretEvent(`{"a":1}`), envelope.SealOptions{Encrypt: c.encrypter()}).JSON()
	imposter := keystest.NewService(c.service.KeyID())
	down := keystest.NewService(c.service.KeyID())
	down.Fail = func(_ context.Context, op string) error { return &keys.ServiceError{Op: op, KeyID: "k", Cause: "down"} }
	strange := &failing{Identity: c.p256, err: errors.New("the card is not in the reader")}
	services := func(list ...keys.ServiceIdentity) []keys.ServiceIdentity { return list }
	for name, test := range map[string]struct {
		with envelope.DecryptWith
		want envelope.Reason
	}{
		"an imposter, then the key": {envelope.DecryptWith{Services: services(imposter, c.service)}, ""},
		"one that is down, the key": {envelope.DecryptWith{Services: services(down, c.service)}, ""},
		"down, a private key": {envelope.DecryptWith{Services: services(down),
			Identities: keys.OpenWith(c.p256)}, ""},
		"a private key elsewhere, one": {envelope.DecryptWith{Identities: keys.OpenWith(strange, c.x25519)},
			""},
		"an imposter only": {envelope.DecryptWith{Services: services(imposter)},
			envelope.ReasonDecryptFailed},
		"an imposter and one down": {envelope.DecryptWith{Services: services(imposter, down)},
			envelope.ReasonKMSUnavailable},
		"a private key that is no help": {envelope.DecryptWith{Identities: keys.OpenWith(strange)},
			envelope.ReasonKMSUnavailable},
		"no identity": {envelope.DecryptWith{Identities: keys.OpenWith()}, envelope.ReasonNotARecipient},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.open(sealed, c.decryptWith(test.with), fixedNow)
			wantReason(t, err, test.want)
		})
	}
}

// A service that times out is asked once for a batch of events that follow each other, each with a content
// key of its own.
func TestServiceThatTimesOutRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newConfidential(t)
		began := time.Now()
		now := func() time.Time { return testNow.Add(time.Since(began)) }
		var batch [][]byte
		for range 5 {
			e := c.encryptTo(envelope.EncryptTo{Services: []keys.ServiceRecipient{c.service}})
			batch = append(batch, c.seal(secretEvent(`1`), envelope.SealOptions{Encrypt: e}).JSON())
		}
		c.service.Fail = func(_ context.Context, op string) error {
			time.Sleep(10 * time.Second)
			return &keys.ServiceError{Op: op, KeyID: "k", Cause: "timed out"}
		}
		d := c.decryptWith(envelope.DecryptWith{Services: []keys.ServiceIdentity{c.service}})
		for _, doc := range batch {
			_, err := c.open(doc, d, now)
			wantReason(t, err, envelope.ReasonKMSUnavailable)
		}
		if n := c.service.Calls("test:DecryptKey"); n != 1 {
			t.Errorf("%d calls for a batch, want 1", n)
		}
		time.Sleep(time.Second)
		_, err := c.open(batch[1], d, now)
		wantReason(t, err, envelope.ReasonKMSUnavailable)
		if n := c.service.Calls("test:DecryptKey"); n != 2 {
			t.Errorf("%d calls after a second, want 2", n)
		}
	})
}

type failing struct {
	keys.Identity
	err error
}

func (f *failing) ECDH(context.Context, *ecdh.PublicKey) ([]byte, error) { return nil, f.err }

// An event that was opened without a key can be decrypted later, and only once.
func TestKeepEncrypted(t *testing.T) {
	c := newConfidential(t)
	for _, fields := range [][]string{nil, {"/a"}} {
		sealed := c.seal(secretEvent(`{"a":1,"b":2}`),
			envelope.SealOptions{Encrypt: c.encrypter(), EncryptFields: fields}).JSON()
		kept, err := openKept(t, sealed, c.trust, &envelope.Policy{Now: fixedNow, Unsafe: unchecked})
		check(t, err)
		if !kept.IsEncrypted() || strings.Contains(string(kept.Event.Data()), `"a":1`) ||
			len(kept.Encryption.Recipients) != 3 {
			t.Errorf("kept %s", kept.Event)
		}
		_, err = kept.Decrypt(t.Context(), nil)
		wantReason(t, err, envelope.ReasonNotARecipient)
		_, err = kept.Decrypt(t.Context(), c.decrypter(newIdentity(t, keys.X25519)))
		wantReason(t, err, envelope.ReasonNotARecipient)
		opened, err := kept.Decrypt(t.Context(), c.decrypter(c.x25519))
		check(t, err)
		if string(opened.Event.Data()) != `{"a":1,"b":2}` || !kept.IsEncrypted() || opened.IsEncrypted() ||
			kept.ContentDigest() != opened.ContentDigest() {
			t.Errorf("opened %s, kept %s", opened.Event, kept.Event)
		}
		same, err := opened.Decrypt(t.Context(), nil)
		if err != nil || same != opened {
			t.Errorf("decrypted twice: %v", err)
		}
	}
}

// Consumers' keys are looked up in the bundle for each event: a new key is used at once, a revoked one never
// more.
func TestEncryptToConsumers(t *testing.T) {
	c, clock := newConfidential(t), newClockwork()
	bundle := func(list ...*trust.Key) *trust.Bundle {
		b, err := trust.NewBundle(trust.BundleOptions{},
			append(list, keyOf(c.signer, "https://orders.example/*"))...)
		check(t, err)
		return b
	}
	key := func(i *keys.LocalIdentity, schedule keys.Schedule) *trust.Key {
		return &trust.Key{Recipient: i.Recipient(), Consumer: "billing", Schedule: schedule}
	}
	stolen := key(c.x25519, keys.Schedule{})
	stolen.Revoked = &trust.Revocation{At: testNow, Reason: "stolen"}
	source := &liveSource{held: bundle(key(c.x25519, keys.Schedule{}),
		key(c.p256, keys.Schedule{Active: testNow.Add(time.Minute)}))}
	e := c.encryptTo(envelope.EncryptTo{Consumers: []string{"billing"}, Trust: source})
	sealed := func() (recipients []string) {
		t.Helper()
		s := c.seal(secretEvent(`1`), envelope.SealOptions{Encrypt: e, Now: clock.now})
		o, err := openKept(t, s.JSON(), c.trust, &envelope.Policy{Now: clock.now, Unsafe: unchecked})
		check(t, err)
		return o.Encryption.Recipients
	}
	wantOnly := func(got []string, list ...*keys.LocalIdentity) {
		t.Helper()
		for _, i := range list {
			if !strings.Contains(fmt.Sprint(got), i.Recipient().KeyID()) || len(got) != len(list) {
				t.Errorf("encrypted to %v", got)
			}
		}
	}
	wantOnly(sealed(), c.x25519)
	clock.add(time.Minute)
	wantOnly(sealed(), c.x25519, c.p256)
	source.held = bundle(stolen, key(c.p256, keys.Schedule{}))
	wantOnly(sealed(), c.p256)
	source.held = bundle(stolen)
	_, err := envelope.Seal(t.Context(), secretEvent(`1`), c.signer,
		&envelope.SealOptions{Encrypt: e, Now: clock.now})
	if !errors.Is(err, trust.ErrNoRecipient) {
		t.Errorf("got %v", err)
	}
}

func TestNewEncrypterRefuses(t *testing.T) {
	c := newConfidential(t)
	many := make([]*keys.Recipient, jwe.MaxRecipients+1)
	for i := range many {
		many[i] = newIdentity(t, keys.X25519).Recipient()
	}
	r := c.x25519.Recipient()
	for want, to := range map[string]envelope.EncryptTo{
		"no recipient": {}, "given twice": {Recipients: []*keys.Recipient{r, r}},
		"needs Trust":             {Consumers: []string{"billing"}},
		"of which 16 are allowed": {Recipients: many}, "is nil": {Services: []keys.ServiceRecipient{nil}},
	} {
		if _, err := envelope.NewEncrypter(to); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if _, err := envelope.NewDecrypter(envelope.DecryptWith{}); err == nil {
		t.Error("opens with nothing")
	}
	if _, err := envelope.NewDecrypter(envelope.DecryptWith{Services: []keys.ServiceIdentity{nil}}); err == nil {
		t.Error("opens with nil")
	}
}

// Dropping keys while they are used disturbs no user.
func TestForgetWhileInUse(t *testing.T) {
	c := newConfidential(t)
	e, d := c.encrypter(), c.decryptWith(envelope.DecryptWith{Services: []keys.ServiceIdentity{c.service},
		Identities: keys.OpenWith(c.x25519)})
	var stop atomic.Bool
	var forgetting, working sync.WaitGroup
	forgetting.Go(func() {
		for !stop.Load() {
			e.Forget()
			d.Forget()
			time.Sleep(10 * time.Microsecond)
		}
	})
	for i := range 4 {
		working.Go(func() {
			for n := range 200 {
				ev := secretEvent(fmt.Sprintf(`{"a":%d}`, 1000*i+n))
				sealed, err := envelope.Seal(t.Context(), ev, c.signer,
					&envelope.SealOptions{Encrypt: e, EncryptFields: []string{"/a"}[:n%2], Now: fixedNow})
				if err == nil {
					_, err = c.open(sealed.JSON(), d, fixedNow)
				}
				if err != nil && !strings.Contains(err.Error(), "as soon as they are") { // a fair answer to such a loop
					t.Error(err)
					return
				}
			}
		})
	}
	working.Wait()
	stop.Store(true)
	forgetting.Wait()
}

// Whatever is printed of what has keys in it, no key is.
func TestNothingSecretIsPrinted(t *testing.T) {
	c := newConfidential(t)
	e, d := c.encrypter(), c.decrypter(c.x25519)
	sealed := c.seal(secretEvent(`{"a":"the secret of this event"}`), envelope.SealOptions{Encrypt: e})
	kept, err := openKept(t, sealed.JSON(), c.trust,
		&envelope.Policy{Now: fixedNow, Decrypter: d, Unsafe: unchecked})
	check(t, err)
	_, err = kept.Decrypt(t.Context(), d)
	check(t, err)
	secret, err := c.x25519.UnsafePrivateJWK()
	check(t, err)
	var jwk struct{ D string }
	check(t, json.Unmarshal(secret, &jwk))
	var out strings.Builder
	for _, v := range []any{e, *kept, kept, d, sealed, c.x25519} {
		fmt.Fprintf(&out, "%v %+v %#v %s %x", v, v, v, v, v)
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
	}
	for _, text := range []string{"the secret of this event", fmt.Sprintf("%x", "the secret of this event"),
		jwk.D} {
		if strings.Contains(out.String(), text) {
			t.Errorf("%q is printed", text)
		}
	}
}

// scribbling is a key in a service that decodes what it gets where it stands.
type scribbling struct{ *keystest.Service }

func (s *scribbling) DecryptKey(ctx context.Context, source, keyID string, encrypted []byte) ([]byte, error) {
	defer clear(encrypted)
	return s.Service.DecryptKey(ctx, source, keyID, encrypted)
}

// A Decrypter remembers entries that it has read. A service that writes into one does not spoil the next
// event.
func TestServiceWritesIntoTheEntry(t *testing.T) {
	c := newConfidential(t)
	for _, fields := range [][]string{nil, {"/a"}} {
		encrypter := c.encrypter()
		d := c.decryptWith(envelope.DecryptWith{Services: []keys.ServiceIdentity{&scribbling{c.service}}})
		for range 3 {
			sealed := c.seal(secretEvent(`{"a":1}`),
				envelope.SealOptions{Encrypt: encrypter, EncryptFields: fields}).JSON()
			_, err := c.open(sealed, d, fixedNow)
			check(t, err)
			d.Forget() // the content key, so that the service is asked again
		}
	}
}
