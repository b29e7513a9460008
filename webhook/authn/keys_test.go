package authn_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/testbed/cases"
	"github.com/sealbus/sealbus/webhook/authn"
)

// issuerSite is the key set of an issuer, and a clock. It is the transport of the client.
type issuerSite struct {
	mu      sync.Mutex
	now     time.Time
	body    string
	status  int
	asked   []time.Time
	blocked chan struct{} // nil = it answers at once
	slow    time.Duration // an answer takes so long
}

func (s *issuerSite) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *issuerSite) pass(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

func (s *issuerSite) serve(status int, keys ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status, s.body = status, string(jwks(keys...))
}

func (s *issuerSite) times() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.asked)
}

func (s *issuerSite) RoundTrip(req *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if req.URL.String() != issuer+"/jwks.json" {
		return nil, errors.New("another address")
	}
	s.asked = append(s.asked, s.now)
	s.now = s.now.Add(s.slow)
	if s.blocked != nil {
		blocked := s.blocked
		s.mu.Unlock()
		<-blocked
		s.mu.Lock()
	}
	return &http.Response{StatusCode: s.status, Header: http.Header{}, ContentLength: -1,
		Body: io.NopCloser(strings.NewReader(s.body)), Request: req}, nil
}

// newSite is an issuer with the key "r", and a verifier that follows it.
func newSite(t testing.TB) (*issuerSite, *authn.Verifier) {
	t.Helper()
	s := &issuerSite{now: at}
	s.serve(http.StatusOK, rKey())
	keys, err := authn.FetchKeys(issuer+"/jwks.json", &authn.KeyOptions{Now: s.clock,
		Client: &http.Client{Transport: s}})
	if err != nil {
		t.Fatal(err)
	}
	v, err := authn.New(issuer, keys, &authn.Options{ClientIDs: []string{"c1"}})
	if err != nil {
		t.Fatal(err)
	}
	return s, v
}

func rKey() string { return jwk("r", "RS256", &testKeys().rsa.PublicKey) }
func eKey() string { return jwk("e", "ES256", &testKeys().ec.PublicKey) }

const longLived = "1789999999" // exp of tokens in tests in which time passes

func rToken() string { return token("r", rs256, claims("exp", longLived)) }
func eToken() string { return token("e", `{"kid":"e","alg":"ES256"}`, claims("exp", longLived)) }

// stranger is a token under an invented key ID.
func stranger(n int) string {
	header := `{"alg":"RS256","kid":"x` + strconv.Itoa(n) + `"}`
	return base64.RawURLEncoding.EncodeToString([]byte(header)) + ".e30.AAAA"
}

