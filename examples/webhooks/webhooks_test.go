package main

import (
	"bytes"
	"testing"
)

// TestPlay: the consumer and the partner handle each push once, and none of them gets anything forged.
func TestPlay(t *testing.T) {
	const want = `GitHub sends a push
  consumer: refs/heads/main of acme/shop, vouched for by hooks
  partner: webhook.github.push from https://hooks.example/deployments
  receiver: 200 handled
GitHub sends it again
  receiver: 200 replayed
an attacker sends a captured one under a new ID
  receiver: 200 replayed
GitHub still signs with the previous secret
  consumer: refs/heads/next of acme/shop, vouched for by hooks
  partner: webhook.github.push from https://hooks.example/deployments
  receiver: 200 handled
an attacker changes the body
  receiver: 401 bad_signature
an attacker signs with a guessed secret
  receiver: 401 bad_signature
an attacker changes the sealed event on the bus
  consumer: refused, modified
  sender: refused, modified
`
	var out bytes.Buffer
	if err := play(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}
