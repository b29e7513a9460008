package gateway_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/producer"
	"github.com/sealbus/sealbus/webhook/gateway"
)

func ExampleNew() {
	signer, err := keys.GenerateSigner(keys.Ed25519, "hooks") // a program opens a keyring
	if err != nil {
		fmt.Println(err)
		return
	}
	os.Setenv("GITHUB_SECRET", "as GitHub shows it")
	config := []byte(`
endpoints:
  github:
    path: /hooks/github
    provider: github
    secrets: [env:GITHUB_SECRET]
    source: https://hooks.example/github
`)
	bus := producer.NewLocalBus(nil)
	g, err := gateway.New(context.Background(), config, keys.SignWith(signer), bus, replay.NewMemory(nil),
		nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	answer := httptest.NewRecorder()
	g.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, "/hooks/github", nil))
	fmt.Println(answer.Body)
	// Output: {"title":"Unauthorized","status":401,"reason":"unsigned"}
}
