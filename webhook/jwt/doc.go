// Package jwt verifies webhooks whose signature is a JSON Web Token (RFC 7519): Google Pub/Sub push and
// Plaid. It is a package of its own because it links go-jose, which package webhook does not.
//
// # Security
//
// An attacker chooses every byte of a delivery, the header of its token included. The scheme fixes the
// algorithm. The header may have alg, kid and typ and nothing else, and kid only selects one of the
// configured keys, or one that comes from the provider's own address. A forger can neither make the
// receiver ask another address, nor ask more than now and then, nor delay the keys that are known.
//
// # Example
//
//	scheme := jwt.GooglePubSub("https://hooks.example/in", "push@project.iam.gserviceaccount.com", nil)
//	verifier, err := webhook.New(scheme, "in", nil, nil)
//
// # Stability
//
// The functions and their options follow semantic versioning. Names of Reasons are those of package envelope.
package jwt
