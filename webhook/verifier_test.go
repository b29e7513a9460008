package webhook_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/webhook"
)

// replayOf verifies the delivery at that time.
func replayOf(t *testing.T, v *webhook.Verifier, r webhook.Request, at time.Time) webhook.Replay {
	t.Helper()
	got, err := v.Verify(context.Background(), r, at)
	if err != nil {
		t.Fatal(err)
	}
	return got.Replay()
}

// TestNewUnsignedIDIsTheSameDelivery: a captured body has the same replay key under another ID, which is
// reported as not signed.
func TestNewUnsignedIDIsTheSameDelivery(t *testing.T) {
	for _, provider := range []string{"github", "shopify", "atlassian", "linear"} {
		s := find(t, provider)
		v, d := s.verifier(t, s.secret), s.delivery()
		first := replayOf(t, v, s.send(d), now)
		d.id = "msg_2"
		got, err := v.Verify(context.Background(), s.send(d), now)
		if err != nil {
			t.Fatal(err)
		}
		if id, signed := got.ID(); id != "msg_2" || signed {
			t.Errorf("%s: the ID is %q, signed: %v", provider, id, signed)
		}
		if got.Replay() != first {
			t.Errorf("%s: another ID makes another replay key", provider)
		}
		d.body = strings.Replace(d.body, "paid", "free", 1)
		if replayOf(t, v, s.send(d), now).Key == first.Key {
			t.Errorf("%s: another body has the same replay key", provider)
		}
		if want := now.Add(webhook.RememberFor); provider != "linear" && !first.Until.Equal(want) {
			t.Errorf("%s is remembered until %s, not %s", provider, first.Until, want)
		}
	}
}

// TestReplayKeyNamesProviderAndEndpoint: no ID of one tenant hides a delivery to another one.
func TestReplayKeyNamesProviderAndEndpoint(t *testing.T) {
	seen := map[[32]byte]string{}
	for _, provider := range []string{"github", "standardwebhooks", "stripe", "convoy"} {
		s := find(t, provider)
		for _, endpoint := range []string{"in", "in2", "i"} {
			text := s.secret
			if s.verifies != nil {
				text = s.verifies[s.secret]
			}
			v, err := webhook.New(s.scheme, endpoint, []webhook.Secret{{Text: text}}, nil)
			if err != nil {
				t.Fatal(err)
			}
			key, name := replayOf(t, v, s.send(s.delivery()), now).Key, provider+" to "+endpoint
			if seen[key] != "" {
				t.Errorf("%s has the replay key of %s", name, seen[key])
			}
			seen[key] = name
		}
	}
	if len(seen) != 12 {
		t.Errorf("%d keys", len(seen))
	}
}

// TestSignedIDIsTheReplayKey: an attempt with a new time has the same key. Standard Webhooks promises the
// same body, so another body shows in the digest. The others have the ID in the body, which is written anew.
func TestSignedIDIsTheReplayKey(t *testing.T) {
	for provider, sameDigest := range map[string]bool{"standardwebhooks": false, "stripe": true,
		"paddle": true,
		"slack":  true, "square": true, "pagerduty": true} {
		s := find(t, provider)
		v, d := s.verifier(t, s.secret), s.delivery()
		if provider == "pagerduty" {
			d.body = `{"event":{"id":"evt_1","text":"a","type":"order.paid"}}`
		}
		got, err := v.Verify(context.Background(), s.send(d), now)
		if err != nil {
			t.Fatal(err)
		}
		id, signed := got.ID()
		if want := map[bool]string{false: "msg_1", true: "evt_1"}[sameDigest]; id != want || !signed {
			t.Errorf("%s: the ID is %q, signed: %v", provider, id, signed)
		}
		first, later := got.Replay(), now.Add(time.Hour)
		d.time = s.time(later)
		if again := replayOf(t, v, s.send(d), later); again.Key != first.Key || again.Digest != first.Digest {
			t.Errorf("%s: a second attempt is another delivery", provider)
		}
		d.body = strings.Replace(d.body, "paid", "free", 1)
		changed := replayOf(t, v, s.send(d), later)
		if changed.Key != first.Key || (changed.Digest == first.Digest) != sameDigest {
			t.Errorf("%s: another body under one ID: %v, %v", provider, changed, first)
		}
		if !first.Until.Equal(now.Add(webhook.RememberFor)) {
			t.Errorf("%s is remembered until %s", provider, first.Until)
		}
	}
}

