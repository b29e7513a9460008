package main

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"github.com/sealbus/sealbus/keys"
)

// way is one of the ways to sign and verify whole events by hand: the CloudEvents SDK writes and reads the
// event, and a library signs what it wrote. A verified event has passed the checks that no program can go
// without: the algorithm is allowed, the key is known by its ID and may speak for the source, and the event
// is fresh. None of them signs an event that a broker may re-format.
type way struct {
	name string
	sign func() []byte
	open func(wire []byte)
}

// openByHand and signByHand are in the name of an operation.
const (
	openByHand = "Open by hand: "
	signByHand = "Seal by hand: "
)

func (w way) rows(f *fixture) []row {
	wire := w.sign()
	return []row{
		{operation: &operation{name: f.label(signByHand + w.name), run: func() { w.sign() }}, beside: f.sign,
			peer: true},
		{operation: &operation{name: f.label(openByHand + w.name), run: func() { w.open(wire) }},
			beside: f.verify, peer: true},
	}
}

func (f *fixture) ways() []way {
	list := []way{f.goJose(), f.goJoseDetached(), f.jwx(), f.golangJWT()}
	if f.alg == keys.Ed25519 { // the library wants other ECDSA signatures than the rest has
		list = append(list, f.dsse())
	}
	return list
}

// json is the event as the SDK writes it.
func (f *fixture) json() []byte {
	body, err := json.Marshal(f.ev)
	must(err == nil)
	return body
}

// key is the public key of this ID, and the prefix of the sources that it may speak of.
func (f *fixture) key(id string) (public crypto.PublicKey, prefix string, err error) {
	if id != keyID {
		return nil, "", errors.New("unknown key")
	}
	return f.private.Public(), sources, nil
}

// accept reads and checks an event whose signature by the key of this ID was verified.
func (f *fixture) accept(body []byte, id string) event.Event {
	var ev event.Event
	must(json.Unmarshal(body, &ev) == nil)
	f.check(ev, id)
	return ev
}

func (f *fixture) check(ev event.Event, id string) {
	_, prefix, err := f.key(id)
	must(err == nil && ev.Validate() == nil && strings.HasPrefix(ev.Source(), prefix))
	age := time.Since(ev.Time())
	must(age < freshness && age > -clockSkew)
}

func (f *fixture) joseSigner() (jose.Signer, []jose.SignatureAlgorithm) {
	alg := jose.EdDSA
	if f.alg == keys.ES256 {
		alg = jose.ES256
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg,
		Key: jose.JSONWebKey{Key: f.private, KeyID: keyID}}, nil)
	must(err == nil)
	return signer, []jose.SignatureAlgorithm{alg}
}

func (f *fixture) goJose() way {
	signer, algs := f.joseSigner()
	return way{"go-jose",
		func() []byte {
			jws, err := signer.Sign(f.json())
			must(err == nil)
			text, err := jws.CompactSerialize()
			must(err == nil)
			return []byte(text)
		},
		func(wire []byte) { f.openJose(string(wire), algs) },
	}
}

func (f *fixture) openJose(text string, algs []jose.SignatureAlgorithm) event.Event {
	jws, err := jose.ParseSignedCompact(text, algs)
	must(err == nil && len(jws.Signatures) == 1)
	id := jws.Signatures[0].Header.KeyID
	public, _, err := f.key(id)
	must(err == nil)
	body, err := jws.Verify(public)
	must(err == nil)
	return f.accept(body, id)
}

// goJoseDetached sends the event as it is, and the signature beside it, as in a header. The wire is both with
// a line feed between them.
func (f *fixture) goJoseDetached() way {
	signer, algs := f.joseSigner()
	return way{"go-jose, detached",
		func() []byte {
			body := f.json()
			jws, err := signer.Sign(body)
			must(err == nil)
			text, err := jws.DetachedCompactSerialize()
			must(err == nil)
			return append(append([]byte(text), '\n'), body...)
		},
		func(wire []byte) {
			header, body, ok := strings.Cut(string(wire), "\n")
			must(ok)
			jws, err := jose.ParseDetached(header, []byte(body), algs)
			must(err == nil && len(jws.Signatures) == 1)
			id := jws.Signatures[0].Header.KeyID
			public, _, err := f.key(id)
			must(err == nil)
			verified, err := jws.Verify(public)
			must(err == nil)
			f.accept(verified, id)
		},
	}
}

