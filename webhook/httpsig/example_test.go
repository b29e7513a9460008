package httpsig_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"strings"
	"time"

	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/httpsig"
)

// A sender signs each attempt, and a receiver that has the public key verifies it.
func Example() {
	ctx, at := context.Background(), time.Now()
	signer, err := keys.GenerateSigner(keys.Ed25519, "orders") // or awskms.NewSigner
	if err != nil {
		log.Fatal(err)
	}
	const body = `{"state":"paid"}`
	req, err := http.NewRequest(http.MethodPost, "https://hooks.example/in", strings.NewReader(body))
	if err != nil {
		log.Fatal(err)
	}
	if err := httpsig.Sign(ctx, req, []byte(body), signer, nil, at); err != nil {
		log.Fatal(err)
	}

	public := []webhook.Secret{{Text: string(signer.Verifier().JWK())}}
	verifier, err := webhook.New(httpsig.Scheme(nil), "in", public,
		&webhook.Options{Scheme: webhook.SchemeOptions{BaseURL: "https://hooks.example"}})
	if err != nil {
		log.Fatal(err)
	}
	delivery := webhook.FromHTTP(req, []byte(body)) // webhook.NewReceiver does this, and asks a replay store
	verified, err := verifier.Verify(ctx, delivery, at)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(verified.KeyID == signer.Verifier().KeyID(), string(verified.Body))
	// Output: true {"state":"paid"}
}

// The public keys of a keyring, for receivers.
func ExampleKeySet() {
	signer, err := keys.GenerateSigner(keys.ES256, "orders")
	if err != nil {
		log.Fatal(err)
	}
	public := func() []keys.PublicKey { return []keys.PublicKey{{Verifier: signer.Verifier()}} }
	http.Handle("/.well-known/jwks.json", httpsig.KeySet(public, nil)) // or the PublicKeys of a Keyring
	// Output:
}
