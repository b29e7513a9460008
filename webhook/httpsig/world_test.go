package httpsig_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/httpsig"
)

const (
	baseURL = "https://hooks.example"
	target  = "/hooks/orders?tenant=7&b=%20"
	body    = `{"id":"evt_1","state":"paid"}`
)

var now = time.Unix(1_790_000_000, 0)

// rfcTime is the moment of the signatures in RFC 9421.
var rfcTime = time.Unix(1_618_884_473, 0)

func newSigner(t testing.TB, algorithm keys.Algorithm) *keys.LocalSigner {
	t.Helper()
	s, err := keys.GenerateSigner(algorithm, "orders")
	check(t, err)
	return s
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// keysOf are the public halves, as Secrets.
func keysOf(signers ...keys.Signer) []webhook.Secret {
	var list []webhook.Secret
	for _, s := range signers {
		list = append(list, webhook.Secret{ID: s.Verifier().KeyID(), Text: string(s.Verifier().JWK())})
	}
	return list
}

func newVerifier(t testing.TB, secrets []webhook.Secret, p *httpsig.Profile) *webhook.Verifier {
	t.Helper()
	v, err := webhook.New(httpsig.Scheme(p), "orders", secrets,
		&webhook.Options{Scheme: webhook.SchemeOptions{BaseURL: baseURL}})
	check(t, err)
	return v
}

// newRequest is a request that is not signed yet.
func newRequest(t testing.TB) *http.Request {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, baseURL+target, strings.NewReader(body))
	check(t, err)
	req.Header.Set("Content-Type", "application/json")
	return req
}

// delivery is that request, signed, as a receiver gets it.
func delivery(t testing.TB, signer keys.Signer, p *httpsig.Profile, at time.Time) webhook.Request {
	t.Helper()
	req := newRequest(t)
	check(t, httpsig.Sign(t.Context(), req, []byte(body), signer, p, at))
	return webhook.FromHTTP(req, []byte(body))
}

// header is the value of the one line of that name.
func header(t testing.TB, r webhook.Request, name string) string {
	t.Helper()
	value, err := r.HeaderValue(name)
	check(t, err)
	return value
}

// without is the request without that field, and with the further lines.
func without(r webhook.Request, name string, add ...webhook.Field) webhook.Request {
	r.Header = slices.DeleteFunc(slices.Clone(r.Header), func(f webhook.Field) bool { return f.Name == name })
	r.Header = append(r.Header, add...)
	return r
}

// wantReason fails unless the verdict on r is that Reason; "" = it is verified.
func wantReason(t *testing.T, v *webhook.Verifier, r webhook.Request, at time.Time, want envelope.Reason) {
	t.Helper()
	verified, err := v.Verify(t.Context(), r, at)
	if got := webhook.ReasonOf(err); got != want || (err == nil) != (want == "") {
		t.Errorf("%q (%v), want %q", got, err, want)
	}
	if err != nil && verified != nil {
		t.Error("an unverified delivery is returned")
	}
}

func digestOf(body string) string {
	sum := sha256.Sum256([]byte(body))
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
}

// rfcFile is a file of the RFC's appendix.
func rfcFile(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "rfc9421", name))
	check(t, err)
	return string(text)
}

// rfcKeys are the keys of the RFC that the scheme takes.
func rfcKeys(t testing.TB) []webhook.Secret {
	t.Helper()
	return []webhook.Secret{{ID: "test-key-ed25519", Text: rfcFile(t, "test-key-ed25519.pub")},
		{ID: "test-key-ecc-p256", Text: rfcFile(t, "test-key-ecc-p256.pub")}}
}

// rfcRequest reads a request of the RFC. Its lines have the order of the file.
func rfcRequest(t testing.TB, name string) webhook.Request {
	t.Helper()
	head, rest, ok := strings.Cut(rfcFile(t, name), "\n\n")
	if !ok {
		t.Fatal("a message without a body")
	}
	lines := strings.Split(head, "\n")
	words := strings.Split(lines[0], " ")
	r := webhook.Request{Method: words[0], Target: words[1], Body: []byte(strings.TrimSuffix(rest, "\n"))}
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ": ")
		r.Header = append(r.Header, webhook.Field{Name: name, Value: value})
	}
	return r
}

// rfcResponse reads a response of the RFC.
func rfcResponse(t testing.TB, name string) (*http.Response, []byte) {
	t.Helper()
	text := strings.ReplaceAll(rfcFile(t, name), "\n", "\r\n")
	req, err := http.NewRequest(http.MethodPost, "https://example.com/foo?param=Value&Pet=dog", nil)
	check(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(text)), req)
	check(t, err)
	content, err := io.ReadAll(resp.Body)
	check(t, err)
	return resp, bytes.TrimSuffix(content, []byte("\r\n"))
}

// errorOf is the webhook.Error in err.
func errorOf(t testing.TB, err error) *webhook.Error {
	t.Helper()
	e, ok := errors.AsType[*webhook.Error](err)
	if !ok {
		t.Fatalf("%v is no webhook.Error", err)
	}
	return e
}
