package authn

import (
	"cmp"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/fetch"
	"github.com/sealbus/sealbus/internal/jitter"
	"github.com/sealbus/sealbus/internal/jsontext"
)

// The limits of key sets. Each fails closed.
const (
	maxKeySet  = 1 << 20 // bytes: 64 keys with their certificates have some 300 KiB
	maxKeys    = 256     // entries of a set, keys for other uses included
	maxKeyID   = 256     // bytes: it is logged
	minRSABits = 2048    // NIST SP 800-131A
	maxRSABits = 8192    // a signature under a key of 16,384 bits takes four times as long to verify
	// maxExponentBits is what crypto/rsa takes.
	maxExponentBits = 31

	// maxAge is how long keys are used after they were asked for. A key that the issuer took away is refused
	// after that time at the latest, also if the issuer fails.
	maxAge = 15 * time.Minute
	// refreshAge is when newer keys are asked for: early, so that an outage of ten minutes does no harm.
	refreshAge = 5 * time.Minute
	// minInterval is the least time between two requests, for whatever reason. A stranger can invent key IDs.
	// Each request renews all keys: so one that a stranger caused delays nothing.
	minInterval = 30 * time.Second
	// timeout is how long one request may take.
	timeout = 10 * time.Second
	// maxWaiting is how many callers wait for a request that is under way. Each may hold a token of 16 KiB.
	maxWaiting = 256
)

// Keys are the public keys of an issuer: a JWK Set (RFC 7517). It is safe for concurrent use.
type Keys struct {
	fixed   map[string]*publicKey // nil = they are fetched
	origin  *fetch.HTTPS
	now     func() time.Time
	shared  *fetch.Shared[keyState]
	waiting atomic.Int32
}

// KeyOptions are optional settings of FetchKeys.
type KeyOptions struct {
	// Now is the clock; nil = time.Now.
	Now func() time.Time
	// Client fetches the keys. Its transport can have a TLS configuration or a proxy of your own; nil = a
	// client that trusts the system's certificate authorities.
	Client *http.Client
	// UnsafeAllowHTTP permits a URL that begins with http://. An attacker on the network can then replace the
	// keys, and issue tokens.
	UnsafeAllowHTTP bool
}

// publicKey is a key and the one algorithm that it is for. key is *rsa.PublicKey, *ecdsa.PublicKey on P-256
// or ed25519.PublicKey.
type publicKey struct {
	id          string
	alg         string
	key         any
	publishedBy string // the program that publishes the private half; "" = none
}

// equal reports whether an issuer that has both keys means one: it lists it twice.
func (k *publicKey) equal(other *publicKey) bool {
	key, ok := k.key.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.id == other.id && k.alg == other.alg && key.Equal(other.key)
}

// keyState is immutable.
type keyState struct {
	keys    map[string]*publicKey // nil = none were fetched
	etag    string
	checked time.Time // when the request began that the issuer last answered well; zero = never
	tried   time.Time // when the last request began
	jitter  float64   // within [0,1), drawn with each answer
	err     error     // how the last request failed
}

// ParseKeys reads a JWK Set, of at most 1 MiB. It is not renewed: a key that the issuer takes away is used
// until the program ends.
//
// Keys for something else than RS256, ES256 and EdDSA signatures are skipped, as RFC 7517, section 5 asks.
// So are entries that cannot be read, RSA keys of fewer than 2,048 or more than 8,192 bits, and those with an
// even modulus or exponent. Certificates are not read. These are errors: two usable keys of one ID that
// differ, a private key, a member that stands twice, and a set without a usable key.
func ParseKeys(jwks []byte) (*Keys, error) {
	keys, err := parseKeySet(jwks)
	if err != nil {
		return nil, fmt.Errorf("authn: the key set: %w", err)
	}
	return &Keys{fixed: keys}, nil
}

// FetchKeys follows the JWK Set at an https URL, which is the operator's own: no token names it. Nothing is
// fetched before the first token. Newer keys are asked for after five minutes, and for a key ID that is not
// known, at most once in 30 s. Keys are used for at most 15 minutes after they were asked for.
func FetchKeys(url string, opts *KeyOptions) (*Keys, error) {
	if opts == nil {
		opts = &KeyOptions{}
	}
	origin, err := fetch.New(url, "key set", opts.Client, opts.UnsafeAllowHTTP)
	if err != nil {
		return nil, fmt.Errorf("authn: %w", err)
	}
	k := &Keys{origin: origin, now: opts.Now}
	if k.now == nil {
		k.now = wallClock
	}
	k.shared = fetch.NewShared(new(keyState), k.now, timeout, k.ask)
	return k, nil
}

// wallClock goes on in a frozen process, unlike the monotonic clock.
func wallClock() time.Time { return time.Now().Round(0) }

