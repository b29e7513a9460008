package jwt_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/jwt"
)

const (
	audience     = "https://hooks.example/in"
	email        = "push@project.iam.gserviceaccount.com"
	subscription = "projects/p/subscriptions/s"
)

var at = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// testKeys are the keys of the providers: two RSA keys, a short one, and two on P-256.
var testKeys = sync.OnceValue(func() (k struct {
	google, other, short *rsa.PrivateKey
	plaid, plaidNext     *ecdsa.PrivateKey
}) {
	k.google, k.other, k.short = must(rsa.GenerateKey(rand.Reader, 2048)), must(rsa.GenerateKey(rand.Reader,
		2048)),
		must(rsa.GenerateKey(rand.Reader, 1024))
	k.plaid, k.plaidNext = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)),
		must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	return k
})

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// jwk is the JWK of a public key, as go-jose writes it.
func jwk(kid string, alg jose.SignatureAlgorithm, key any) string {
	return string(must(jose.JSONWebKey{Key: key, KeyID: kid, Algorithm: string(alg),
		Use: "sig"}.MarshalJSON()))
}

func jwkSet(keys ...string) string { return `{"keys":[` + strings.Join(keys, ",") + `]}` }

// token is a token of go-jose.
func token(alg jose.SignatureAlgorithm, kid string, key any, claims string) string {
	signer := must(jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: key, KeyID: kid}},
		(&jose.SignerOptions{}).WithType("JWT")))
	return must(must(signer.Sign([]byte(claims))).CompactSerialize())
}

// handmade is a token with any header, signed as the header does not say.
func handmade(header, claims string, sign func(input string) []byte) string {
	b64 := base64.RawURLEncoding.EncodeToString
	input := b64([]byte(header)) + "." + b64([]byte(claims))
	return input + "." + b64(sign(input))
}

func rs256(key *rsa.PrivateKey) func(string) []byte {
	return func(input string) []byte {
		sum := sha256.Sum256([]byte(input))
		return must(rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:]))
	}
}

// googleClaims are sound but for one change.
func googleClaims(old, new string) string {
	claims := fmt.Sprintf(`{"aud":%q,"azp":"1","email":%q,"email_verified":true,"exp":%d,"iat":%d,`+
		`"iss":"https://accounts.google.com","sub":"1"}`, audience, email, at.Add(time.Hour).Unix(),
		at.Unix())
	if !strings.Contains(claims, old) {
		panic("no " + old)
	}
	return strings.Replace(claims, old, new, 1)
}

const pushBody = `{"message":{"attributes":{"a":"b"},"data":"aGVsbG8=","messageId":"136969346945",` +
	`"message_id":"136969346945","publishTime":"2026-06-01T12:00:00Z"},"subscription":"` + subscription + `"}`

func push(token, body string) webhook.Request {
	return webhook.Request{Method: "POST", Target: "/in", Body: []byte(body),
		Header: []webhook.Field{{Name: "authorization", Value: "Bearer " + token}}}
}

