package sender_test

import (
	"bytes"
	"testing"

	"github.com/sealbus/sealbus/webhook/sender"
)

func localKey(t *testing.T, seed byte) *sender.LocalKey {
	t.Helper()
	k, err := sender.NewLocalKey("2026", bytes.Repeat([]byte{seed}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}
