package webhook_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/webhook"
)

// now is when the deliveries of these tests are sent and judged.
var now = time.Unix(1_700_000_000, 0)

// delivery is what a sender signs.
type delivery struct {
	body   string
	time   string // its text, as the sender writes it
	id     string
	secret string // what signs
}

// subject is a provider, as the tests need it. Its send knows the provider's documentation, and nothing of
// the code that is tested.
type subject struct {
	provider string
	scheme   webhook.Scheme // nil = webhook.Provider
	options  webhook.Options

	secret, other string            // what signs, and another one of that form
	verifies      map[string]string // what verifies the signatures of a secret; none = the secret itself

	body              string // of a delivery
	unit              int64  // of the signed time, per second: 1 or 1000; 0 = none, unless there is a layout
	layout            string // of a signed time that is no number, in UTC
	tolerance         int    // seconds; 0 = 300
	signedID          bool   // the ID stands in a header and is signed
	signature, prefix string // the header of the signature, and what stands before it there; "" = see tamper
	send              func(d delivery) webhook.Request
	at                time.Time // when deliveries are sent and judged; zero = now

	// tamper edits the text of the signature; nil = in the header signature, after the last prefix.
	tamper func(r webhook.Request, edit func(string) string) webhook.Request
	// want are the Reasons that differ from those of the table; "" = there is no such case.
	want map[string]envelope.Reason
}

const jsonBody = `{"id":"evt_1","event_id":"evt_1","type":"order.paid","text":"a\u00fc","n":1.0}`

func post(body string, header ...string) webhook.Request {
	r := webhook.Request{Method: "POST", Target: "/hooks/in?a=1", Body: []byte(body)}
	for i := 0; i < len(header); i += 2 {
		r.Header = append(r.Header, webhook.Field{Name: header[i], Value: header[i+1]})
	}
	return r
}

func mac(h func() hash.Hash, key, text string) []byte {
	m := hmac.New(h, []byte(key))
	m.Write([]byte(text))
	return m.Sum(nil)
}

func hexMAC(key, text string) string { return hex.EncodeToString(mac(sha256.New, key, text)) }

func sha1MAC(key, text string) string { return hex.EncodeToString(mac(sha1.New, key, text)) }

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func b64MAC(key, text string) string {
	return base64.StdEncoding.EncodeToString(mac(sha256.New, key, text))
}

// bodySubjects sign the body alone.
func bodySubjects() []subject {
	return []subject{
		{provider: "github", signature: "X-Hub-Signature-256", prefix: "sha256=",
			send: func(d delivery) webhook.Request {
				return post(d.body, "X-GitHub-Event", "push", "X-GitHub-Delivery", d.id,
					"X-Hub-Signature-256", "sha256="+hexMAC(d.secret, d.body))
			}},
		{provider: "shopify", signature: "X-Shopify-Hmac-Sha256", send: func(d delivery) webhook.Request {
			return post(d.body, "X-Shopify-Webhook-Id", d.id, "X-Shopify-Topic", "orders/paid",
				"X-Shopify-Hmac-Sha256", b64MAC(d.secret, d.body))
		}},
		{provider: "atlassian", signature: "X-Hub-Signature", prefix: "sha256=",
			send: func(d delivery) webhook.Request {
				return post(d.body, "X-Atlassian-Webhook-Identifier", d.id,
					"X-Hub-Signature", "sha256="+hexMAC(d.secret, d.body))
			}},
		{provider: "pagerduty", signature: "X-PagerDuty-Signature", prefix: "v1=",
			send: func(d delivery) webhook.Request {
				return post(d.body, "X-PagerDuty-Signature",
					"v1="+hexMAC("old", d.body)+",v1="+hexMAC(d.secret, d.body))
			}},
		{provider: "linear", signature: "Linear-Signature", unit: 1000, tolerance: 60,
			want: map[string]envelope.Reason{"blank after the time": ""}, // a blank in JSON says nothing
			send: func(d delivery) webhook.Request {
				body := strings.TrimSuffix(d.body, "}") + `,"webhookTimestamp":` + d.time + "}"
				return post(body, "Linear-Delivery", d.id, "Linear-Timestamp", "1", "Linear-Signature",
					hexMAC(d.secret, body))
			}},
		{provider: "square", signature: "X-Square-Hmacsha256-Signature",
			options: webhook.Options{Scheme: webhook.SchemeOptions{BaseURL: "https://hooks.example"}},
			send: func(d delivery) webhook.Request {
				return post(d.body, "X-Square-Hmacsha256-Signature",
					b64MAC(d.secret, "https://hooks.example/hooks/in?a=1"+d.body))
			}},
	}
}

