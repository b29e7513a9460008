package authn_test

import (
	"testing"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/webhook/authn"
)

// TestTokensOfIssuers: the verdict over tokens in the form of well-known servers. Those that do not say
// whether they are access tokens or id tokens are refused, by the rule that names this.
func TestTokensOfIssuers(t *testing.T) {
	const use = envelope.ReasonTypeNotAllowed
	access := authn.Options{Audiences: []string{"https://api.example"}}
	idTokens := authn.Options{ClientIDs: []string{"web"}, IDTokens: true}
	const head = `{"kid":"r","alg":"RS256"`
	const start = `{"iss":"` + issuer + `","sub":"u1","iat":1789992000,"exp":1789995600,`
	for name, c := range map[string]struct {
		opts           authn.Options
		header, claims string
		reason         envelope.Reason
		rule           string
	}{
		"Auth0, RFC 9068 profile": {access, head + `,"typ":"at+jwt"}`,
			start + `"aud":["https://api.example","` + issuer + `/userinfo"],"client_id":"web","jti":"j","scope":"a"}`,
			"", ""},
		"Auth0, its own profile": {access, head + `,"typ":"JWT"}`,
			start + `"aud":"https://api.example","azp":"web","scope":"a","gty":"client-credentials"}`, use, "typ"},
		"Keycloak, at+jwt": {access, head + `,"typ":"at+jwt"}`, start + `"aud":["https://api.example","account"],` +
			`"azp":"web","client_id":"web","typ":"Bearer","scope":"email","realm_access":{"roles":["x"]}}`, "", ""},
		"Keycloak, as it is installed": {access, head + `,"typ":"JWT"}`,
			start + `"aud":"https://api.example","azp":"web","typ":"Bearer","scope":"email"}`, use, "typ"},
		"Entra ID 2.0": {access, head + `,"typ":"JWT"}`,
			start + `"aud":"https://api.example","azp":"web","scp":"a b","ver":"2.0"}`, use, "typ"},
		"Okta": {access, head + `}`,
			start + `"aud":"https://api.example","cid":"web","uid":"u1","scp":["a"],"ver":1}`, use, "typ"},
		"Okta, of the organization": {access, head + `,"typ":"application/okta-internal-at+jwt"}`,
			start + `"aud":"https://api.example","cid":"web"}`, use, "typ"},
		"Keycloak's access token for an id token": {idTokens, head + `,"typ":"JWT"}`,
			start + `"aud":"web","azp":"web","typ":"Bearer","scope":"email"}`, use, "typ"},
		"Keycloak's id token": {idTokens, head + `,"typ":"JWT"}`,
			start + `"aud":"web","azp":"web","typ":"ID","nonce":"n","at_hash":"h"}`, "", ""},
		"Google's id token": {idTokens, head + `,"typ":"JWT"}`,
			start + `"aud":"web","azp":"web","email_verified":true}`, "", ""},
		"a logout token": {idTokens, head + `,"typ":"logout+jwt"}`,
			start + `"aud":"web","events":{}}`, use, "typ"},
		"an id token for an access token": {access, head + `}`, start + `"aud":"https://api.example"}`, use, "typ"},
	} {
		_, err := verifier(t, &c.opts).Verify(t.Context(), token("r", c.header, c.claims), at)
		wantReason(t, name, err, c.reason, c.rule)
	}
}