// TestStorm: 1,000,000 random tokens in ten minutes cost at most 2 requests a minute, and no memory. Most
// have random key IDs. Tokens of a known key are verified meanwhile, and those of a key that is rotated in
// within 30 s.
func TestStorm(t *testing.T) {
	s, v := newSite(t)
	known, rotated := rToken(), eToken()
	wantReason(t, "before", errOf(v.Verify(t.Context(), known, s.clock())), "", "")
	n := cases.Of(1_000_000)
	step := 10 * time.Minute / time.Duration(n)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var rotatedAt, worksAt time.Time
	for i := range n {
		s.pass(step)
		if i == n/2+n/77 { // at no round time
			s.serve(http.StatusOK, rKey(), eKey())
			rotatedAt = s.clock()
		}
		text, want := stranger(i), envelope.ReasonUnknownKey
		switch {
		case i%64 == 1: // some name a known key, which costs the check of a signature
			text, want = known[:len(known)-8]+fmt.Sprintf("%07dA", i), envelope.ReasonBadSignature
		case i%8 == 1:
			text, want = text[:len(text)/2]+strconv.Itoa(i), envelope.ReasonMalformed
		}
		_, err := v.Verify(t.Context(), text, s.clock())
		if e, ok := err.(*authn.Error); !ok || e.Reason != want {
			t.Fatalf("token %d: %v", i, err)
		}
		if i%(n/1000) == 0 {
			wantReason(t, "known", errOf(v.Verify(t.Context(), known, s.clock())), "", "")
			if _, err := v.Verify(t.Context(), rotated, s.clock()); err == nil && worksAt.IsZero() {
				worksAt = s.clock()
			}
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 8<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
	if worksAt.IsZero() || worksAt.Sub(rotatedAt) > 31*time.Second {
		t.Errorf("rotated in at %s, works at %s", rotatedAt, worksAt)
	}
	for i := 2; i < len(s.asked); i++ {
		if d := s.asked[i].Sub(s.asked[i-2]); d < time.Minute {
			t.Errorf("three requests within %s", d)
		}
	}
	if len(s.asked) < 15 {
		t.Errorf("%d requests in ten minutes: the storm asked nothing", len(s.asked))
	}
}

func errOf(_ *authn.Identity, err error) error { return err }

// TestRemovedKey: a key that the issuer took away is refused within 15 minutes, whether the issuer answers or
// fails, and whether or not strangers attack.
func TestRemovedKey(t *testing.T) {
	for _, status := range []int{http.StatusOK, http.StatusInternalServerError} {
		for _, attacked := range []bool{false, true} {
			s, v := newSite(t)
			text := rToken()
			wantReason(t, "before", errOf(v.Verify(t.Context(), text, s.clock())), "", "")
			s.serve(status, eKey())
			for n := range 29 { // 14.5 minutes
				s.pass(30 * time.Second)
				if attacked {
					_, _ = v.Verify(t.Context(), stranger(n), s.clock())
				}
				if status != http.StatusOK {
					wantReason(t, "an outage", errOf(v.Verify(t.Context(), text, s.clock())), "", "")
				}
			}
			s.pass(30 * time.Second)
			want := envelope.ReasonUnknownKey
			if status != http.StatusOK {
				want = envelope.ReasonTrustUnavailable
			}
			wantReason(t, "after 15 minutes", errOf(v.Verify(t.Context(), text, s.clock())), want, "kid")
			s.serve(http.StatusOK, rKey())
			s.pass(30 * time.Second)
			wantReason(t, "when it is back", errOf(v.Verify(t.Context(), text, s.clock())), "", "")
		}
	}
}

// TestAgeCountsFromTheRequest: an answer that was long under way is as old as the request for it.
func TestAgeCountsFromTheRequest(t *testing.T) {
	s, v := newSite(t)
	s.slow = 9 * time.Second
	wantReason(t, "before", errOf(v.Verify(t.Context(), rToken(), s.clock())), "", "")
	s.serve(http.StatusInternalServerError)
	s.slow = 0
	s.pass(15*time.Minute - 10*time.Second)
	wantReason(t, "14:59", errOf(v.Verify(t.Context(), rToken(), s.clock())), "", "")
	s.pass(time.Second)
	wantReason(t, "15:00", errOf(v.Verify(t.Context(), rToken(), s.clock())),
		envelope.ReasonTrustUnavailable, "kid")
}

// TestBadSignaturesAskNothing: a bad signature under a known key ID causes no request.
func TestBadSignaturesAskNothing(t *testing.T) {
	s, v := newSite(t)
	wantReason(t, "before", errOf(v.Verify(t.Context(), rToken(), s.clock())), "", "")
	bad := token("d", rs256, claims())
	for range 100 {
		s.pass(time.Second)
		wantReason(t, "bad", errOf(v.Verify(t.Context(), bad, s.clock())), envelope.ReasonBadSignature, "signature")
	}
	if n := s.times(); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// TestFailingIssuer: an answer that is no key set keeps the keys that are known, and says so to a stranger by
// a transient Reason. It is asked again after 30 s.
func TestFailingIssuer(t *testing.T) {
	for name, body := range map[string]string{"empty": "", "no set": "[]",
		"two of one ID": string(jwks(rKey(), jwk("r", "RS256", &testKeys().other.PublicKey))),
		"no keys":       `{"keys":[]}`, "too large": `{"keys":[],"x":"` + strings.Repeat("x", 1<<20) + `"}`,
		"private": `{"keys":[{"kty":"oct","k":"AAAA","kid":"x"}]}`} {
		s, v := newSite(t)
		wantReason(t, name, errOf(v.Verify(t.Context(), rToken(), s.clock())), "", "")
		s.body = body
		s.pass(30 * time.Second)
		wantReason(t, name+", stranger", errOf(v.Verify(t.Context(), stranger(1), s.clock())),
			envelope.ReasonTrustUnavailable, "kid")
		wantReason(t, name+", known", errOf(v.Verify(t.Context(), rToken(), s.clock())), "", "")
		if n := s.times(); n != 2 {
			t.Errorf("%s: %d requests", name, n)
		}
	}
}

// TestKnownKeysDoNotWait: while the issuer does not answer, one caller waits, as long as its context lets it,
// and the others go on with the keys that are known.
func TestKnownKeysDoNotWait(t *testing.T) {
	s, v := newSite(t)
	wantReason(t, "before", errOf(v.Verify(t.Context(), rToken(), s.clock())), "", "")
	s.mu.Lock()
	s.blocked = make(chan struct{})
	s.mu.Unlock()
	s.pass(6 * time.Minute)
	done := make(chan error)
	go func() { done <- errOf(v.Verify(t.Context(), rToken(), s.clock())) }()
	for s.times() < 2 {
		runtime.Gosched()
	}
	for range 100 {
		wantReason(t, "meanwhile", errOf(v.Verify(t.Context(), rToken(), s.clock())), "", "")
	}
	close(s.blocked)
	wantReason(t, "the one that waits", <-done, "", "")
}

// TestManyWait: of 300 callers without keys, 256 wait for the issuer, and the others come again later.
func TestManyWait(t *testing.T) {
	text := rToken()
	synctest.Test(t, func(t *testing.T) {
		s, v := newSite(t)
		s.blocked = make(chan struct{})
		done := make(chan error, 300)
		for range cap(done) {
			go func() { done <- errOf(v.Verify(t.Context(), text, s.clock())) }()
		}
		synctest.Wait()
		if len(done) != 300-256 {
			t.Errorf("%d callers did not wait", len(done))
		}
		for range len(done) {
			wantReason(t, "too many", <-done, envelope.ReasonTrustUnavailable, "kid")
		}
		close(s.blocked)
		synctest.Wait()
		for range len(done) {
			wantReason(t, "waited", <-done, "", "")
		}
	})
}

// rsaOf is a JWK with a modulus of that many bits, which no signature verifies under.
func rsaOf(bits, lowest int, e string) string {
	n := make([]byte, bits/8)
	n[0], n[len(n)-1] = 0x80, byte(lowest)
	return `{"kty":"RSA","kid":"x","use":"sig","alg":"RS256","e":"` + e + `","n":"` +
		base64.RawURLEncoding.EncodeToString(n) + `"}`
}

// TestWeakKeys: keys that no verification should rest on are skipped, and so are those that are none.
func TestWeakKeys(t *testing.T) {
	k := testKeys()
	e := eKey()
	y := e[strings.Index(e, `"y":"`)+5:][:43]
	zero := strings.Repeat("A", 43)
	ed := jwk("d", "EdDSA", k.ed.Public())
	for name, c := range map[string]struct {
		key    string
		usable bool
	}{
		"2,048 bits": {rsaOf(2048, 1, "AQAB"), true}, "2,040 bits": {rsaOf(2040, 1, "AQAB"), false},
		"8,192 bits": {rsaOf(8192, 1, "AQAB"), true}, "8,200 bits": {rsaOf(8200, 1, "AQAB"), false},
		"even modulus": {rsaOf(2048, 2, "AQAB"), false}, "even exponent": {rsaOf(2048, 1, "AQAA"), false},
		"exponent 3": {rsaOf(2048, 1, "Aw"), true}, "exponent 1": {rsaOf(2048, 1, "AQ"), false},
		"exponent 0": {rsaOf(2048, 1, "AA"), false}, "no exponent": {rsaOf(2048, 1, ""), false},
		"padded": {rsaOf(2048, 1, "AQAB="), false}, "exponent 2^32 + 1": {rsaOf(2048, 1, "AQAAAAE"), false},
		"exponent 2^64 + 1": {rsaOf(2048, 1, "AQAAAAAAAAAB"), false},
		"P-256":             {e, true}, "off the curve": {strings.Replace(e, y, zero, 1), false},
		"short y": {strings.Replace(e, y, y[:40], 1), false}, "no y": {strings.Replace(e, `"y"`, `"z"`, 1), false},
		"P-256 as P-384": {strings.Replace(e, "P-256", "P-384", 1), false},
		"ES384":          {strings.Replace(e, "ES256", "ES384", 1), false},
		"RS256 of P-256": {strings.Replace(e, "ES256", "RS256", 1), false},
		"alg case":       {strings.Replace(e, "ES256", "es256", 1), false},
		"use case":       {strings.Replace(e, `"sig"`, `"Sig"`, 1), false},
		"no use":         {strings.Replace(e, `"use":"sig",`, "", 1), true},
		"EC as RSA":      {strings.Replace(e, `"EC"`, `"RSA"`, 1), false},
		"Ed25519":        {ed, true}, "X25519": {strings.Replace(ed, "Ed25519", "X25519", 1), false},
		"Ed25519 as alg": {strings.Replace(ed, "EdDSA", "Ed25519", 1), true},
		"short x":        {strings.Replace(ed, `"x":"`, `"x":"A`, 1), false},
	} {
		if _, err := authn.ParseKeys(jwks(c.key)); (err == nil) != c.usable {
			t.Errorf("%s: %v, %.200s", name, err, c.key)
		}
		if _, err := authn.ParseKeys(jwks(c.key, rKey())); err != nil {
			t.Errorf("%s takes the others away: %v", name, err)
		}
	}
}

// TestParseKeys: keys that are for something else are skipped, and a set that could be read in two ways is
// refused.
func TestParseKeys(t *testing.T) {
	k := testKeys()
	short := jwk("s", "RS256", &k.short.PublicKey)
	enc := strings.Replace(rKey(), `"use":"sig"`, `"use":"enc"`, 1)
	for name, c := range map[string]struct {
		keys   []string
		usable bool
	}{
		"one":            {[]string{rKey()}, true},
		"a short one":    {[]string{short}, false},
		"short, and one": {[]string{short, rKey()}, true},
		"encryption":     {[]string{enc}, false},
		"another alg":    {[]string{jwk("r", "RS512", &k.rsa.PublicKey)}, false},
		"no alg":         {[]string{jwk("r", "", &k.rsa.PublicKey)}, true},
		"no ID":          {[]string{jwk("", "RS256", &k.rsa.PublicKey)}, false},
		"unknown kty":    {[]string{`{"kty":"AKP","alg":"ML-DSA-65","kid":"m","pub":"AA"}`, rKey()}, true},
		"two of one ID":  {[]string{rKey(), jwk("r", "RS256", &k.other.PublicKey)}, false},
		"private":        {[]string{jwk("x", "RS256", k.rsa), rKey()}, false},
		"secret":         {[]string{`{"kty":"oct","k":"AAAA","kid":"x"}`, rKey()}, false},
		"256 keys":       {append(slices.Repeat([]string{enc}, 255), rKey()), true},
		"257 keys":       {append(slices.Repeat([]string{enc}, 256), rKey()), false},
		"too large":      {[]string{rKey(), `{"x":"` + strings.Repeat("x", 1<<20) + `"}`}, false},
		"kid twice":      {[]string{strings.Replace(rKey(), `"kid"`, `"kid":"x","kid"`, 1)}, false},
		"for signing":    {[]string{strings.Replace(rKey(), `"use"`, `"key_ops":["sign"],"use"`, 1)}, false},
		"for verifying":  {[]string{strings.Replace(rKey(), `"use"`, `"key_ops":["verify"],"use"`, 1)}, true},
		"a text":         {[]string{`"x"`, rKey()}, true},
		"listed twice":   {[]string{rKey(), jwk("r", "", &k.rsa.PublicKey)}, true},
	} {
		if _, err := authn.ParseKeys(jwks(c.keys...)); (err == nil) != c.usable {
			t.Errorf("%s: %v", name, err)
		}
	}
}
