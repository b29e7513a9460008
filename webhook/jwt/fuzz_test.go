package jwt_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/jwt"
)

// FuzzToken: any header and any body are judged without a panic. Only the token that was made is accepted,
// and only with a body whose message ID an ordinary reader of JSON sees, too.
func FuzzToken(f *testing.F) {
	v := googleVerifier(f)
	sound := token(jose.RS256, "g1", testKeys().google, googleClaims("x", "x"))
	f.Add(sound, []byte(pushBody))
	f.Fuzz(func(t *testing.T, text string, body []byte) {
		got, err := v.Verify(context.Background(), push(text, string(body)), at)
		if err != nil {
			if webhook.ReasonOf(err) == "" {
				t.Fatal(err)
			}
			return
		}
		var m struct {
			Subscription string
			Message      struct{ MessageID string }
		}
		id, _ := got.ID()
		if text != sound || json.Unmarshal(body, &m) != nil || id == "" {
			t.Fatalf("accepted: %q %q", text, body)
		}
	})
}

// FuzzKeys: a set of keys opens, or is refused. One that opens accepts no token of a key that is not in it.
func FuzzKeys(f *testing.F) {
	r := push(token(jose.RS256, "g1", testKeys().google, googleClaims("x", "x")), pushBody)
	f.Add(jwkSet(jwk("g1", jose.RS256, &testKeys().other.PublicKey)))
	f.Add(jwk("p1", jose.ES256, &testKeys().plaid.PublicKey))
	f.Fuzz(func(t *testing.T, text string) {
		v, err := webhook.New(jwt.GooglePubSub(audience, email, nil), "in", []webhook.Secret{{Text: text}},
			nil)
		if err != nil {
			return
		}
		if got, err := v.Verify(context.Background(), r, at); err == nil {
			t.Fatalf("%q: %+v", text, got)
		}
	})
}
