package webhook_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/webhook"
)

// benchCase is a delivery, and what a naive receiver does with it: a new HMAC, and a comparison.
type benchCase struct {
	provider, secret string
	request          webhook.Request
	naive            func() bool
}

var benchTime = time.Unix(1_614_265_330, 0)

func benchCases(t testing.TB, size int) []benchCase {
	t.Helper()
	const before, after = `{"id":"evt_1","type":"x","text":"`, `"}`
	body := []byte(before + strings.Repeat("a", size-len(before+after)) + after)
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	raw, err := base64.StdEncoding.DecodeString(secret[len("whsec_"):])
	if err != nil {
		t.Fatal(err)
	}
	mac := func(key []byte, head string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(head))
		h.Write(body)
		return h.Sum(nil)
	}
	standard, err := webhook.Sign("msg_1", benchTime, body, []webhook.Secret{{Text: secret}})
	if err != nil {
		t.Fatal(err)
	}
	hex256 := hex.EncodeToString(mac([]byte(secret), ""))
	stripe := hex.EncodeToString(mac([]byte(secret), "1614265330."))
	standardSum, githubSum, stripeSum := mac(raw, "msg_1.1614265330."), mac([]byte(secret), ""),
		mac([]byte(secret), "1614265330.")
	return []benchCase{
		{"standardwebhooks", secret, webhook.Request{Method: "POST", Target: "/", Header: standard,
			Body: body},
			func() bool { return hmac.Equal(mac(raw, "msg_1.1614265330."), standardSum) }},
		{"github", secret, webhook.Request{Method: "POST", Target: "/", Body: body, Header: []webhook.Field{
			{Name: "X-GitHub-Event", Value: "push"}, {Name: "X-Hub-Signature-256",
				Value: "sha256=" + hex256}}},
			func() bool { return hmac.Equal(mac([]byte(secret), ""), githubSum) }},
		{"stripe", secret, webhook.Request{Method: "POST", Target: "/", Body: body, Header: []webhook.Field{
			{Name: "Stripe-Signature", Value: "t=1614265330,v1=" + stripe}}},
			func() bool { return hmac.Equal(mac([]byte(secret), "1614265330."), stripeSum) }},
	}
}

func (c *benchCase) verifier(t testing.TB) *webhook.Verifier {
	t.Helper()
	scheme, err := webhook.Provider(c.provider)
	if err != nil {
		t.Fatal(err)
	}
	v, err := webhook.New(scheme, "in", []webhook.Secret{{Text: c.secret}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// BenchmarkVerify prints, as "x-naive", how often as long a verification takes as a naive HMAC does in the
// same run. Both take turns, and of each the fastest turn counts, which is the one that nothing disturbed.
func BenchmarkVerify(b *testing.B) {
	ctx := context.Background()
	for _, size := range []int{1 << 10, 16 << 10} {
		for _, c := range benchCases(b, size) {
			b.Run(fmt.Sprintf("%s/%d", c.provider, size), func(b *testing.B) {
				v := c.verifier(b)
				ours, naive := time.Hour, time.Hour
				for b.Loop() {
					ours = min(ours, turn(func() {
						if _, err := v.Verify(ctx, c.request, benchTime); err != nil {
							b.Fatal(err)
						}
					}))
					naive = min(naive, turn(func() {
						if !c.naive() {
							b.Fatal("the naive HMAC differs")
						}
					}))
				}
				b.ReportMetric(float64(ours)/float64(naive), "x-naive")
				b.ReportMetric(float64(ours.Nanoseconds())/perTurn, "ns/verify")
			})
		}
	}
}

const perTurn = 16

// turn is how long a few calls take.
func turn(f func()) time.Duration {
	start := time.Now()
	for range perTurn {
		f()
	}
	return time.Since(start)
}
