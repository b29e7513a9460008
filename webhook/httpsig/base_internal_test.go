package httpsig

import (
	"crypto"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"os"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/webhook"
)

// TestRFCBases makes the signature base of each message in appendix B.2 that has no @query-param, also of
// those whose algorithm is not taken. Their signatures are verified here by the standard library.
func TestRFCBases(t *testing.T) {
	for file, label := range map[string]string{"b21_request": "sig-b21", "b23_request": "sig-b23",
		"b24_response": "sig-b24", "b25_request": "sig-b25", "b26_request": "sig-b26"} {
		t.Run(file, func(t *testing.T) {
			m := readMessage(t, file+"_signed.txt")
			p := &Profile{Label: label, UnsafePartial: true, Components: []string{}}
			r, err := p.compile(m.status != 0)
			if err != nil {
				t.Fatal(err)
			}
			s, err := r.read(m)
			if err != nil {
				t.Fatal(err)
			}
			base, err := m.appendBase(nil, s.covered, s.params)
			if want := readFile(t, file+"_sigbase.txt"); err != nil || string(base) != want {
				t.Errorf("%v\n%s\nwant\n%s", err, base, want)
			}
			switch label {
			case "sig-b21", "sig-b23":
				sum := sha512.Sum512(base)
				if err := rsa.VerifyPSS(rsaKey(t), crypto.SHA512, sum[:], s.bytes, nil); err != nil {
					t.Error(err)
				}
			case "sig-b25":
				text := strings.TrimSpace(readFile(t, "test-shared-secret"))
				key, err := base64.StdEncoding.DecodeString(text)
				if err != nil {
					t.Fatal(err)
				}
				mac := hmac.New(sha256.New, key)
				mac.Write(base)
				if !hmac.Equal(mac.Sum(nil), s.bytes) {
					t.Error("the HMAC is another one")
				}
			}
		})
	}
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("testdata/rfc9421/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func readMessage(t *testing.T, name string) *message {
	t.Helper()
	head, _, _ := strings.Cut(readFile(t, name), "\n\n")
	lines := strings.Split(head, "\n")
	words := strings.Split(lines[0], " ")
	m := &message{origin: origin{"https", "example.com"}, method: words[0], target: words[1]}
	if strings.HasPrefix(name, "b24") {
		m.status = 200
	}
	for _, line := range lines[1:] {
		field, value, _ := strings.Cut(line, ": ")
		m.lines = append(m.lines, webhook.Field{Name: field, Value: value})
	}
	return m
}

func rsaKey(t *testing.T) *rsa.PublicKey {
	t.Helper()
	block, _ := pem.Decode([]byte(readFile(t, "test-key-rsa-pss.pub")))
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return key.(*rsa.PublicKey)
}
