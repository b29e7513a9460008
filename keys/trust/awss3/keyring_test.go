package awss3_test

import (
	"testing"

	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/keystest"
	"github.com/sealbus/sealbus/keys/trust/awss3"
)

func TestKeyringFetch(t *testing.T) {
	keystest.TestKeyringFetch(t, func(t testing.TB, first []byte) (keys.KeyringFetch, func([]byte)) {
		s := newStore(t)
		publish := func(content []byte) {
			s.failing.Store(nil)
			if content == nil {
				s.fail(503, "SlowDown")
				return
			}
			s.put("ring", content, "")
		}
		publish(first)
		fetch, err := awss3.Keyring(s, bucket, "ring")
		if err != nil {
			t.Fatal(err)
		}
		return fetch, publish
	})
}
