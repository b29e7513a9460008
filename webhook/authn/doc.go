// Package authn says who is calling: it verifies access tokens as RFC 9068 describes them and as Amazon
// Cognito issues them. Id tokens (OpenID Connect) are accepted only when they are asked for.
//
// A Verifier verifies the tokens of one issuer under its keys, which FetchKeys follows and ParseKeys reads
// from a file. Verify gives an Identity, or an *Error with one Reason. Identity.Check asks for scopes and
// groups. Guard does all of this for net/http. Package apigateway does it for the authorizers of API Gateway.
//
// # Profile
//
// A token is in the compact form (RFC 7515, section 7.1), of at most 16 KiB, in canonical base64url, with a
// header and claims in strict JSON: case-sensitive, and without duplicates. It has a kid. The key, never the
// header, chooses the algorithm: RS256 with 2,048 to 8,192 bits, ES256 or EdDSA. Each crit is refused. The
// claim exp is required, and the token is expired at that second. The leeway is 0 unless Options say
// otherwise, and at most 60 s.
//
// # Threats
//
//   - A forger who knows everything but the issuer's private keys. No claim is read before the signature is
//     verified. jwk, jku, x5c and x5u in a header do nothing.
//   - A caller who has a genuine token for something else: of another issuer, API, client, or an id token.
//     New refuses options that name neither an audience nor a client.
//   - A flood of random tokens. Key IDs that are not known cause at most one request for keys in 30 s.
//     Each request renews all keys, so the flood delays neither a new key nor the end of an old one.
//   - A thief of a token. It is good until it expires: TLS alone protects it. A token that is bound to a key
//     of the caller (cnf; RFC 7800) is refused, because its proof is not verified here.
//
// # Example
//
//	issuer := "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_EXAMPLE"
//	keys, err := authn.FetchKeys(issuer+"/.well-known/jwks.json", nil)
//	verifier, err := authn.New(issuer, keys, &authn.Options{ClientIDs: []string{"4client"}})
//	handler, err := authn.Guard(verifier, &authn.Need{Groups: []string{"admin"}}, news)
//	http.Handle("DELETE /news/{id}", handler)
//
// # Stability
//
// The verdicts and the Reasons are stable. The Reasons are those of package envelope.
package authn
