package envelope_test

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/jwe"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/keystest"
)

// elsewhere is an identity whose private key is in a service: it counts the calls, and may answer with
// something else.
type elsewhere struct {
	keys.Identity
	calls  *atomic.Int64
	answer func(n int64, secret []byte) []byte // nil = the right one
}

func (e *elsewhere) ECDH(ctx context.Context, peer *ecdh.PublicKey) ([]byte, error) {
	n := e.calls.Add(1)
	secret, err := e.Identity.ECDH(ctx, peer)
	if err == nil && e.answer != nil {
		secret = e.answer(n, secret)
	}
	return secret, err
}

// oddService is a key in a service that may answer with something else than the key that was encrypted.
type oddService struct {
	*keystest.Service
	answer func(n int64, key []byte) []byte
}

func (s *oddService) DecryptKey(ctx context.Context, source, keyID string, encrypted []byte) ([]byte, error) {
	key, err := s.Service.DecryptKey(ctx, source, keyID, encrypted)
	if err == nil {
		key = s.answer(s.Calls("test:DecryptKey"), key)
	}
	if err == nil && key == nil { // as package awskms does with an answer about another key
		err = &keys.ServiceError{Op: "test:DecryptKey", KeyID: keyID, Cause: "refused",
			Err: keys.ErrWrongAnswer}
	}
	return key, err
}

// wrongAt answers with something else the first so many times.
func wrongAt(first int64, with []byte) func(int64, []byte) []byte {
	return func(n int64, right []byte) []byte {
		if n <= first {
			return bytes.Clone(with)
		}
		return right
	}
}

func (c *confidential) wrapped(key *jwe.ContentKey, i keys.Identity, name string) jwe.WrappedKey {
	c.t.Helper()
	r, err := jwe.NewECDHRecipient(name, i.Recipient().PublicKey())
	check(c.t, err)
	w, err := r.Wrap(c.t.Context(), key)
	check(c.t, err)
	return w
}

func (c *confidential) wrappedByService(key *jwe.ContentKey) jwe.WrappedKey {
	c.t.Helper()
	secret, err := key.Bytes()
	check(c.t, err)
	encrypted, err := c.service.EncryptKey(c.t.Context(), secretSource, secret)
	check(c.t, err)
	w, err := key.Wrapped(jwe.AlgAWSKMS, c.service.KeyID(), encrypted)
	check(c.t, err)
	return w
}

func (c *confidential) junkForService(key *jwe.ContentKey, n int) (list []jwe.WrappedKey) {
	c.t.Helper()
	for i := range n {
		w, err := key.Wrapped(jwe.AlgAWSKMS, c.service.KeyID(), []byte{byte(i), 1})
		check(c.t, err)
		list = append(list, w)
	}
	return list
}

// unnamed takes the key IDs out of a message: its aad covers no recipients, and this is what another library
// would write.
func (c *confidential) unnamed(doc []byte) []byte {
	c.t.Helper()
	data := string(doc[bytes.Index(doc, []byte(`"data":`))+len(`"data":`):])
	for strings.Contains(data, `,"kid":"`) {
		before, rest, _ := strings.Cut(data, `,"kid":"`)
		data = before + rest[strings.Index(rest, `"`)+1:]
	}
	return c.signed("application/jose+json", data[:strings.LastIndex(data, `"tag":"`)+len(`"tag":"`)+22]+`"}`,
		`"jwe"`)
}

// One event costs four calls of services at most, key agreements included, however many identities and
// recipients there are.
func TestBudgetOfKeyAgreements(t *testing.T) {
	c := newConfidential(t)
	key := jwe.NewContentKey()
	var to []jwe.WrappedKey
	for range jwe.MaxRecipients {
		to = append(to, c.wrapped(key, newIdentity(t, keys.P256), "another"))
	}
	doc := c.unnamed(c.whole(`1`, key, to...))
	var calls atomic.Int64
	var identities []keys.Identity
	for range 20 {
		identities = append(identities, &elsewhere{Identity: newIdentity(t, keys.P256), calls: &calls})
	}
	_, err := c.open(doc, c.decrypter(identities...), fixedNow)
	wantReason(t, err, envelope.ReasonTooLarge)
	if calls.Load() != envelope.MaxServiceCalls {
		t.Errorf("%d key agreements in a service for one event, want %d", calls.Load(),
			envelope.MaxServiceCalls)
	}
}

