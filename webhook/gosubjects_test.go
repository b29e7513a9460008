package webhook_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/jwt"
)

// goSubjects are the providers whose schemes are written in Go. Those that sign with certificates have theirs
// pinned: the fetch has tests of its own.
func goSubjects(t testing.TB) []subject {
	return slices.Concat(twilioSubjects(), []subject{adyenSubject(), snsSubject(t), paypalSubject(t),
		pubsubSubject(t), plaidSubject(t)})
}

// twilioSubjects are a form, and JSON.
func twilioSubjects() []subject {
	sign := func(d delivery, text string) string {
		return base64.StdEncoding.EncodeToString(mac(sha1.New, d.secret, text))
	}
	options := webhook.Options{Scheme: webhook.SchemeOptions{BaseURL: "https://hooks.example"}}
	asJSON := subject{provider: "twilio", options: options, signature: "X-Twilio-Signature"}
	asJSON.send = func(d delivery) webhook.Request {
		sum := sha256.Sum256([]byte(d.body))
		target := "/hooks/in?bodySHA256=" + hex.EncodeToString(sum[:])
		r := post(d.body, "Content-Type", "application/json", "X-Twilio-Signature",
			sign(d, "https://hooks.example"+target))
		r.Target = target
		return r
	}
	asForm := asJSON
	asForm.body, asForm.want = "Body=paid&From=%2B15&To=a+b",
		map[string]envelope.Reason{"re-serialised body": ""}
	asForm.send = func(d delivery) webhook.Request {
		return post(d.body, "Content-Type", "application/x-www-form-urlencoded", "X-Twilio-Signature",
			sign(d, "https://hooks.example/hooks/in?a=1BodypaidFrom+15Toa b"))
	}
	return []subject{asJSON, asForm}
}

// inBodyWant is what differs where the body has the signature, and where it is over members of the body:
// the same members in another form are as genuine.
var inBodyWant = map[string]envelope.Reason{"another provider": "", "re-serialised body": "",
	"empty signature": envelope.ReasonUnsigned}

// inBody edits the text of the signature in a body, where it stands behind that name.
func inBody(name string) func(r webhook.Request, edit func(string) string) webhook.Request {
	return func(r webhook.Request, edit func(string) string) webhook.Request {
		before, after, _ := strings.Cut(string(r.Body), `"`+name+`":"`)
		signature, after, _ := strings.Cut(after, `"`)
		edited := edit(signature)
		r.Body = []byte(before + `"` + name + `":"` + edited + `"` + after)
		return r
	}
}

func adyenSubject() subject {
	s := subject{provider: "adyen", secret: adyenKey, other: strings.Repeat("ab", 32), body: "paid",
		want: inBodyWant, tamper: inBody("hmacSignature")}
	s.send = func(d delivery) webhook.Request {
		key, _ := hex.DecodeString(d.secret)
		m := hmac.New(sha256.New, key)
		fmt.Fprintf(m, "1::Shop:%s:100:EUR:AUTHORISATION:true", d.body)
		r := adyenBatch(adyenItem("1", d.body, 100, base64.StdEncoding.EncodeToString(m.Sum(nil))))
		return post(string(r.Body), "Content-Type", "application/json")
	}
	return s
}

// pins are certificates of two keys of rsaKeys, by the name of the secret.
func pins(t testing.TB) map[string]string {
	t.Helper()
	valid := func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = now.Add(-100*time.Hour), now.Add(100*time.Hour)
	}
	root := newIssuer(t, "root", nil, valid)
	pins := make(map[string]string)
	for i, name := range []string{"one", "two"} {
		pins[name] = string(pemOf(root.leafOf(t, "any.example", &rsaKeys()[i].PublicKey,
			valid)))
	}
	return pins
}

var keyNumber = map[string]int{"one": 0, "two": 1}

func snsSubject(t testing.TB) subject {
	s := subject{provider: "sns", secret: "one", other: "two", verifies: pins(t), body: "paid",
		tamper: inBody("Signature"), layout: "2006-01-02T15:04:05.000Z", tolerance: 65 * 60,
		options: webhook.Options{Scheme: webhook.SchemeOptions{Topics: []string{snsTopic}}}, want: inBodyWant}
	s.send = func(d delivery) webhook.Request {
		m := snsNotification()
		m["Message"], m["Timestamp"] = d.body, d.time
		m.signed(t, keyNumber[d.secret])
		body, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return post(string(body), "x-amz-sns-message-type", "Notification")
	}
	return s
}

