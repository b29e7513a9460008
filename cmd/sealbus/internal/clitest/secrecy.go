package clitest

import (
	"strings"
)

const (
	Canary       = "tangerine-zeppelin-0451"
	CanaryNumber = "4111222233334444555"
	canaryOrder  = `{"specversion":"1.0","id":"o-1","source":"https://shop.example/eu",` +
		`"type":"com.example.order","data":{"card":{"` + Canary + `":` + CanaryNumber + `,"item":"` +
		Canary + `"},"total":12.5}}`
)

func (b *Bench) NoCanary(what, text string) {
	b.T.Helper()
	for _, c := range []string{"tangerine", "zeppelin", "4111222233"} {
		if strings.Contains(text, c) {
			b.T.Errorf("%s: decrypted text came out: %s", what, text)
		}
	}
	if text == "" {
		b.T.Errorf("%s: nothing came out", what)
	}
}

// EncryptedOrders are the canary's order, encrypted whole and in part to the keyring billing.keyring.
func (b *Bench) EncryptedOrders() []string {
	b.T.Helper()
	ring := []string{"--keyring", b.Path("billing.keyring"), "--insecure-no-passphrase"}
	b.Must("", append([]string{"keys", "new", "--use", "enc", "--consumer", "billing"}, ring...)...)
	b.Must("", append([]string{"keys", "export", "--out", b.Path("billing.pub.json")}, ring...)...)
	seal := b.Seal("--encrypt-to", b.Path("billing.pub.json"))
	whole := b.Must(canaryOrder, seal...)
	second := strings.Replace(canaryOrder, "o-1", "o-2", 1)
	return []string{whole, b.Must(second, append(seal, "--field", "/card")...)}
}
