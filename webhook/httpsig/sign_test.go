package httpsig_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/testbed/cases"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/httpsig"
)

// TestSignedIsVerified has random requests of random profiles, with each algorithm. One changed byte of
// anything that is covered is refused.
func TestSignedIsVerified(t *testing.T) {
	for _, algorithm := range []keys.Algorithm{keys.Ed25519, keys.ES256} {
		signer := newSigner(t, algorithm)
		random := rand.New(rand.NewPCG(9421, 9530))
		for range cases.Of(2000) {
			p := randomProfile(random)
			req := newRequest(t)
			req.Method = []string{"POST", "PUT", "DELETE"}[random.IntN(3)]
			req.Header["X-Note"] = []string{randomText(random), randomText(random)}
			content := []byte(randomText(random))
			check(t, httpsig.Sign(t.Context(), req, content, signer, p, now))
			r := webhook.FromHTTP(req, content)
			v := newVerifier(t, keysOf(signer), p)
			wantReason(t, v, r, now, "")
			changeOneByte(t, random, v, r)
		}
	}
}

// randomProfile covers method, target and body in one of their forms, in any order.
func randomProfile(random *rand.Rand) *httpsig.Profile {
	covered := [][]string{{"@target-uri"}, {"@authority", "@request-target"},
		{"@authority", "@path", "@query", "@scheme"}}[random.IntN(3)]
	p := &httpsig.Profile{Components: append(slices.Clone(covered), "@method", "content-digest", "x-note",
		"content-type"), Label: []string{"", "a", "sig-1.*_"}[random.IntN(3)],
		Tag: []string{"", "app v1"}[random.IntN(2)]}
	random.Shuffle(len(p.Components), func(i, j int) {
		p.Components[i], p.Components[j] = p.Components[j], p.Components[i]
	})
	all := []string{"alg", "expires", "nonce"}
	random.Shuffle(3, func(i, j int) { all[i], all[j] = all[j], all[i] })
	p.Parameters = all[:random.IntN(4)]
	return p
}

func randomText(random *rand.Rand) string {
	out := make([]byte, random.IntN(40))
	for i := range out {
		out[i] = byte('!' + random.IntN('~'-'!'))
	}
	return string(out)
}

// changeOneByte changes one byte of each thing that is covered, one after the other.
func changeOneByte(t *testing.T, random *rand.Rand, v *webhook.Verifier, r webhook.Request) {
	t.Helper()
	refused := func(what string, r webhook.Request) {
		t.Helper()
		if _, err := v.Verify(t.Context(), r, now); err == nil {
			t.Errorf("one byte of %s was changed, and it is verified: %+v", what, r)
		}
	}
	flip := func(s string) string {
		if s == "" {
			return "x"
		}
		i := random.IntN(len(s))
		return s[:i] + string(rune(s[i]^(1+byte(random.IntN(2))))) + s[i+1:]
	}
	changed := r
	changed.Method = flip(r.Method)
	refused("the method", changed)
	changed = r
	changed.Target = flip(r.Target)
	refused("the target", changed)
	changed = r
	changed.Body = []byte(flip(string(r.Body)))
	refused("the body", changed)
	for i, f := range r.Header {
		changed = r
		changed.Header = slices.Clone(r.Header)
		changed.Header[i].Value = flip(f.Value)
		refused(f.Name, changed)
	}
}

// TestNonceIsNotBurnt: what is not genuine uses nothing up, so that the genuine delivery passes after it, and
// once.
func TestNonceIsNotBurnt(t *testing.T) {
	signer := newSigner(t, keys.Ed25519)
	for name, p := range map[string]*httpsig.Profile{
		"nonce": {Parameters: []string{"nonce"}},
		"ID": {Components: []string{"@method", "@target-uri", "content-digest", "webhook-id"},
			ID: "webhook-id"},
	} {
		t.Run(name, func(t *testing.T) {
			req := newRequest(t)
			req.Header.Set("Webhook-Id", "msg_1")
			check(t, httpsig.Sign(t.Context(), req, []byte(body), signer, p, now))
			genuine := webhook.FromHTTP(req, []byte(body))
			store := &countingStore{Store: replay.NewMemory(nil)}
			handled := 0
			next := func(context.Context, *webhook.Verified) error { handled++; return nil }
			r, err := webhook.NewReceiver(newVerifier(t, keysOf(signer), p), store, next,
				&webhook.ReceiverOptions{Now: func() time.Time { return now }})
			check(t, err)
			for change, want := range map[string]envelope.Reason{"Signature": envelope.ReasonBadSignature,
				"Content-Digest": envelope.ReasonModified} {
				forged := genuine
				if forged.Body = []byte("{}"); change == "Signature" {
					forged = set("Signature", "sig1=:AAAA:")(t, genuine)
				}
				resp := r.Receive(t.Context(), forged, now)
				if resp.Reason != want || store.claims.Load() != 0 {
					t.Errorf("%v, and %d claims", resp.Reason, store.claims.Load())
				}
			}
			for _, want := range []envelope.Reason{"", envelope.ReasonReplayed} {
				if resp := r.Receive(t.Context(), genuine, now); resp.Reason != want {
					t.Errorf("%v (%v), want %q", resp.Reason, resp.Err, want)
				}
			}
			if handled != 1 {
				t.Errorf("handled %d times", handled)
			}
		})
	}
}