func paypalSubject(t testing.TB) subject {
	s := subject{provider: "paypal", secret: "one", other: "two", verifies: pins(t), signedID: true,
		signature: "PAYPAL-TRANSMISSION-SIG", layout: "2006-01-02T15:04:05Z", tolerance: 73 * 3600,
		options: webhook.Options{Scheme: webhook.SchemeOptions{WebhookID: "1JE4291016473214C"}}}
	s.send = func(d delivery) webhook.Request {
		text := fmt.Sprintf("%s|%s|1JE4291016473214C|%d", d.id, d.time, crc32.ChecksumIEEE([]byte(d.body)))
		return post(d.body, "PAYPAL-TRANSMISSION-ID", d.id, "PAYPAL-TRANSMISSION-TIME", d.time,
			"PAYPAL-TRANSMISSION-SIG", rsaSign(t, rsaKeys()[keyNumber[d.secret]], crypto.SHA256, text),
			"PAYPAL-CERT-URL", paypalAddress, "PAYPAL-AUTH-ALGO", "SHA256withRSA")
	}
	return s
}

// jwtOf is a token with that algorithm and these claims.
func jwtOf(alg, claims string, sign func(input string) []byte) string {
	b64 := base64.RawURLEncoding.EncodeToString
	input := b64([]byte(`{"alg":"`+alg+`","kid":"kid-1","typ":"JWT"}`)) + "." + b64([]byte(claims))
	return input + "." + b64(sign(input))
}

// pubsubSubject has a token that does not cover the body.
func pubsubSubject(t testing.TB) subject {
	verifies := map[string]string{}
	for name, i := range keyNumber {
		key := rsaKeys()[i].PublicKey
		verifies[name] = fmt.Sprintf(
			`{"keys":[{"kty":"RSA","kid":"kid-1","use":"sig","alg":"RS256","n":%q,"e":"AQAB"}]}`,
			base64.RawURLEncoding.EncodeToString(key.N.Bytes()))
	}
	s := subject{provider: "google-pubsub", secret: "one", other: "two", verifies: verifies,
		scheme:    jwt.GooglePubSub("https://hooks.example/in", "push@project.iam.gserviceaccount.com", nil),
		signature: "Authorization", prefix: "Bearer ",
		body: `{"message":{"data":"cGFpZA==","messageId":"1"},"subscription":"projects/p/subscriptions/s"}`,
		want: map[string]envelope.Reason{"another body": "", "re-serialised body": ""}}
	s.send = func(d delivery) webhook.Request {
		claims := fmt.Sprintf(`{"aud":"https://hooks.example/in",`+
			`"email":"push@project.iam.gserviceaccount.com",`+
			`"email_verified":true,"iss":"https://accounts.google.com","iat":%d,"exp":%d}`, now.Unix(),
			now.Unix()+3600)
		token := jwtOf("RS256", claims, func(input string) []byte {
			signature, _ := base64.StdEncoding.DecodeString(rsaSign(t, rsaKeys()[keyNumber[d.secret]],
				crypto.SHA256,
				input))
			return signature
		})
		return post(d.body, "Authorization", "Bearer "+token)
	}
	return s
}

// plaidSubject has a token with the hash of the body, and with the time.
func plaidSubject(t testing.TB) subject {
	key := func(seed string) *ecdsa.PrivateKey {
		sum := sha256.Sum256([]byte(seed))
		k, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), sum[:])
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	verifies := map[string]string{}
	for name := range keyNumber {
		point, err := key(name).PublicKey.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		verifies[name] = fmt.Sprintf(
			`{"kty":"EC","crv":"P-256","kid":"kid-1","use":"sig","alg":"ES256","x":%q,"y":%q}`,
			base64.RawURLEncoding.EncodeToString(point[1:33]),
			base64.RawURLEncoding.EncodeToString(point[33:]))
	}
	s := subject{provider: "plaid", secret: "one", other: "two", verifies: verifies, scheme: jwt.Plaid("", "",
		nil),
		signature: "Plaid-Verification", unit: 1,
		want: map[string]envelope.Reason{"blank after the time": ""}}
	s.send = func(d delivery) webhook.Request {
		sum := sha256.Sum256([]byte(d.body))
		claims := `{"iat":` + d.time + `,"request_body_sha256":"` + hex.EncodeToString(sum[:]) + `"}`
		return post(d.body, "Plaid-Verification", jwtOf("ES256", claims, func(input string) []byte {
			sum := sha256.Sum256([]byte(input))
			r, s, err := ecdsa.Sign(rand.Reader, key(d.secret), sum[:])
			if err != nil {
				t.Fatal(err)
			}
			return slices.Concat(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32)))
		}))
	}
	return s
}
