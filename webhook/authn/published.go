package authn

import (
	"crypto"
	"encoding/base64"

	"github.com/go-jose/go-jose/v4"

	"github.com/sealbus/sealbus/envelope"
)

// published are the keys whose private half anyone can read, by their thumbprint (RFC 7638, SHA-256) and not
// by their ID, which an issuer chooses.
var published = map[string]string{
	"jS8J3RuOy291lpsiFe2NfKV6VkdfMF4Q_840qOLXAjs": "npm's cognito-local", // kid CognitoLocal, 5.3.0
}

// newPublicKey makes a key of one of the types of publicKey, and looks whether it is a published one.
func newPublicKey(id, alg string, key any) *publicKey {
	return &publicKey{id, alg, key, publishedBy(key)}
}

// publishedBy names the program that publishes the private half of a key; "" = none that is known.
func publishedBy(key any) string {
	sum, err := (&jose.JSONWebKey{Key: key}).Thumbprint(crypto.SHA256)
	if err != nil {
		return "" // of a kind that is not used for signatures here
	}
	return published[base64.RawURLEncoding.EncodeToString(sum)]
}

// refusePublished refuses a key whose private half is public, unless the operator takes it.
func (k *publicKey) refusePublished(isAllowed bool) error {
	if k.publishedBy == "" || isAllowed {
		return nil
	}
	return refuse(envelope.ReasonRevokedKey, "kid", "%s publishes the private half of the key %.80q: "+
		"anyone can issue such tokens", k.publishedBy, k.id)
}