// The budget is one for all services, and asking once more is a call as well. An entry that names a key pair
// goes first.
func TestBudgetIsShared(t *testing.T) {
	c := newConfidential(t)
	key := jwe.NewContentKey()
	junk := c.junkForService(key, envelope.MaxServiceCalls)
	genuine := c.wrapped(key, c.p256, c.p256.Recipient().KeyID())
	// as if the service answered wrongly
	misnamed := c.wrapped(key, newIdentity(t, keys.P256), c.p256.Recipient().KeyID())
	for name, test := range map[string]struct {
		to             []jwe.WrappedKey
		services, pair int64 // calls
		want           envelope.Reason
	}{
		"the last one opens": {append(slices.Clone(junk), genuine), 0, 1, ""},
		"within the limit":   {junk, 4, 0, envelope.ReasonDecryptFailed},
		"no call to ask once more": {append(slices.Clone(junk[1:]), misnamed), 3, 1,
			envelope.ReasonKMSUnavailable},
		"one call to ask once more": {append(slices.Clone(junk[2:]), misnamed), 2, 2,
			envelope.ReasonKMSUnavailable},
		"two wrong, and the right": {[]jwe.WrappedKey{misnamed, misnamed, genuine}, 0, 3, ""},
		"wrong, and then too many": {append(slices.Clone(junk), misnamed, misnamed), 2, 2,
			envelope.ReasonKMSUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			service := keystest.NewService(c.service.KeyID())
			pair := &elsewhere{Identity: c.p256, calls: new(atomic.Int64)}
			d := c.decryptWith(envelope.DecryptWith{Services: []keys.ServiceIdentity{service},
				Identities: keys.OpenWith(pair)})
			_, err := c.open(c.whole(`1`, key, test.to...), d, fixedNow)
			wantReason(t, err, test.want)
			if service.Calls("test:DecryptKey") != test.services || pair.calls.Load() != test.pair {
				t.Errorf("%d and %d calls, want %d and %d", service.Calls("test:DecryptKey"),
					pair.calls.Load(), test.services,
					test.pair)
			}
		})
	}
}

// A content key at hand makes an event cheaper. It does not change the verdict.
func TestBudgetIsTheSameWithWhatIsAtHand(t *testing.T) {
	c := newConfidential(t)
	key := jwe.NewContentKey()
	genuine := c.wrappedByService(key)
	d := c.decryptWith(envelope.DecryptWith{Services: []keys.ServiceIdentity{c.service}})
	at := func(position int) []byte {
		return c.whole(`1`, key, append(c.junkForService(key, position-1), genuine)...)
	}
	_, err := c.open(at(envelope.MaxServiceCalls), d, fixedNow)
	wantReason(t, err, "") // and the key is at hand
	_, err = c.open(at(envelope.MaxServiceCalls+1), d, fixedNow)
	wantReason(t, err, envelope.ReasonTooLarge)
	d.Forget()
	_, err = c.open(at(envelope.MaxServiceCalls+1), d, fixedNow)
	wantReason(t, err, envelope.ReasonTooLarge)
}

// One wrong answer of a service is asked for once more. It is no verdict, and nothing remembers it.
func TestWrongAnswerOfAService(t *testing.T) {
	c := newConfidential(t)
	key := jwe.NewContentKey()
	other := bytes.Repeat([]byte{7}, 32)
	type identity struct {
		d     *envelope.Decrypter
		calls func() int64
	}
	symmetric := func(wrong int64, with []byte) identity {
		s := &oddService{c.service, nil}
		before := c.service.Calls("test:DecryptKey")
		s.answer = func(n int64, right []byte) []byte { return wrongAt(wrong, with)(n-before, right) }
		return identity{c.decryptWith(envelope.DecryptWith{Services: []keys.ServiceIdentity{s}}),
			func() int64 { return c.service.Calls("test:DecryptKey") - before }}
	}
	agreement := func(wrong int64, with []byte) identity {
		e := &elsewhere{c.p256, new(atomic.Int64), wrongAt(wrong, with)}
		return identity{c.decrypter(e), e.calls.Load}
	}
	toService := c.whole(`{"a":1}`, key, c.wrappedByService(key))
	toPair := c.whole(`{"a":1}`, key, c.wrapped(key, c.p256, c.p256.Recipient().KeyID()))
	for name, test := range map[string]struct {
		open func(wrong int64, with []byte) identity
		doc  []byte
		with []byte
	}{
		"another key":             {symmetric, toService, other},
		"zeros":                   {symmetric, toService, make([]byte, 32)},
		"too short":               {symmetric, toService, other[1:]},
		"another secret":          {agreement, toPair, other},
		"what the client refuses": {symmetric, toService, nil},
		"an agreement on zeros":   {agreement, toPair, make([]byte, 32)},
		"a secret of 31 bytes":    {agreement, toPair, other[1:]},
		"a secret that is empty":  {agreement, toPair, nil},
	} {
		t.Run(name, func(t *testing.T) {
			once := test.open(1, test.with)
			for range 3 {
				_, err := c.open(test.doc, once.d, fixedNow)
				wantReason(t, err, "")
			}
			if once.calls() != 2 {
				t.Errorf("wrong once: %d calls, want 2", once.calls())
			}
			twice := test.open(2, test.with)
			_, err := c.open(test.doc, twice.d, fixedNow)
			wantReason(t, err, envelope.ReasonKMSUnavailable)
			if twice.calls() != 2 {
				t.Errorf("wrong twice: %d calls, want 2", twice.calls())
			}
			_, err = c.open(test.doc, twice.d, fixedNow) // it comes again, and the service has recovered
			wantReason(t, err, "")
		})
	}
}