func open(t testing.TB, s webhook.Scheme, keys ...string) *webhook.Verifier {
	t.Helper()
	var secrets []webhook.Secret
	for i, key := range keys {
		secrets = append(secrets, webhook.Secret{ID: fmt.Sprint("k", i), Text: key})
	}
	v, err := webhook.New(s, "in", secrets, nil)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func googleVerifier(t testing.TB) *webhook.Verifier {
	return open(t, jwt.GooglePubSub(audience, email, nil), jwkSet(
		jwk("g1", jose.RS256, &testKeys().google.PublicKey), jwk("p1", jose.ES256,
			&testKeys().plaid.PublicKey)))
}

func TestGooglePubSubAcceptsAndReports(t *testing.T) {
	v := googleVerifier(t)
	first := token(jose.RS256, "g1", testKeys().google, googleClaims("x", "x"))
	second := token(jose.RS256, "g1", testKeys().google, googleClaims("https://acc", "acc"))
	again := strings.Replace(pushBody, `"subscription"`, `"deliveryAttempt":2,"subscription"`, 1)
	other := strings.ReplaceAll(pushBody, "136969346945", "2")
	elsewhere := strings.Replace(pushBody, subscription, subscription+"2", 1)
	keys := map[[32]byte]int{}
	for _, r := range []webhook.Request{push(first, pushBody), push(second, again), push(first, other),
		push(first, elsewhere)} {
		got, err := v.Verify(context.Background(), r, at)
		if err != nil {
			t.Fatal(err)
		}
		if id, signed := got.ID(); id == "" || signed || got.KeyID != "k0" || !got.Time.IsZero() ||
			!strings.HasPrefix(got.Subject(), subscription) {
			t.Errorf("%+v", got)
		}
		replay := got.Replay()
		keys[replay.Key]++
		if replay.Digest != [32]byte{} || !replay.Until.Equal(at.Add(webhook.RememberFor)) {
			t.Error(replay)
		}
	}
	if len(keys) != 3 {
		t.Error("one token carries many messages, and one message comes with many tokens:", keys)
	}
}

func TestGooglePubSubRefuses(t *testing.T) {
	v, google := googleVerifier(t), testKeys().google
	claims := func(old, new string) string { return token(jose.RS256, "g1", google, googleClaims(old, new)) }
	exp, iat := fmt.Sprint(at.Add(time.Hour).Unix()), fmt.Sprint(at.Unix())
	sound := claims("x", "x")
	body := func(body string) webhook.Request { return push(sound, body) }
	for name, c := range map[string]struct {
		r    webhook.Request
		want envelope.Reason
	}{
		"another issuer": {push(claims("accounts.google.com", "accounts.google.com.evil.example"),
			pushBody), "source_not_allowed"},
		"another audience":  {push(claims(audience, audience+"2"), pushBody), "audience_mismatch"},
		"no audience":       {push(claims(`"aud"`, `"x"`), pushBody), "audience_mismatch"},
		"list of audiences": {push(claims(`"`+audience+`"`, `["`+audience+`"]`), pushBody), "malformed"},
		"another account": {push(claims(email, "evil@project.iam.gserviceaccount.com"), pushBody),
			"source_not_allowed"},
		"email not verified":       {push(claims("true", "false"), pushBody), "source_not_allowed"},
		"email verified as text":   {push(claims("true", `"true"`), pushBody), "source_not_allowed"},
		"email verified not there": {push(claims(`"email_verified"`, `"x"`), pushBody), "source_not_allowed"},
		"expired":                  {push(claims(exp, fmt.Sprint(at.Unix()-60)), pushBody), "expired"},
		"no exp":                   {push(claims(`"exp"`, `"x"`), pushBody), "malformed"},
		"exp with a fraction":      {push(claims(exp, exp+".5"), pushBody), "malformed"},
		"exp as text":              {push(claims(exp, `"`+exp+`"`), pushBody), "malformed"},
		"exp beyond all":           {push(claims(exp, "1e30"), pushBody), "malformed"},
		"issued in the future": {push(claims(`"iat":`+iat, `"iat":`+fmt.Sprint(at.Unix()+61)), pushBody),
			"from_future"},
		"no iat":      {push(claims(`"iat"`, `"x"`), pushBody), "malformed"},
		"claim twice": {push(claims(`"aud"`, `"aud":"x","aud"`), pushBody), "malformed"},
		"another key": {push(token(jose.RS256, "g1", testKeys().other, googleClaims("x", "x")),
			pushBody), "bad_signature"},
		"unknown key": {push(token(jose.RS256, "g2", google, googleClaims("x", "x")), pushBody),
			"unknown_key"},
		"key for another algorithm": {push(token(jose.RS256, "p1", google, googleClaims("x", "x")), pushBody),
			"unknown_key"},
		"no token": {webhook.Request{Method: "POST", Body: []byte(pushBody)}, "unsigned"},
		"basic authentication": {webhook.Request{Body: []byte(pushBody), Header: []webhook.Field{
			{Name: "Authorization", Value: "Basic YTpi"}}}, "unsigned"},
		"two parts":       {push(sound[:strings.LastIndex(sound, ".")], pushBody), "malformed"},
		"four parts":      {push(sound+".", pushBody), "malformed"},
		"no signature":    {push(sound[:strings.LastIndex(sound, ".")+1], pushBody), "malformed"},
		"padded":          {push(sound+"=", pushBody), "malformed"},
		"space":           {push(" "+sound, pushBody), "malformed"},
		"two tokens":      {push(sound+","+sound, pushBody), "malformed"},
		"over-long":       {push(sound+strings.Repeat("A", 4096), pushBody), "too_large"},
		"no message":      {body(`{"subscription":"s"}`), "malformed"},
		"no message ID":   {body(strings.ReplaceAll(pushBody, "message", "mess")), "malformed"},
		"two message IDs": {body(strings.Replace(pushBody, "136969346945", "2", 1)), "malformed"},
		"message twice": {body(strings.Replace(pushBody, `{"message"`,
			`{"message":{"messageId":"2"},"message"`, 1)), "malformed"},
		"ID that is long": {body(`{"message":{"messageId":"` + strings.Repeat("1",
			257) + `"},"subscription":"s"}`), "malformed"},
		"line break in ID": {body(`{"message":{"messageId":"1\n2"},"subscription":"s"}`), "malformed"},
		"unwrapped":        {body(`hello`), "malformed"},
		"no subscription":  {body(`{"message":{"messageId":"1"}}`), "malformed"},
		"second header line": {func() webhook.Request {
			r := body(pushBody)
			r.Header = append(r.Header,
				r.Header[0])
			return r
		}(), "malformed"},
	} {
		if got, err := v.Verify(context.Background(), c.r, at); webhook.ReasonOf(err) != c.want ||
			got != nil {
			t.Errorf("%s: %v; want %s", name, err, c.want)
		}
	}
	for d, want := range map[time.Duration]envelope.Reason{time.Hour + 59*time.Second: "",
		time.Hour + time.Minute: "expired",
		-time.Minute:            "", -61 * time.Second: "from_future"} {
		if _, err := v.Verify(context.Background(), body(pushBody),
			at.Add(d)); webhook.ReasonOf(err) != want {
			t.Errorf("%s later: %v; want %q", d, err, want)
		}
	}
}

// TestHeaderChoosesNothing: neither the algorithm, nor the key, nor how the payload is read.
func TestHeaderChoosesNothing(t *testing.T) {
	v, google, other := googleVerifier(t), testKeys().google, testKeys().other
	claims := googleClaims("x", "x")
	public := jwk("g1", jose.RS256, &google.PublicKey)
	own := jwk("g1", jose.RS256, &other.PublicKey)
	none := func(string) []byte { return make([]byte, 256) }
	withPublicKey := func(input string) []byte {
		m := hmac.New(sha256.New, []byte(public))
		m.Write([]byte(input))
		return m.Sum(nil)
	}
	for name, c := range map[string]struct {
		token string
		want  envelope.Reason
	}{
		"alg none":  {handmade(`{"alg":"none","kid":"g1"}`, claims, none), "unsupported"},
		"alg None":  {handmade(`{"alg":"None","kid":"g1"}`, claims, none), "unsupported"},
		"no alg":    {handmade(`{"kid":"g1"}`, claims, rs256(google)), "unsupported"},
		"alg HS256": {handmade(`{"alg":"HS256","kid":"g1"}`, claims, withPublicKey), "unsupported"},
		"alg RS512": {token(jose.RS512, "g1", google, claims), "unsupported"},
		"alg PS256": {token(jose.PS256, "g1", google, claims), "unsupported"},
		"alg ES256": {token(jose.ES256, "p1", testKeys().plaid, claims), "unsupported"},
		"alg twice": {handmade(`{"alg":"none","alg":"RS256","kid":"g1"}`, claims, rs256(google)),
			"malformed"},
		"Alg beside alg": {handmade(`{"alg":"RS256","Alg":"none","kid":"g1"}`, claims, rs256(google)),
			"malformed"},
		"own key": {handmade(`{"alg":"RS256","kid":"g1","jwk":`+own+`}`, claims, rs256(other)),
			"malformed"},
		"address of keys": {handmade(`{"alg":"RS256","kid":"g1","jku":"https://evil.example"}`, claims,
			rs256(google)), "malformed"},
		"own certificate": {handmade(`{"alg":"RS256","kid":"g1","x5c":["AAAA"]}`, claims, rs256(google)),
			"malformed"},
		"unknown crit": {handmade(`{"alg":"RS256","kid":"g1","crit":["x"],"x":1}`, claims, rs256(google)),
			"malformed"},
		"b64": {handmade(`{"alg":"RS256","kid":"g1","crit":["b64"],"b64":false}`, claims,
			rs256(google)), "malformed"},
		"typ": {handmade(`{"alg":"RS256","kid":"g1","typ":"JWE"}`, claims, rs256(google)),
			"malformed"},
		"no kid": {handmade(`{"alg":"RS256"}`, claims, rs256(google)), "malformed"},
		"kid as a path": {handmade(`{"alg":"RS256","kid":"../g1"}`, claims, rs256(google)),
			"malformed"},
		"kid that is a number": {handmade(`{"alg":"RS256","kid":1}`, claims, rs256(google)), "malformed"},
		"header that is text":  {handmade(`"RS256"`, claims, rs256(google)), "malformed"},
		"short signature": {handmade(`{"alg":"RS256","kid":"g1"}`, claims,
			func(string) []byte { return []byte{1} }), "malformed"},
		"signature of zeros": {handmade(`{"alg":"RS256","kid":"g1"}`, claims, none), "bad_signature"},
	} {
		if got, err := v.Verify(context.Background(), push(c.token, pushBody),
			at); webhook.ReasonOf(err) != c.want || got != nil {
			t.Errorf("%s: %v; want %s", name, err, c.want)
		}
	}
}

func plaidClaims(iat time.Time, body string) string {
	sum := sha256.Sum256([]byte(body))
	return fmt.Sprintf(`{"iat":%d,"request_body_sha256":%q}`, iat.Unix(), hex.EncodeToString(sum[:]))
}

func plaidPost(token, body string) webhook.Request {
	return webhook.Request{Method: "POST", Target: "/in", Body: []byte(body),
		Header: []webhook.Field{{Name: "plaid-verification", Value: token}}}
}

const plaidBody = `{
  "webhook_type": "TRANSACTIONS"
}`

func TestPlaid(t *testing.T) {
	key := testKeys().plaid
	v := open(t, jwt.Plaid("", "", nil), jwk("p1", jose.ES256, &key.PublicKey))
	sign := func(claims string) string { return token(jose.ES256, "p1", key, claims) }
	sum := sha256.Sum256([]byte(plaidBody))
	digest := hex.EncodeToString(sum[:])
	for name, c := range map[string]struct {
		claims, body string
		want         envelope.Reason
	}{
		"sound":            {plaidClaims(at, plaidBody), plaidBody, ""},
		"five minutes old": {plaidClaims(at.Add(-5*time.Minute), plaidBody), plaidBody, ""},
		"older": {plaidClaims(at.Add(-5*time.Minute-time.Second), plaidBody), plaidBody,
			"expired"},
		"from the future": {plaidClaims(at.Add(5*time.Minute+time.Second), plaidBody), plaidBody,
			"from_future"},
		"another body":    {plaidClaims(at, plaidBody), plaidBody + " ", "bad_signature"},
		"no body":         {plaidClaims(at, plaidBody), "", "bad_signature"},
		"no iat":          {`{"request_body_sha256":"` + digest + `"}`, plaidBody, "malformed"},
		"iat as text":     {`{"iat":"1","request_body_sha256":"` + digest + `"}`, plaidBody, "malformed"},
		"no hash":         {fmt.Sprintf(`{"iat":%d}`, at.Unix()), plaidBody, "malformed"},
		"upper-case hash": {strings.ToUpper(plaidClaims(at, plaidBody)), plaidBody, "malformed"},
		"hash in upper case": {strings.Replace(plaidClaims(at, plaidBody), digest, strings.ToUpper(digest),
			1),
			plaidBody, "malformed"},
		"prefix of the hash": {strings.Replace(plaidClaims(at, plaidBody), digest, digest[:8], 1), plaidBody,
			"malformed"},
		"hash twice": {strings.Replace(plaidClaims(at, plaidBody), "{", `{"request_body_sha256":"",`, 1),
			plaidBody, "malformed"},
	} {
		got, err := v.Verify(context.Background(), plaidPost(sign(c.claims), c.body), at)
		if webhook.ReasonOf(err) != c.want || c.want == "" && (got.KeyID != "k0" || got.Time.IsZero()) {
			t.Errorf("%s: %v; want %q", name, err, c.want)
		}
	}
	// ECDSA signatures have a second form, (r, n-s), which is as genuine. The replay key is not made of it.
	sound := sign(plaidClaims(at, plaidBody))
	if a, b := must(v.Verify(context.Background(), plaidPost(sound, plaidBody), at)),
		must(v.Verify(context.Background(), plaidPost(otherForm(sound), plaidBody),
			at)); a.Replay() != b.Replay() {
		t.Error("another replay key")
	}
}

// TestKeysThatAreRefused when the scheme is opened.
func TestKeysThatAreRefused(t *testing.T) {
	keys := testKeys()
	good := jwk("g1", jose.RS256, &keys.google.PublicKey)
	for name, text := range map[string]string{
		"no JSON": "secret", "no key": `{"keys":[]}`, "empty object": `{}`,
		"private key": jwk("g1", jose.RS256,
			keys.google),
		"symmetric key": `{"kty":"oct","kid":"g1","k":"AAAA"}`, "two of one ID": jwkSet(good, good),
		"short key":             jwk("g1", jose.RS256, &keys.short.PublicKey),
		"for encryption":        strings.Replace(good, `"sig"`, `"enc"`, 1),
		"for another algorithm": strings.Replace(good, `RS256`, `RS384`, 1),
		"no ID":                 strings.Replace(good, `"kid"`, `"x"`, 1),
		"broken":                strings.Replace(good, `"n":"`, `"n":"!`, 1),
		"member twice":          strings.Replace(good, `{`, `{"kid":"g2",`, 1),
		"many keys":             jwkSet(strings.Split(strings.Repeat(good+"\n", 33), "\n")[:33]...),
	} {
		if v, err := webhook.New(jwt.GooglePubSub(audience, email, nil), "in", []webhook.Secret{{Text: text}},
			nil); err == nil {
			t.Errorf("%s: %v", name, v)
		}
	}
	for _, s := range []webhook.Scheme{jwt.GooglePubSub("", email, nil), jwt.GooglePubSub(audience, "", nil),
		jwt.Plaid("", "secret", nil), jwt.Plaid("id", "", nil)} {
		if _, err := webhook.New(s, "in", nil, nil); err == nil {
			t.Error(s.Name())
		}
	}
	two := []webhook.Secret{{ID: "a", Text: good}, {ID: "b", Text: jwkSet(good)}}
	if _, err := webhook.New(jwt.GooglePubSub(audience, email, nil), "in", two, nil); err == nil {
		t.Error("two secrets with one key ID")
	}
}

// TestKeyOutOfItsDates: the dates are those of the secret.
func TestKeyOutOfItsDates(t *testing.T) {
	key := webhook.Secret{ID: "k", Text: jwk("g1", jose.RS256, &testKeys().google.PublicKey), NotAfter: at}
	v := must(webhook.New(jwt.GooglePubSub(audience, email, nil), "in", []webhook.Secret{key}, nil))
	r := push(token(jose.RS256, "g1", testKeys().google, googleClaims("x", "x")), pushBody)
	if _, err := v.Verify(context.Background(), r, at); err != nil {
		t.Error(err)
	}
	if _, err := v.Verify(context.Background(), r,
		at.Add(time.Second)); webhook.ReasonOf(err) != "key_not_valid" {
		t.Error(err)
	}
}
