package webhook_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net/http"
	"sync"
	"testing"
	"time"
)

// The certificates of the tests are valid from the first to the last of these moments.
var (
	certFrom = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	certAt   = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	certTo   = time.Date(2026, 12, 31, 0, 0, 0, 0, time.UTC)
)

// rsaKeys are the keys of the tests: 0 and 1 have 2,048 bits, 2 has 1,024.
var rsaKeys = sync.OnceValue(func() (keys [3]*rsa.PrivateKey) {
	for i, bits := range []int{2048, 2048, 1024} {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			panic(err)
		}
		keys[i] = key
	}
	return keys
})

// issuer is a certification authority.
type issuer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// newIssuer makes a certification authority, signed by another or by itself. change changes its certificate.
func newIssuer(t testing.TB, name string, by *issuer, change func(*x509.Certificate)) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: certFrom, NotAfter: certTo, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign}
	if change != nil {
		change(template)
	}
	parent, signer := template, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	return &issuer{issue(t, template, parent, &key.PublicKey, signer), key}
}

// issue makes a certificate.
func issue(t testing.TB, template, parent *x509.Certificate, public any, by crypto.Signer) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, by)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// leaf makes the certificate of a sender, with the first of rsaKeys.
func (i *issuer) leaf(t testing.TB, name string, change func(*x509.Certificate)) *x509.Certificate {
	return i.leafOf(t, name, &rsaKeys()[0].PublicKey, change)
}

func (i *issuer) leafOf(t testing.TB, name string, public any,
	change func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name},
		DNSNames: []string{name}, NotBefore: certFrom, NotAfter: certTo,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	if change != nil {
		change(template)
	}
	return issue(t, template, i.cert, public, i.key)
}

// pool is a pool of that issuer.
func (i *issuer) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(i.cert)
	return pool
}

// pemOf writes certificates in PEM.
func pemOf(certs ...*x509.Certificate) []byte {
	var text bytes.Buffer
	for _, cert := range certs {
		_ = pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
	}
	return text.Bytes()
}

// web is a transport with an answer for each address. It counts what is asked.
type web struct {
	mu      sync.Mutex
	answers map[string]func() (*http.Response, error)
	asked   []string
}

var errNoHost = errors.New("no such host")

func (w *web) RoundTrip(req *http.Request) (*http.Response, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	address := req.URL.String()
	w.asked = append(w.asked, address)
	if answer := w.answers[address]; answer != nil && req.Method == http.MethodGet {
		return answer()
	}
	return nil, errNoHost
}

// serve makes body the answer of an address.
func (w *web) serve(address string, status int, body []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.answers == nil {
		w.answers = make(map[string]func() (*http.Response, error))
	}
	w.answers[address] = func() (*http.Response, error) {
		return &http.Response{StatusCode: status, Header: http.Header{"Location": {"https://evil.example/"}},
			Body: io.NopCloser(bytes.NewReader(body))}, nil
	}
}

// count is how often something was asked for.
func (w *web) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.asked)
}

// rsaSign signs a text as SNS and PayPal do.
func rsaSign(t testing.TB, key *rsa.PrivateKey, hash crypto.Hash, text string) string {
	t.Helper()
	var sum []byte
	if hash == crypto.SHA1 {
		s := sha1.Sum([]byte(text))
		sum = s[:]
	} else {
		s := sha256.Sum256([]byte(text))
		sum = s[:]
	}
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, hash, sum)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(signature)
}