// countingStore counts the claims.
type countingStore struct {
	replay.Store
	claims atomic.Int64
}

func (s *countingStore) Claim(
	ctx context.Context, key, digest [32]byte, until time.Time, lease time.Duration,
) (replay.Claim, replay.Status, error) {
	s.claims.Add(1)
	return s.Store.Claim(ctx, key, digest, until, lease)
}

// TestIDIsTheReplayKey: a delivery that is signed anew is the same one if its ID is signed, and another body
// under that ID is refused.
func TestIDIsTheReplayKey(t *testing.T) {
	signer := newSigner(t, keys.Ed25519)
	p := &httpsig.Profile{Components: []string{"@method", "@target-uri", "content-digest", "webhook-id"},
		ID: "webhook-id"}
	v := newVerifier(t, keysOf(signer), p)
	verified := func(id, content string, at time.Time) *webhook.Verified {
		req := newRequest(t)
		req.Header.Set("Webhook-Id", id)
		check(t, httpsig.Sign(t.Context(), req, []byte(content), signer, p, at))
		out, err := v.Verify(t.Context(), webhook.FromHTTP(req, []byte(content)), at)
		check(t, err)
		return out
	}
	first, again := verified("1", body, now), verified("1", body, now.Add(time.Minute))
	if id, signed := first.ID(); id != "1" || !signed {
		t.Errorf("the ID is %q (signed: %t)", id, signed)
	}
	if a, b := first.Replay(), again.Replay(); a.Key != b.Key || a.Digest != b.Digest {
		t.Error("the same ID and body are another delivery")
	}
	if a, b := first.Replay(), verified("1", "{}", now).Replay(); a.Key != b.Key || a.Digest == b.Digest {
		t.Error("another body under the same ID is the same delivery")
	}
	if first.Replay().Key == verified("2", body, now).Replay().Key {
		t.Error("another ID is the same delivery")
	}
	// An attacker can add white space to a captured ID, and the signature still fits.
	padded := newRequest(t)
	padded.Header.Set("Webhook-Id", "1")
	check(t, httpsig.Sign(t.Context(), padded, []byte(body), signer, p, now))
	for value, want := range map[string]envelope.Reason{" 1\t": "", "\t": envelope.ReasonBadSignature} {
		r := set("Webhook-Id", value)(t, webhook.FromHTTP(padded, []byte(body)))
		wantReason(t, v, r, now, want)
		if out, err := v.Verify(t.Context(), r, now); err == nil && out.Replay().Key != first.Replay().Key {
			t.Error("white space makes another delivery of it")
		}
	}
	empty := newRequest(t)
	empty.Header.Set("Webhook-Id", " ")
	check(t, httpsig.Sign(t.Context(), empty, []byte(body), signer, p, now))
	wantReason(t, v, webhook.FromHTTP(empty, []byte(body)), now, envelope.ReasonMalformed)
	long := newRequest(t)
	long.Header.Set("Webhook-Id", strings.Repeat("a", 257))
	check(t, httpsig.Sign(t.Context(), long, []byte(body), signer, p, now))
	wantReason(t, v, webhook.FromHTTP(long, []byte(body)), now, envelope.ReasonTooLarge)
	twice := newRequest(t)
	twice.Header["Webhook-Id"] = []string{"a", "b"}
	check(t, httpsig.Sign(t.Context(), twice, []byte(body), signer, p, now))
	wantReason(t, v, webhook.FromHTTP(twice, []byte(body)), now, envelope.ReasonMalformed)
}

