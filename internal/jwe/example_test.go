package jwe_test

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"fmt"
	"log"

	"github.com/sealbus/sealbus/internal/jwe"
)

// A content key is made once and wrapped for each recipient. Then it encrypts many messages. An opener asks
// its identity for the content key of the first entry that the identity takes.
func Example() {
	ctx := context.Background()
	private, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	recipient, err := jwe.NewECDHRecipient("key-1", private.PublicKey())
	if err != nil {
		log.Fatal(err)
	}
	key := jwe.NewContentKey()
	defer key.Zero()
	wrapped, err := recipient.Wrap(ctx, key)
	if err != nil {
		log.Fatal(err)
	}
	event := []byte(`{"id":"1"}`) // what the data belongs to
	doc, err := jwe.Encrypt(key, []byte(`{"amount":12}`), "application/json", event,
		[]jwe.WrappedKey{wrapped})
	if err != nil {
		log.Fatal(err)
	}

	m, err := jwe.Parse(doc)
	if err != nil {
		log.Fatal(err)
	}
	if err := m.Check(event); err != nil { // before a key is touched
		log.Fatal(err)
	}
	identity, err := jwe.NewECDHIdentity("key-1", private)
	if err != nil {
		log.Fatal(err)
	}
	for i := range m.Keys {
		if !identity.Takes(&m.Keys[i]) {
			continue
		}
		opened, err := identity.Unwrap(ctx, &m.Keys[i])
		if err != nil {
			log.Fatal(err)
		}
		plaintext, err := m.Decrypt(opened, event)
		opened.Zero()
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s %s\n", m.ContentType, plaintext)
		break
	}
	// Output: application/json {"amount":12}
}
