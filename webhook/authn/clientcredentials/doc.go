// Package clientcredentials is the client's side of package authn: a program gets access tokens for itself
// from an issuer, such as Amazon Cognito, and calls protected APIs with them. It is the client credentials
// grant (RFC 6749, section 4.4) on golang.org/x/oauth2.
//
// A Source keeps one token for all callers. It asks for the next one early, one request at a time, and goes
// on with the old one while the issuer fails. Transport adds the token to the requests of an http.Client.
//
// # Threats
//
//   - An attacker who can redirect or answer. The secret goes to the URL of the token endpoint only: a
//     redirect there is an error. The token goes only to the origins that Transport was made for, also after
//     a redirect of the API. Both need https.
//   - An endpoint that answers without bound, or with something else. An answer has at most 64 KiB in strict
//     JSON and ten seconds. The token is of type Bearer, and has the scopes that were asked for.
//   - A reader of logs. No error and no printed Source has the secret, a token or the text of an answer.
//   - An API that answers 401 to every request. It causes at most one new token in 30 s.
//
// # Example
//
//	tokens, err := clientcredentials.New("https://acme.auth.eu-west-1.amazoncognito.com/oauth2/token",
//		"4client", os.Getenv("CLIENT_SECRET"), &clientcredentials.Options{Scopes: []string{"orders/write"}})
//	transport, err := tokens.Transport(nil, "https://api.example")
//	client := &http.Client{Transport: transport, Timeout: 30 * time.Second}
//
// # Stability
//
// The names are stable. Intervals may change.
package clientcredentials
