// Package webhook verifies what third parties send over HTTP: GitHub, Stripe, Slack, everything that follows
// Standard Webhooks, and others. Providers lists them.
//
// # Receive
//
// A Verifier knows one provider, one endpoint and its secrets. A Handler answers the provider, and calls a
// function once for each genuine delivery:
//
//	github, err := webhook.Provider("github")
//	secrets := []webhook.Secret{{Text: os.Getenv("GITHUB_SECRET")}}
//	verifier, err := webhook.New(github, "deployments", secrets, nil)
//	handler, err := webhook.Handler(verifier, replay.NewMemory(nil),
//		func(ctx context.Context, d *webhook.Verified) error { return deploy(ctx, d.Body) }, nil)
//	http.ListenAndServe("localhost:8080", handler)
//
// Package ingest has such a function, which puts deliveries on a bus as sealed events. Package
// webhook/awslambda runs a Receiver as a Lambda function. Package sender is the other direction.
//
// # Verify
//
// A Verifier checks the deliveries of one provider to one endpoint. Verify takes the request as it came,
// whatever front end took it, and the time at which it is judged. It gives a Verified or an *Error, whose
// Reason is one of package envelope. Nothing unverified is a return value. Verified.Replay is what a replay
// store is asked, so that each delivery is handled once. Receiver does all of this, and Handler is a Receiver
// for net/http.
//
// # Recipes
//
// Most providers sign a string that is made of headers and the body, and put the signature into a header. A
// recipe says how, as data: a JSON file without expressions. ParseRecipe reads one of your own, and Lint says
// what is wrong with it. Providers that sign in other ways are schemes in Go.
//
// # Threats
//
//   - A forger who knows everything but the secret. Signatures are compared in constant time and in full. A
//     secret is never empty. A header never chooses a key or an algorithm, and SHA-1 is used only where a
//     provider has nothing else.
//   - A forger who has genuine deliveries and changes them. The raw body is verified, never a form of it that
//     was written anew. A signed string can be cut into its parts in one way only. A header that stands twice
//     is refused.
//   - A forger who sends genuine deliveries again. The signed time is held against the tolerance, both ways.
//     The replay key contains only what is signed.
//   - A forger who has a secret of another endpoint. Each endpoint has its own secrets, and its name is in
//     the replay key.
//   - A flood. Each limit is checked before anything is computed.
//
// # Stable
//
// The verdicts, the Reasons, the form of recipes and the replay keys.
package webhook
