package session_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/session"
)

// A root key vouches for session keys that may sign the events of one source.
func ExampleDelegate() {
	root, err := keys.GenerateSigner(keys.ES256, "orders") // in production a key of package awskms
	if err != nil {
		log.Fatal(err)
	}
	scope := session.Scope{Sources: []string{"https://orders.example/*"},
		Types: []string{"com.example.order.*"}}
	s, err := session.Delegate(context.Background(), root, scope, time.Hour, nil)
	if err != nil {
		log.Fatal(err)
	}
	sources, types := s.Scope()
	fmt.Println(s.Producer(), sources, types)
	// Output: orders [https://orders.example/*] [com.example.order.*]
}
