// Package httpsig signs and verifies HTTP messages: RFC 9421 (HTTP Message Signatures) with RFC 9530
// (Content-Digest).
//
// Scheme is a webhook.Scheme, so that webhook.New, its Receiver, the Lambda front ends and the gateway take
// deliveries that are signed so. Sign signs a request, SignResponse a response, and a ResponseVerifier
// verifies responses. A Profile fixes what a signature covers, on both sides.
//
//	keyOf := []webhook.Secret{{ID: "partner-2026", Text: publicKeyPEM}}
//	v, err := webhook.New(httpsig.Scheme(nil), "orders", keyOf,
//		&webhook.Options{Scheme: webhook.SchemeOptions{BaseURL: "https://hooks.example"}})
//
//	err := httpsig.Sign(ctx, req, body, signer, nil, time.Now())
//
// # What is taken
//
// The algorithms are Ed25519 and ECDSA P-256. The key chooses its algorithm, and the parameter alg may only
// repeat it. RSA and HMAC are left out: this project has no such keys, and an HMAC key that a receiver knows
// could forge what it receives. Components are fields and @method, @target-uri, @authority, @scheme,
// @request-target, @path, @query and @status, and those of the request with "req". The parameters bs, sf, key
// and tr, and @query-param, are refused as unsupported: cover @query instead.
//
// The body is covered by its digest, so the signature base is small whatever the size of the body. MaxBase is
// what AWS KMS signs with an Ed25519 key.
//
// # Threats
//
//   - A forger who changes a genuine message, or takes its signature to another method, path or host. The
//     Profile says what must be covered, and no message can ask for less. Scheme and authority come from the
//     configuration, never from a header such as X-Forwarded-Host.
//   - A forger who adds a signature of his own. Only the signature with the label of the Profile counts, by a
//     key of the configuration, and a label that stands twice is refused.
//   - A forger who sends genuine messages again. The parameter created is required, and the replay store is
//     asked only after the signature was verified: a bad signature burns no nonce.
//   - A text that two programs read in two ways. A field has one form, but for spaces: whatever would be
//     written in another way is malformed. A value with a line break is malformed.
//   - A flood. The limits are those of package webhook, and MaxBase.
//
// # Why it is our own
//
// Structured fields (RFC 9651) are read by github.com/dunglas/httpsfv. The rest is small enough to read.
// github.com/dadrus/httpsig v0.9.0 was the alternative. It asks its nonce checker before the signature is
// verified, takes the authority from the request, takes the last of two labels or parameters of one name,
// accepts every further component, judges by the clock of the process, and needs the private key in memory.
// Each of these would have needed a layer around it. It costs 1.3 to 1.5 times the raw signature and SHA-256
// of a body of 1 KiB; this package costs 0.7 to 1.15 (BenchmarkHTTPSignatures in the module bench).
//
// # Stable
//
// The verdicts and their Reasons, and what Sign covers with the zero Profile.
package httpsig