// key is the key of that ID, or an *Error.
func (k *Keys) key(ctx context.Context, kid string) (*publicKey, error) {
	if k.fixed != nil {
		return known(k.fixed, kid)
	}
	state := k.shared.State()
	if isDue(state, k.now()) {
		err := k.await(ctx, isDue, func(s *keyState) (can, failing bool) {
			can = s.isLive(k.now())
			return can, can // callers with good keys do not wait for newer ones, but for the one that asks
		})
		state = k.shared.State()
		if err != nil && !state.isLive(k.now()) {
			return nil, unavailable(err)
		}
	}
	if key := state.keys[kid]; key != nil && state.isLive(k.now()) {
		return key, nil
	}
	return k.strange(ctx, kid)
}

// strange looks for a key whose ID is not known: a stranger invented it, or the issuer has a new key. It asks
// for newer keys now and then.
func (k *Keys) strange(ctx context.Context, kid string) (*publicKey, error) {
	err := k.await(ctx, func(s *keyState, now time.Time) bool {
		return (s.keys[kid] == nil || !s.isLive(now)) && mayAsk(s, now)
	}, nil)
	state := k.shared.State()
	isLive := state.isLive(k.now())
	switch {
	case err != nil:
		return nil, unavailable(err)
	case isLive && (state.err == nil || state.keys[kid] != nil):
		return known(state.keys, kid)
	case state.err != nil:
		return nil, unavailable(state.err)
	}
	return nil, unavailable(errors.New("they were fetched too long ago"))
}

// await has a bounded number of callers wait for a request, so that a flood cannot fill the memory while the
// issuer is slow.
func (k *Keys) await(ctx context.Context, due func(*keyState, time.Time) bool,
	goOn func(*keyState) (can, failing bool),
) error {
	defer k.waiting.Add(-1)
	if k.waiting.Add(1) > maxWaiting {
		return errors.New("many callers wait for them already")
	}
	return k.shared.Await(ctx, due, goOn)
}

func known(keys map[string]*publicKey, kid string) (*publicKey, error) {
	if key := keys[kid]; key != nil {
		return key, nil
	}
	return nil, refuse(envelope.ReasonUnknownKey, "kid",
		"the issuer has no key for signatures with the ID %.80q", kid)
}

func unavailable(err error) *Error {
	return refuse(envelope.ReasonTrustUnavailable, "kid", "the keys of the issuer cannot be had: %w", err)
}

// isLive reports whether the keys may be used. The clock was set back if they are from the future: their age
// is not known then.
func (s *keyState) isLive(now time.Time) bool {
	return s.keys != nil && !fetch.Since(s.checked, now, maxAge)
}

// isDue is a little early, at random, so that many programs do not ask at once.
func isDue(s *keyState, now time.Time) bool {
	age := refreshAge - time.Duration(s.jitter*float64(refreshAge)/10)
	return fetch.Since(s.checked, now, age) && mayAsk(s, now)
}

// mayAsk is the limit on how often the issuer is asked, for any reason.
func mayAsk(s *keyState, now time.Time) bool { return fetch.Since(s.tried, now, minInterval) }

// ask is the state after asking the issuer once. The answer dates from when it was asked for.
func (k *Keys) ask(ctx context.Context, was *keyState) *keyState {
	next := *was
	next.tried, next.jitter = k.now(), jitter.Draw(ctx)
	if next.err = k.adopt(ctx, &next); next.err != nil {
		next.err = fmt.Errorf("%s: %w", k.origin, next.err)
		next.etag = ""
		return &next
	}
	next.checked = next.tried
	return &next
}

func (k *Keys) adopt(ctx context.Context, state *keyState) error {
	got, err := k.origin.Fetch(ctx, state.etag)
	switch {
	case err != nil:
		return err
	case got.Body == nil && (state.etag == "" || state.keys == nil):
		return errors.New("the answer is that nothing changed, which was not asked")
	case got.Body == nil:
		return nil
	}
	text, err := fetch.Read(got.Body, got.Length, maxKeySet)
	if err != nil {
		return err
	}
	keys, err := parseKeySet(text)
	if err != nil {
		return err
	}
	state.keys, state.etag = keys, got.ETag
	return nil
}

// parseKeySet reads a JWK Set (RFC 7517, section 5).
func parseKeySet(text []byte) (map[string]*publicKey, error) {
	if len(text) > maxKeySet {
		return nil, fmt.Errorf("more than %d bytes", maxKeySet)
	}
	keys := make(map[string]*publicKey)
	n := 0
	d := jsontext.NewDecoder(text)
	for o := d.Object(); d.Member(&o); {
		if string(o.Name) != "keys" {
			d.SkipValue()
			continue
		}
		for a := d.Array(); d.Element(&a); {
			if n++; n > maxKeys {
				d.Failf("more than %d keys", maxKeys)
			}
			key, err := parseKey(d.ReadValue())
			switch {
			case d.Err() != nil:
			case err != nil:
				d.Fail(err)
			case key == nil:
			case keys[key.id] != nil:
				if !key.equal(keys[key.id]) {
					d.Failf("two keys have the ID %.80q", key.id)
				}
			default:
				keys[key.id] = key
			}
		}
	}
	switch err := d.End(); {
	case err != nil:
		return nil, err
	case len(keys) == 0:
		return nil, errors.New("it has no key for signatures by RS256, ES256 or EdDSA that has an ID")
	}
	return keys, nil
}

