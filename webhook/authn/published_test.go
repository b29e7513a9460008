package authn_test

import (
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/webhook/authn"
)

// TestPublishedKey: a token under a key whose private half is public is refused, also where the key has
// another ID, and is taken only by UnsafePublishedKeys.
func TestPublishedKey(t *testing.T) {
	var file struct {
		JWKS struct {
			Keys []map[string]string `json:"keys"`
		}
		Token string
	}
	if err := json.Unmarshal(must(os.ReadFile("testdata/cognito-local.json")), &file); err != nil {
		t.Fatal(err)
	}
	verify := func(token, issuer string, when time.Time, isUnsafe bool) error {
		keys := must(authn.ParseKeys(must(json.Marshal(file.JWKS))))
		v := must(authn.New(issuer, keys, &authn.Options{ClientIDs: []string{"c1"},
			UnsafePublishedKeys: isUnsafe}))
		return errOf(v.Verify(t.Context(), token, when))
	}
	const local = "http://127.0.0.1:9229/local_1"
	when := time.Unix(1790000060, 0)
	wantReason(t, "published", verify(file.Token, local, when, false), envelope.ReasonRevokedKey, "kid")
	wantReason(t, "allowed", verify(file.Token, local, when, true), "", "")
	forged := file.Token[:len(file.Token)-6] + "AAAAAA"
	wantReason(t, "allowed, and forged", verify(forged, local, when, true), envelope.ReasonBadSignature,
		"signature")
	file.JWKS.Keys[0]["kid"] = "r" // the same key under the ID of ours
	wantReason(t, "under another ID", verify(rToken(), issuer, at, false), envelope.ReasonRevokedKey, "kid")
}