// A commitment that no key fits is transient where a service answers, for it may be the one that is wrong,
// and permanent under a private key that is at hand. It takes the key at hand from no event of another
// producer.
func TestWrongCommitment(t *testing.T) {
	c := newConfidential(t)
	key, another := jwe.NewContentKey(), jwe.NewContentKey()
	entry, local := c.wrappedByService(key), c.wrapped(key, c.x25519, c.x25519.Recipient().KeyID())
	wrong := strings.NewReplacer(encodedCommitment(t, c.whole(`1`, key, entry)),
		encodedCommitment(t, c.whole(`1`, another, c.wrappedByService(another))))
	resigned := func(doc []byte) []byte {
		data := string(doc[bytes.Index(doc, []byte(`"data":`))+len(`"data":`):])
		return c.signed("application/jose+json",
			wrong.Replace(data[:strings.LastIndex(data, `"tag":"`)+len(`"tag":"`)+22])+`"}`, `"jwe"`)
	}
	d := c.decryptWith(envelope.DecryptWith{Services: []keys.ServiceIdentity{c.service},
		Identities: keys.OpenWith(c.x25519)})
	for range 2 {
		before := c.service.Calls("test:DecryptKey")
		_, err := c.open(resigned(c.whole(`1`, key, entry)), d, fixedNow)
		wantReason(t, err, envelope.ReasonKMSUnavailable)
		if n := c.service.Calls("test:DecryptKey") - before; n != 2 {
			t.Errorf("%d calls, want 2", n)
		}
	}
	_, err := c.open(resigned(c.whole(`1`, key, local)), d, fixedNow)
	wantReason(t, err, envelope.ReasonDecryptFailed)
}

// encodedCommitment is the text of the protected header, which has the commitment in it and nothing else that
// differs.
func encodedCommitment(t *testing.T, doc []byte) string {
	t.Helper()
	_, rest, ok := strings.Cut(string(doc), `"protected":"`)
	if !ok {
		t.Fatal("no protected header")
	}
	return rest[:strings.Index(rest, `"`)]
}

// Those who wait for one call share its wrong answer and the second call, and each holds both against its own
// event.
func TestWrongAnswerIsSharedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newConfidential(t)
		key := jwe.NewContentKey()
		entry := c.wrappedByService(key)
		var docs [][]byte
		for i := range 8 {
			docs = append(docs, c.whole(fmt.Sprint(i), key, entry))
		}
		going := make(chan struct{})
		c.service.Fail = func(context.Context, string) error { <-going; return nil } // one call for each value
		before := c.service.Calls("test:DecryptKey")
		s := &oddService{c.service,
			func(n int64, right []byte) []byte { return wrongAt(1, bytes.Repeat([]byte{7}, 32))(n-before, right) }}
		d := c.decryptWith(envelope.DecryptWith{Services: []keys.ServiceIdentity{s}})
		results := make(chan error, len(docs))
		for _, doc := range docs {
			go func() {
				_, err := c.open(doc, d, fixedNow)
				results <- err
			}()
		}
		for range 2 {
			synctest.Wait() // all wait for the call
			going <- struct{}{}
		}
		synctest.Wait()
		for range docs {
			wantReason(t, <-results, "")
		}
		if n := c.service.Calls("test:DecryptKey") - before; n != 2 {
			t.Errorf("%d calls for eight events under one content key, want 2", n)
		}
	})
}