// parseKey reads a JWK. The key is nil if it is not one that can verify signatures of tokens. One that cannot
// be read is such a key: it does not take the others away (RFC 7517, section 5).
func parseKey(text []byte) (*publicKey, error) {
	h, err := readJWK(text)
	switch {
	case h.private:
		return nil, errors.New("it has a private key: the issuer has lost it, or this is the wrong file")
	case err != nil:
		return nil, nil
	}
	want := map[string][]string{"RSA": {"RS256"}, "EC P-256": {"ES256"}, "OKP Ed25519": {"EdDSA", "Ed25519"}}
	kind := h.kty
	if h.crv != "" {
		kind += " " + h.crv
	}
	alg := ""
	for _, a := range want[kind] {
		if h.alg == "" || h.alg == a {
			alg = cmp.Or(h.alg, a)
			break
		}
	}
	if alg == "" || h.use != "" && h.use != "sig" || !h.verifies || !isKeyID(h.kid) {
		return nil, nil
	}
	key := h.publicKey()
	if key == nil {
		return nil, nil
	}
	return newPublicKey(h.kid, alg, key), nil
}

// jwkHead is a JWK without what does not matter here. Certificates (x5c, x5t) are such: a broken one, or one
// that Go does not read, does not make the key unusable.
type jwkHead struct {
	kty, use, alg, kid, crv string
	n, e, x, y              string
	verifies, private       bool
}

func readJWK(text []byte) (h jwkHead, err error) {
	h.verifies = true
	fields := map[string]*string{"kty": &h.kty, "use": &h.use, "alg": &h.alg, "kid": &h.kid, "crv": &h.crv,
		"n": &h.n, "e": &h.e, "x": &h.x, "y": &h.y}
	d := jsontext.NewDecoder(text)
	for o := d.Object(); d.Member(&o); {
		name := string(o.Name)
		switch field := fields[name]; {
		case d.PeekKind() == 'n': // as some issuers write members that they do not have
			d.SkipValue()
		case field != nil:
			*field = d.String()
		case name == "key_ops":
			h.verifies = false
			for a := d.Array(); d.Element(&a); {
				h.verifies = d.String() == "verify" || h.verifies
			}
		default:
			h.private = h.private || slices.Contains([]string{"d", "k", "p", "q"}, name)
			d.SkipValue()
		}
	}
	return h, d.End()
}

// publicKey is the key, or nil if it is none, or a weak one.
func (h *jwkHead) publicKey() any {
	if h.kty == "RSA" {
		return h.rsaKey()
	}
	text := []byte(`{"kty":`)
	for i, s := range []string{h.kty, "crv", h.crv, "x", h.x, "y", h.y} {
		text = jsontext.AppendQuote(text, s)
		text = append(text, ",:"[i%2])
	}
	text[len(text)-1] = '}'
	var jwk jose.JSONWebKey
	if jwk.UnmarshalJSON(text) != nil || !jwk.Valid() || !jwk.IsPublic() {
		return nil
	}
	switch key := jwk.Key.(type) {
	case *ecdsa.PublicKey:
		if key.Curve == elliptic.P256() {
			return key
		}
	case ed25519.PublicKey:
		return key
	}
	return nil
}

// rsaKey reads the key here, because go-jose reads none of more than 4,096 bits.
func (h *jwkHead) rsaKey() any {
	n, err := jsontext.Base64URL.AppendDecode(nil, []byte(h.n))
	e, errE := jsontext.Base64URL.AppendDecode(nil, []byte(h.e))
	modulus, exponent := new(big.Int).SetBytes(n), new(big.Int).SetBytes(e)
	bits := modulus.BitLen()
	if err != nil || errE != nil || bits < minRSABits || bits > maxRSABits || modulus.Bit(0) == 0 ||
		exponent.BitLen() < 2 || exponent.BitLen() > maxExponentBits || exponent.Bit(0) == 0 {
		return nil
	}
	return &rsa.PublicKey{N: modulus, E: int(exponent.Int64())}
}

// isKeyID reports whether a key ID can be looked up and logged: it is printable ASCII without spaces.
func isKeyID(kid string) bool {
	for i := range len(kid) {
		if kid[i] <= ' ' || kid[i] > '~' {
			return false
		}
	}
	return kid != "" && len(kid) <= maxKeyID
}