func (f *fixture) jwx() way {
	alg := jwa.EdDSA()
	if f.alg == keys.ES256 {
		alg = jwa.ES256()
	}
	private, err := jwk.Import(f.private)
	must(err == nil && private.Set(jwk.KeyIDKey, keyID) == nil && private.Set(jwk.AlgorithmKey, alg) == nil)
	public, err := private.PublicKey()
	must(err == nil)
	set := jwk.NewSet()
	must(set.AddKey(public) == nil)
	return way{"jwx",
		func() []byte {
			text, err := jws.Sign(f.json(), jws.WithKey(alg, private))
			must(err == nil)
			return text
		},
		func(wire []byte) {
			var used jwk.Key
			body, err := jws.Verify(wire, jws.WithKeySet(set), jws.WithKeyUsed(&used))
			must(err == nil)
			id, ok := used.KeyID()
			must(ok)
			f.accept(body, id)
		},
	}
}

// claims are a JWT that carries an event.
type claims struct {
	jwt.RegisteredClaims
	Event event.Event `json:"event"`
}

func (f *fixture) golangJWT() way {
	var method jwt.SigningMethod = jwt.SigningMethodEdDSA
	if f.alg == keys.ES256 {
		method = jwt.SigningMethodES256
	}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{method.Alg()}), jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(), jwt.WithLeeway(clockSkew))
	return way{"golang-jwt",
		func() []byte {
			now := time.Now()
			token := jwt.NewWithClaims(method, claims{jwt.RegisteredClaims{
				IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(freshness)),
			}, f.ev})
			token.Header["kid"] = keyID
			text, err := token.SignedString(f.private)
			must(err == nil)
			return []byte(text)
		},
		func(wire []byte) {
			var c claims
			var id string
			_, err := parser.ParseWithClaims(string(wire), &c, func(token *jwt.Token) (any, error) {
				id, _ = token.Header["kid"].(string)
				public, _, err := f.key(id)
				return public, err
			})
			must(err == nil)
			f.check(c.Event, id)
		},
	}
}

// dsseKey is the DSSE library's view of an Ed25519 key.
type dsseKey struct{ private ed25519.PrivateKey }

func (k dsseKey) Sign(_ context.Context, data []byte) ([]byte, error) {
	return ed25519.Sign(k.private, data), nil
}

func (k dsseKey) Verify(_ context.Context, data, sig []byte) error {
	if !ed25519.Verify(k.private.Public().(ed25519.PublicKey), data, sig) {
		return errors.New("bad signature")
	}
	return nil
}

func (k dsseKey) KeyID() (string, error)   { return keyID, nil }
func (k dsseKey) Public() crypto.PublicKey { return k.private.Public() }

func (f *fixture) dsse() way {
	const payloadType = "application/cloudevents+json"
	key := dsseKey{f.private.(ed25519.PrivateKey)}
	signer, err := dsse.NewEnvelopeSigner(key)
	must(err == nil)
	verifier, err := dsse.NewEnvelopeVerifier(key)
	must(err == nil)
	return way{"DSSE library",
		func() []byte {
			env, err := signer.SignPayload(context.Background(), payloadType, f.json())
			must(err == nil)
			text, err := json.Marshal(env)
			must(err == nil)
			return text
		},
		func(wire []byte) {
			var env dsse.Envelope
			must(json.Unmarshal(wire, &env) == nil && env.PayloadType == payloadType)
			accepted, body, err := verifier.VerifyAndDecode(context.Background(), &env)
			must(err == nil && len(accepted) == 1)
			f.accept(body, accepted[0].KeyID)
		},
	}
}