// TestSignRefuses has what cannot be signed. The message stays without a signature.
func TestSignRefuses(t *testing.T) {
	signer := newSigner(t, keys.Ed25519)
	for name, c := range map[string]struct {
		profile *httpsig.Profile
		change  func(*http.Request)
		signer  keys.Signer
		at      time.Time
	}{
		"no signer": {signer: (*keys.LocalSigner)(nil)},
		"ML-DSA":    {signer: newSigner(t, keys.MLDSA65)},
		"1969":      {at: time.Unix(-1, 0)},
		"covered field is missing": {profile: &httpsig.Profile{
			Components: []string{"@method", "@target-uri", "content-digest", "x-missing"}}},
		"line break": {profile: covering, change: func(r *http.Request) {
			r.Header.Set("Content-Type", "a\nb")
		}},
		"no host":         {change: func(r *http.Request) { r.URL.Host, r.Host = "", "" }},
		"ftp":             {change: func(r *http.Request) { r.URL.Scheme = "ftp" }},
		"body not signed": {profile: &httpsig.Profile{Components: []string{"@method", "@target-uri"}}},
	} {
		t.Run(name, func(t *testing.T) {
			req := newRequest(t)
			if c.change != nil {
				c.change(req)
			}
			by, at := c.signer, c.at
			if by == nil {
				by = signer
			}
			if at.IsZero() {
				at = now
			}
			if err := httpsig.Sign(t.Context(), req, []byte(body), by, c.profile, at); err == nil {
				t.Error("it is signed")
			}
			if req.Header.Get("Signature") != "" {
				t.Error("the request has a signature")
			}
		})
	}
}

// TestSignedAnew: a second signature replaces the first.
func TestSignedAnew(t *testing.T) {
	signer := newSigner(t, keys.Ed25519)
	req := newRequest(t)
	for _, at := range []time.Time{now.Add(-time.Hour), now} {
		check(t, httpsig.Sign(t.Context(), req, []byte(body), signer, nil, at))
	}
	wantReason(t, newVerifier(t, keysOf(signer), nil), webhook.FromHTTP(req, []byte(body)), now, "")
}

// TestProfilesAreRefused: a profile that leaves out what an attacker could change, or that cannot be.
func TestProfilesAreRefused(t *testing.T) {
	full := []string{"@method", "@target-uri", "content-digest"}
	for name, p := range map[string]*httpsig.Profile{
		"no method":         {Components: []string{"@target-uri", "content-digest"}},
		"no target":         {Components: []string{"@method", "content-digest"}},
		"path alone":        {Components: []string{"@method", "@path", "@query", "content-digest"}},
		"no query":          {Components: []string{"@method", "@authority", "@path", "content-digest"}},
		"nothing":           {Components: []string{}},
		"unknown":           {Components: append(full, "@body")},
		"query parameter":   {Components: append(full, `@query-param;name="a"`)},
		"upper case":        {Components: append(full, "X-Note")},
		"twice":             {Components: append(full, "@method")},
		"twice, optional":   {Components: full, Optional: []string{"@method"}},
		"host":              {Components: append(full, "host")},
		"signature":         {Optional: []string{"signature"}},
		"status":            {Components: append(full, "@status")},
		"req":               {Components: append(full, "@method;req")},
		"parameter twice":   {Parameters: []string{"nonce", "nonce"}},
		"unknown parameter": {Parameters: []string{"created"}},
		"label":             {Label: "Sig1"},
		"tag":               {Tag: `a"b`},
		"keyid":             {KeyID: "a\n"},
		"ID not covered":    {ID: "webhook-id"},
		"ID derived":        {ID: "@method"},
		"negative age":      {MaxAge: -time.Second},
		"fraction":          {MaxAge: time.Second / 2},
		"base URL":          {BaseURL: "https://a.example/path"},
		"33":                {Optional: slices.Repeat([]string{"x"}, 30)},
	} {
		t.Run(name, func(t *testing.T) {
			signer := newSigner(t, keys.Ed25519)
			_, err := webhook.New(httpsig.Scheme(p), "in", keysOf(signer),
				&webhook.Options{Scheme: webhook.SchemeOptions{BaseURL: baseURL}})
			if err == nil {
				t.Error("the verifier takes it")
			}
			if err := httpsig.Sign(t.Context(), newRequest(t), []byte(body), signer, p, now); err == nil {
				t.Error("Sign takes it")
			}
		})
	}
}