// TestReplayKeyOutlivesEveryCopy: as long as a copy passes, its key is remembered.
func TestReplayKeyOutlivesEveryCopy(t *testing.T) {
	for _, provider := range []string{"zoom", "standardwebhooks", "stripe"} {
		for _, tolerance := range []time.Duration{0, time.Second, 100 * time.Hour} {
			s := find(t, provider)
			s.options.Tolerance = tolerance
			v := s.verifier(t, s.secret)
			if tolerance == 0 {
				tolerance = 300 * time.Second
			}
			early := now.Add(-tolerance) // the earliest moment at which it passes
			last := now.Add(tolerance)   // the last one
			until := replayOf(t, v, s.send(s.delivery()), early).Until
			if got := reason(t, v, s.send(s.delivery()), last); got != "" || !until.After(last) {
				t.Errorf("%s: a copy passes at %s (%q) and is remembered until %s", provider, last, got,
					until)
			}
		}
	}
}

// TestRotation: two secrets side by side, each within its dates, which include their ends.
func TestRotation(t *testing.T) {
	s := find(t, "github")
	end := now.Add(time.Hour)
	v, err := webhook.New(s.scheme, "in", []webhook.Secret{
		{ID: "old", Text: "old", NotAfter: end}, {ID: "new", Text: "new", NotBefore: now},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		secret, keyID string
		at            time.Time
		want          envelope.Reason
	}{
		{"old", "old", now, ""}, {"new", "new", now, ""}, {"old", "old", end, ""},
		{"old", "", end.Add(1), envelope.ReasonKeyNotValid}, {"new", "new", end.Add(1), ""},
		{"new", "", now.Add(-1), envelope.ReasonKeyNotValid}, {"other", "", now, envelope.ReasonBadSignature},
	} {
		d := s.delivery()
		d.secret = c.secret
		got, err := v.Verify(context.Background(), s.send(d), c.at)
		if webhook.ReasonOf(err) != c.want || err == nil && got.KeyID != c.keyID {
			t.Errorf("%s at %s: %v %v", c.secret, c.at, got, err)
		}
	}
}

// TestValidKeyIsPreferred: of two keys that made signatures, the one that is valid counts.
func TestValidKeyIsPreferred(t *testing.T) {
	headers, err := webhook.Sign("msg_1", now, []byte(jsonBody), []webhook.Secret{
		{ID: "a", Text: standardSecret(t, "one")}, {ID: "b", Text: standardSecret(t, "two")}})
	if err != nil {
		t.Fatal(err)
	}
	r := webhook.Request{Header: headers, Body: []byte(jsonBody)}
	scheme := find(t, "standardwebhooks").scheme
	v, err := webhook.New(scheme, "in", []webhook.Secret{
		{ID: "a", Text: standardSecret(t, "one"), NotAfter: now.Add(-1)},
		{ID: "b", Text: standardSecret(t, "two")},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := v.Verify(context.Background(), r, now); err != nil || got.KeyID != "b" {
		t.Error(got, err)
	}
}

func standardSecret(t testing.TB, seed string) string {
	t.Helper()
	return find(t, "standardwebhooks").verifies[seed]
}

// TestLimits: at the limit a request is judged, one beyond it is too large.
func TestLimits(t *testing.T) {
	s := find(t, "stripe")
	v := s.verifier(t, s.secret)
	body := strings.Repeat("a", webhook.DefaultMaxBody)
	for size, want := range map[int]envelope.Reason{len(body): "", len(body) + 1: envelope.ReasonTooLarge} {
		d := s.delivery()
		d.body = (body + "a")[:size]
		if got := reason(t, v, s.send(d), now); got != want {
			t.Errorf("a body of %d bytes: %q", size, got)
		}
	}
	items := func(n int) webhook.Request {
		r := s.send(s.delivery())
		r.Header[0].Value += strings.Repeat(",v9=x", n-strings.Count(r.Header[0].Value, ",")-1)
		return r
	}
	for n, want := range map[int]envelope.Reason{webhook.MaxSignatures: "",
		webhook.MaxSignatures + 1: envelope.ReasonTooLarge} {
		if got := reason(t, v, items(n), now); got != want {
			t.Errorf("%d items: %q", n, got)
		}
	}
	for n, want := range map[int]envelope.Reason{webhook.MaxHeaderValue: "",
		webhook.MaxHeaderValue + 1: envelope.ReasonTooLarge} {
		r := s.send(s.delivery())
		r.Header[0].Value += ",v9=" + strings.Repeat("x", n-len(r.Header[0].Value)-4)
		if got := reason(t, v, r, now); got != want {
			t.Errorf("a header of %d bytes: %q", n, got)
		}
	}
	for n, want := range map[int]envelope.Reason{webhook.MaxHeaders: "",
		webhook.MaxHeaders + 1: envelope.ReasonTooLarge} {
		r := s.send(s.delivery())
		r.Header = append(r.Header, make([]webhook.Field, n-1)...)
		if got := reason(t, v, r, now); got != want {
			t.Errorf("%d headers: %q", n, got)
		}
	}
}

// TestVerificationsAreBounded: the signatures of one request times the public keys.
func TestVerificationsAreBounded(t *testing.T) {
	var s subject
	for _, s = range standardSubjects() {
		if s.provider == "svix" && s.prefix == "v1a," {
			break
		}
	}
	scheme, err := webhook.Provider("svix")
	if err != nil {
		t.Fatal(err)
	}
	for keys, want := range map[int]envelope.Reason{2: envelope.ReasonBadSignature,
		3: envelope.ReasonTooLarge} {
		var secrets []webhook.Secret
		for i, seed := range []string{"one", "two", "two"}[:keys] {
			secrets = append(secrets, webhook.Secret{ID: fmt.Sprint(i), Text: s.verifies[seed]})
		}
		v, err := webhook.New(scheme, "in", secrets, nil)
		if err != nil {
			t.Fatal(err)
		}
		r := s.send(delivery{body: jsonBody, id: "msg_1", secret: "three", time: s.time(now)})
		_, item, _ := strings.Cut(r.Header[2].Value, " ")
		r.Header[2].Value = item + strings.Repeat(" "+item, webhook.MaxSignatures-1)
		if got := reason(t, v, r, now); got != want {
			t.Errorf("%d keys: %q", keys, got)
		}
	}
}

// TestVerifierIsSafeForConcurrentUse: sound and forged deliveries of several sizes at once.
func TestVerifierIsSafeForConcurrentUse(t *testing.T) {
	for _, provider := range []string{"standardwebhooks", "discord"} {
		s := find(t, provider)
		v := s.verifier(t, s.secret)
		var wg sync.WaitGroup
		for n := range 8 {
			wg.Go(func() {
				for i := range 50 {
					d := s.delivery()
					d.id, d.body = fmt.Sprintf("msg_%d_%d", n, i), strings.Repeat("x", n*i+1)
					want := envelope.Reason("")
					if i%3 == 0 {
						d.secret, want = s.other, envelope.ReasonBadSignature
					}
					got, err := v.Verify(context.Background(), s.send(d), now)
					if webhook.ReasonOf(err) != want || err == nil && string(got.Body) != d.body {
						t.Error(n, i, got, err)
					}
				}
			})
		}
		wg.Wait()
	}
}

// TestVerifiedSaysWhatTheRecipeNames: type, subject, signature, signed bytes.
func TestVerifiedSaysWhatTheRecipeNames(t *testing.T) {
	s := find(t, "stripe")
	d := s.delivery()
	d.body = `{"id":"evt_1","type":"charge.paid","data":{"object":{"id":"ch_1"}}}`
	r := s.send(d)
	got, err := s.verifier(t, s.secret).Verify(context.Background(), r, now)
	if err != nil {
		t.Fatal(err)
	}
	if got.Type() != "charge.paid" || got.Subject() != "ch_1" || !got.Time.Equal(now) || got.Answer != nil {
		t.Errorf("%q %q %s", got.Type(), got.Subject(), got.Time)
	}
	if got.SignatureDigest() != sha256.Sum256([]byte(r.Header[0].Value)) ||
		got.SignedDigest() != sha256.Sum256([]byte(d.time+"."+d.body)) {
		t.Error("the digests are wrong")
	}
	s = find(t, "github")
	got, err = s.verifier(t, s.secret).Verify(context.Background(), s.send(s.delivery()), now)
	if err != nil || got.Type() != "push" || got.Subject() != "" {
		t.Errorf("%q %q %v", got.Type(), got.Subject(), err)
	}
}

// TestSignedDigestIsOfTheSignedBytes: of recipes, whether they keep the bytes or write them anew.
func TestSignedDigestIsOfTheSignedBytes(t *testing.T) {
	const url = "https://hooks.example/hooks/in?a=1"
	tested := 0
	for _, s := range subjects(t) {
		d := s.delivery()
		r := s.send(d)
		body := string(r.Body)
		want, ok := map[string]string{"github": body, "linear": body, "pagerduty": body, "square": url + body,
			"stripe": d.time + "." + body, "slack": "v0:" + d.time + ":" + body, "discord": d.time + body,
			"paddle": d.time + ":" + body, "convoy": d.time + "," + body, "sendgrid": d.time + body,
			"hubspot": "POST" + url + body + d.time, "svix": d.id + "." + d.time + "." + body,
			"standardwebhooks": d.id + "." + d.time + "." + body}[s.provider]
		if !ok {
			continue
		}
		tested++
		got, err := s.verifier(t, s.secret).Verify(context.Background(), r, s.at)
		if err != nil || got.SignedDigest() != sha256.Sum256([]byte(want)) {
			t.Errorf("%s: %v, or it is not the digest of %q", s.provider, err, want)
		}
	}
	if tested != 15 { // Standard Webhooks and Svix sign in two ways each
		t.Errorf("%d subjects were tested", tested)
	}
}

// TestUnsignedNamesAllThatAnAttackerCanChange: of each provider, each header line is changed. If the delivery
// is genuine all the same, and its type or subject is another, Unsigned has named it.
func TestUnsignedNamesAllThatAnAttackerCanChange(t *testing.T) {
	named := map[string]string{}
	for _, s := range subjects(t) {
		v, sound := s.verifier(t, s.secret), s.send(s.delivery())
		if s.provider == "shopify" {
			sound.Header = append(sound.Header, webhook.Field{Name: "X-Shopify-Shop-Domain", Value: "a.example"})
		}
		was, err := v.Verify(context.Background(), sound, s.at)
		if err != nil {
			t.Fatal(err)
		}
		unsigned := was.Unsigned()
		named[s.provider] = strings.Join(unsigned, " ")
		for i := range sound.Header {
			r := clone(sound)
			r.Header[i].Value = "other"
			got, err := v.Verify(context.Background(), r, s.at)
			if err != nil {
				continue
			}
			if got.Type() != was.Type() && !slices.Contains(unsigned, "type") ||
				got.Subject() != was.Subject() && !slices.Contains(unsigned, "subject") {
				t.Errorf("%s: %s changes %q and %q, and %q is named", s.provider, r.Header[i].Name, was.Type(),
					was.Subject(), unsigned)
			}
		}
	}
	for provider, want := range map[string]string{"github": "type", "shopify": "type subject",
		"google-pubsub": "subject", "stripe": "", "sns": "", "adyen": "", "standardwebhooks": ""} {
		if got := named[provider]; got != want {
			t.Errorf("%s: %q, want %q", provider, got, want)
		}
	}
}

// TestMembersThatAreNoWords: what is no strict JSON, or has no such string, names nothing and is a delivery
// all the same, with a replay key of its bytes.
func TestMembersThatAreNoWords(t *testing.T) {
	s := find(t, "stripe")
	v, seen := s.verifier(t, s.secret), map[[32]byte]bool{}
	bodies := []string{``, `{`, `[]`, `{"id":1}`, `{"id":""}`, `{"id":"a\u0000"}`, `{"id":"a","id":"b"}`,
		`{"id":"` + strings.Repeat("a", 257) + `"}`, `{"id":{"id":"a"}}`, `id=a`}
	for _, body := range bodies {
		d := s.delivery()
		d.body = body
		got, err := v.Verify(context.Background(), s.send(d), now)
		if err != nil {
			t.Fatal(err)
		}
		if id, signed := got.ID(); id != "" || signed || got.Type() != "" || got.Subject() != "" {
			t.Errorf("%s: %q", body, id)
		}
		seen[got.Replay().Key] = true
		if want := now.Add(301 * time.Second); !got.Replay().Until.Equal(want) {
			t.Errorf("%s is remembered until %s, not %s", body, got.Replay().Until, want)
		}
	}
	if len(seen) != len(bodies) {
		t.Errorf("%d replay keys of %d bodies", len(seen), len(bodies))
	}
}

// undecided is a scheme whose checker fails without a Reason.
type undecided struct{ err error }

func (undecided) Name() string { return "undecided" }
func (f undecided) Open([]webhook.Secret, webhook.SchemeOptions) (webhook.Checker, error) {
	return f, nil
}
func (f undecided) Check(context.Context, webhook.Request, time.Time) (webhook.Signed, error) {
	return webhook.Signed{}, f.err
}

// TestErrorWithoutReasonIsTransient: nothing is known about the delivery, so the provider sends it again.
func TestErrorWithoutReasonIsTransient(t *testing.T) {
	v, err := webhook.New(undecided{context.DeadlineExceeded}, "in", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = v.Verify(context.Background(), post("{}"), now)
	got := webhook.ReasonOf(err)
	if got.Class() != envelope.Transient || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%q %v", got, err)
	}
}

// TestNewRefusesWhatCannotBeMeant: each of these would verify something other than was meant.
func TestNewRefusesWhatCannotBeMeant(t *testing.T) {
	scheme := find(t, "github").scheme
	one := []webhook.Secret{{ID: "a", Text: "x"}}
	square := find(t, "square").scheme
	for name, open := range map[string]func() (*webhook.Verifier, error){
		"no scheme":   func() (*webhook.Verifier, error) { return webhook.New(nil, "in", one, nil) },
		"no endpoint": func() (*webhook.Verifier, error) { return webhook.New(scheme, "", one, nil) },
		"one ID twice": func() (*webhook.Verifier, error) {
			return webhook.New(scheme, "in", []webhook.Secret{{ID: "a", Text: "x"}, {ID: "a", Text: "y"}},
				nil)
		},
		"dates": func() (*webhook.Verifier, error) {
			return webhook.New(scheme, "in", []webhook.Secret{{Text: "x", NotBefore: now,
				NotAfter: now.Add(-1)}}, nil)
		},
		"negative tolerance": func() (*webhook.Verifier, error) {
			return webhook.New(scheme, "in", one, &webhook.Options{Tolerance: -1})
		},
		"many secrets": func() (*webhook.Verifier, error) {
			return webhook.New(scheme, "in", make([]webhook.Secret, webhook.MaxSecrets+1), nil)
		},
		"no base URL": func() (*webhook.Verifier, error) { return webhook.New(square, "in", one, nil) },
	} {
		if _, err := open(); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	for _, base := range []string{"hooks.example", "https://", "https://hooks.example/",
		"ftp://hooks.example",
		"https://a@hooks.example", "https://hooks.example?x", "HTTPS://hooks.example"} {
		o := &webhook.Options{Scheme: webhook.SchemeOptions{BaseURL: base}}
		if _, err := webhook.New(square, "in", one, o); err == nil {
			t.Errorf("the base URL %s is accepted", base)
		}
	}
}

// named is a scheme of any name, whose deliveries are all genuine.
type named string

func (n named) Name() string { return string(n) }
func (n named) Open([]webhook.Secret, webhook.SchemeOptions) (webhook.Checker, error) {
	return n, nil
}
func (named) Check(_ context.Context, r webhook.Request, _ time.Time) (webhook.Signed, error) {
	return webhook.Signed{ID: r.Target, IDSigned: true, Body: true}, nil
}

// TestReplayKeyPartsDoNotRunTogether: provider, endpoint and ID are told apart.
func TestReplayKeyPartsDoNotRunTogether(t *testing.T) {
	seen := map[[32]byte]bool{}
	for _, c := range [][3]string{{"ab", "c", "d"}, {"a", "bc", "d"}, {"ab", "cd", "e"}, {"ab", "c", "de"},
		{"a\x00", "b", "c"}, {"a", "\x00b", "c"}} {
		v, err := webhook.New(named(c[0]), c[1], nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		key := replayOf(t, v, webhook.Request{Target: c[2]}, now).Key
		if seen[key] {
			t.Errorf("%q has the key of another one", c)
		}
		seen[key] = true
	}
}