// timedSubjects sign a time before or after the body.
func timedSubjects() []subject {
	return []subject{
		{provider: "stripe", unit: 1, signature: "Stripe-Signature", prefix: "v1=",
			secret: "whsec_one", other: "whsec_two", send: func(d delivery) webhook.Request {
				return post(d.body, "Stripe-Signature",
					"t="+d.time+",v0=00,v1="+hexMAC("old", "x")+",v1="+hexMAC(d.secret, d.time+"."+d.body))
			}},
		{provider: "slack", unit: 1, signature: "X-Slack-Signature", prefix: "v0=",
			send: func(d delivery) webhook.Request {
				return post(d.body, "X-Slack-Request-Timestamp", d.time,
					"X-Slack-Signature", "v0="+hexMAC(d.secret, "v0:"+d.time+":"+d.body))
			}},
		{provider: "zoom", unit: 1, signature: "X-Zm-Signature", prefix: "v0=",
			send: func(d delivery) webhook.Request {
				return post(d.body, "x-zm-request-timestamp", d.time,
					"x-zm-signature", "v0="+hexMAC(d.secret, "v0:"+d.time+":"+d.body))
			}},
		{provider: "paddle", unit: 1, signature: "Paddle-Signature", prefix: "h1=",
			send: func(d delivery) webhook.Request {
				return post(d.body, "Paddle-Signature",
					"ts="+d.time+";h1="+hexMAC(d.secret, d.time+":"+d.body))
			}},
		{provider: "hubspot", unit: 1000, signature: "X-HubSpot-Signature-v3",
			options: webhook.Options{Scheme: webhook.SchemeOptions{BaseURL: "https://hooks.example"}},
			send: func(d delivery) webhook.Request {
				return post(d.body, "X-HubSpot-Request-Timestamp", d.time, "X-HubSpot-Signature-v3",
					b64MAC(d.secret, "POSThttps://hooks.example/hooks/in?a=1"+d.body+d.time))
			}},
	}
}

// convoySubjects are the four ways in which a project of Convoy may sign.
func convoySubjects() []subject {
	var list []subject
	for name, sign := range map[string]func(key, text string) string{
		"convoy":        hexMAC,
		"convoy-base64": b64MAC,
		"convoy-sha512": func(key, text string) string {
			return hex.EncodeToString(mac(sha512.New, key, text))
		},
		"convoy-sha512-base64": func(key, text string) string {
			return base64.StdEncoding.EncodeToString(mac(sha512.New, key, text))
		},
	} {
		list = append(list, subject{provider: name, unit: 1, signature: "X-Convoy-Signature", prefix: "v1=",
			send: func(d delivery) webhook.Request {
				return post(d.body, "X-Convoy-Signature", "t="+d.time+",v1="+sign(d.secret,
					d.time+","+d.body))
			}})
	}
	return list
}

// keySubjects sign with private keys, which are made of seeds here.
func keySubjects(t testing.TB) []subject {
	t.Helper()
	ed := func(seed string) ed25519.PrivateKey {
		sum := sha256.Sum256([]byte(seed))
		return ed25519.NewKeyFromSeed(sum[:])
	}
	p256 := func(seed string) *ecdsa.PrivateKey {
		sum := sha256.Sum256([]byte(seed))
		k, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), sum[:])
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	publicEd := func(seed string) string { return hex.EncodeToString(ed(seed).Public().(ed25519.PublicKey)) }
	publicP256 := func(seed string) string {
		der, err := x509.MarshalPKIXPublicKey(p256(seed).Public())
		if err != nil {
			t.Fatal(err)
		}
		return base64.StdEncoding.EncodeToString(der)
	}
	return []subject{
		{provider: "discord", unit: 1, signature: "X-Signature-Ed25519",
			verifies: map[string]string{"one": publicEd("one"), "two": publicEd("two")}, secret: "one",
			other: "two",
			send: func(d delivery) webhook.Request {
				return post(d.body, "X-Signature-Timestamp", d.time, "X-Signature-Ed25519",
					hex.EncodeToString(ed25519.Sign(ed(d.secret), []byte(d.time+d.body))))
			}},
		{provider: "sendgrid", unit: 1, signature: "X-Twilio-Email-Event-Webhook-Signature",
			verifies: map[string]string{"one": publicP256("one"), "two": publicP256("two")}, secret: "one",
			other: "two", send: func(d delivery) webhook.Request {
				sum := sha256.Sum256([]byte(d.time + d.body))
				sig, err := ecdsa.SignASN1(rand.Reader, p256(d.secret), sum[:])
				if err != nil {
					t.Fatal(err)
				}
				return post(d.body, "X-Twilio-Email-Event-Webhook-Timestamp", d.time,
					"X-Twilio-Email-Event-Webhook-Signature", base64.StdEncoding.EncodeToString(sig))
			}},
	}
}

// standardSubjects are Standard Webhooks under both names of the headers, with both algorithms.
func standardSubjects() []subject {
	secret := func(seed string) string { return "whsec_" + b64(mac(sha256.New, "k", seed)) }
	private := func(seed string) ed25519.PrivateKey {
		return ed25519.NewKeyFromSeed(mac(sha256.New, "k", seed))
	}
	public := func(seed string) string { return "whpk_" + b64(private(seed).Public().(ed25519.PublicKey)) }
	hmacs := map[string]string{"one": secret("one"), "two": secret("two")}
	eds := map[string]string{"one": public("one"), "two": public("two")}
	var list []subject
	for provider, name := range map[string]string{"standardwebhooks": "webhook-", "svix": "svix-"} {
		send := func(v1 bool) func(d delivery) webhook.Request {
			return func(d delivery) webhook.Request {
				text := d.id + "." + d.time + "." + d.body
				item := "v1," + b64(mac(sha256.New, string(mac(sha256.New, "k", d.secret)), text))
				if !v1 {
					item = "v1a," + b64(ed25519.Sign(private(d.secret), []byte(text)))
				}
				return post(d.body, name+"id", d.id, name+"timestamp", d.time, name+"signature", "v9,x "+item)
			}
		}
		v1 := subject{provider: provider, unit: 1, signedID: true, signature: name + "signature",
			prefix: "v1,",
			secret: "one", other: "two", verifies: hmacs, send: send(true),
			want: map[string]envelope.Reason{": in the ID": ""}} // it bounds nothing there
		v1a := v1
		v1a.prefix, v1a.verifies, v1a.send = "v1a,", eds, send(false)
		list = append(list, v1, v1a)
	}
	return list
}