// TestOpenRefuses has keys and addresses that are wrong. No text of a key is in the error.
func TestOpenRefuses(t *testing.T) {
	signer := newSigner(t, keys.Ed25519)
	good := keysOf(signer)[0]
	private, err := signer.UnsafePrivateJWK()
	check(t, err)
	set, err := keys.FormatJWKSet(keys.PublicKey{Verifier: signer.Verifier()},
		keys.PublicKey{Verifier: newSigner(t, keys.ES256).Verifier()})
	check(t, err)
	jwks := strings.TrimSpace(string(set))
	for name, c := range map[string]struct {
		secrets []webhook.Secret
		baseURL string
	}{
		"no key":               {nil, baseURL},
		"private key":          {[]webhook.Secret{{Text: string(private)}}, baseURL},
		"no form":              {[]webhook.Secret{{Text: "whsec_AAAA"}}, baseURL},
		"half a PEM":           {[]webhook.Secret{{Text: "-----BEGIN PUBLIC KEY-----\n"}}, baseURL},
		"PEM, and more":        {[]webhook.Secret{{Text: rfcKeys(t)[0].Text + "\nx"}}, baseURL},
		"ID of a set":          {[]webhook.Secret{{ID: "a", Text: jwks}}, baseURL},
		"key twice":            {[]webhook.Secret{{Text: good.Text}, {ID: good.ID, Text: good.Text}}, baseURL},
		"quotation mark in ID": {[]webhook.Secret{{ID: `a"`, Text: good.Text}}, baseURL},
		"no base URL":          {[]webhook.Secret{good}, ""},
		"base URL with a path": {[]webhook.Secret{good}, baseURL + "/"},
		"ftp":                  {[]webhook.Secret{good}, "ftp://a.example"},
		"empty port":           {[]webhook.Secret{good}, "https://a.example:"},
		"user information":     {[]webhook.Secret{good}, "https://a@b.example"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := webhook.New(httpsig.Scheme(nil), "in", c.secrets,
				&webhook.Options{Scheme: webhook.SchemeOptions{BaseURL: c.baseURL}})
			if err == nil || strings.Contains(err.Error(), "kty") || strings.Contains(err.Error(), "AAAA") {
				t.Error(err)
			}
		})
	}
	v := newVerifier(t, []webhook.Secret{{Text: jwks}}, nil)
	wantReason(t, v, delivery(t, signer, nil, now), now, "")
}

// TestDatesOfKeys: a key counts within its dates, and within the schedule that its owner published.
func TestDatesOfKeys(t *testing.T) {
	signer := newSigner(t, keys.Ed25519)
	r := delivery(t, signer, nil, now)
	secret := keysOf(signer)[0]
	secret.NotBefore, secret.NotAfter = now, now
	v := newVerifier(t, []webhook.Secret{secret}, nil)
	wantReason(t, v, r, now, "")
	wantReason(t, v, r, now.Add(time.Second), envelope.ReasonKeyNotValid)
	wantReason(t, v, r, now.Add(-time.Second), envelope.ReasonKeyNotValid)

	for name, c := range map[string]struct {
		schedule keys.Schedule
		want     envelope.Reason
	}{
		"in use":     {keys.Schedule{Active: now, Retired: now.Add(time.Second)}, ""},
		"retired":    {keys.Schedule{Active: now.Add(-time.Hour), Retired: now}, envelope.ReasonKeyNotValid},
		"not active": {keys.Schedule{Active: now.Add(time.Second)}, envelope.ReasonKeyNotValid},
	} {
		t.Run(name, func(t *testing.T) {
			k := keys.PublicKey{Verifier: signer.Verifier(), Producer: "orders", Schedule: c.schedule}
			text, err := k.MarshalJSON()
			check(t, err)
			wantReason(t, newVerifier(t, []webhook.Secret{{Text: string(text)}}, nil), r, now, c.want)
		})
	}
}

// failingSigner fails as a key service does.
type failingSigner struct {
	keys.Signer
	err error
}

func (s failingSigner) Sign(context.Context, []byte) ([]byte, error) { return nil, s.err }

func TestSignerFails(t *testing.T) {
	want := &keys.ServiceError{Op: "kms:Sign", KeyID: "key", Cause: "throttled"}
	signer := failingSigner{newSigner(t, keys.Ed25519), want}
	err := httpsig.Sign(t.Context(), newRequest(t), []byte(body), signer, nil, now)
	if got, ok := errors.AsType[*keys.ServiceError](err); !ok || got != want {
		t.Error(err)
	}
}
