package webhook_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/webhook"
)

// hostileAddresses are addresses of a certificate that lead, or could lead, elsewhere. %s is the genuine
// host.
var hostileAddresses = map[string]string{
	"http":                           "http://%s/SimpleNotificationService-1.pem",
	"another scheme":                 "file://%s/SimpleNotificationService-1.pem",
	"scheme in another case":         "HTTPS://%s/SimpleNotificationService-1.pem",
	"no scheme":                      "//%s/SimpleNotificationService-1.pem",
	"another host":                   "https://evil.example/SimpleNotificationService-1.pem",
	"host as a prefix":               "https://%s.evil.example/SimpleNotificationService-1.pem",
	"host as a suffix":               "https://evil%s/SimpleNotificationService-1.pem",
	"host in the path":               "https://evil.example/%s/SimpleNotificationService-1.pem",
	"host in another case":           "https://SNS.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem",
	"another service":                "https://s3.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem",
	"bucket":                         "https://sns.eu-west-1.amazonaws.com.s3.amazonaws.com/a.pem",
	"bucket named after the service": "https://sns.s3.eu-west-1.amazonaws.com/a.pem",
	"path to a bucket":               "https://%s/bucket/SimpleNotificationService-1.pem",
	"path with dots":                 "https://%s/../a.pem",
	"encoded path":                   "https://%s/%2e%2e%2fa.pem",
	"backslash":                      `https://%s\@evil.example/a.pem`,
	"user information":               "https://user:password@%s/SimpleNotificationService-1.pem",
	"host as user":                   "https://%s@evil.example/SimpleNotificationService-1.pem",
	"encoded at sign":                "https://%s%40evil.example/SimpleNotificationService-1.pem",
	"port":                           "https://%s:8443/SimpleNotificationService-1.pem",
	"usual port":                     "https://%s:443/SimpleNotificationService-1.pem",
	"empty port":                     "https://%s:/SimpleNotificationService-1.pem",
	"trailing dot":                   "https://%s./SimpleNotificationService-1.pem",
	"percent-encoded host":           "https://%73ns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem",
	"full-width letters":             "https://ｓns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem",
	"dotless i":                      "https://sns.eu-west-1.amazonaws.com.ı/SimpleNotificationService-1.pem",
	"punycode":                       "https://xn--ns-9ma.eu-west-1.amazonaws.com/a.pem",
	"ideographic full stop":          "https://sns。eu-west-1.amazonaws.com/SimpleNotificationService-1.pem",
	"zero byte":                      "https://%s\x00.evil.example/SimpleNotificationService-1.pem",
	"line break":                     "https://%s/a.pem\r\nHost: evil.example",
	"tab":                            "https://%s/\ta.pem",
	"IPv4":                           "https://169.254.169.254/latest/meta-data/a.pem",
	"IPv4 as a number":               "https://2852039166/a.pem",
	"IPv6":                           "https://[::1]/a.pem",
	"loopback":                       "https://localhost/a.pem",
	"query":                          "https://%s/SimpleNotificationService-1.pem?Action=x",
	"fragment":                       "https://%s/SimpleNotificationService-1.pem#.pem",
	"another file":                   "https://%s/SimpleNotificationService-1.txt",
	"no file":                        "https://%s/",
	"only the ending":                "https://%s/.pem",
	"another region":                 "https://sns.eu-west-2.amazonaws.com/SimpleNotificationService-1.pem",
	"another partition":              "https://%s.cn/SimpleNotificationService-1.pem",
	"no region":                      "https://sns.amazonaws.com/SimpleNotificationService-1.pem",
	"white space":                    " https://%s/SimpleNotificationService-1.pem",
	"empty":                          "",
}

// TestCertificateAddressThatLeadsElsewhereIsNotAsked is for SNS: an attacker signs the message with a key
// of their own, and names its address.
func TestCertificateAddressThatLeadsElsewhereIsNotAsked(t *testing.T) {
	w := soundSNS(t)
	v := w.verifier(t)
	for name, format := range hostileAddresses {
		m := snsNotification()
		m["SigningCertURL"] = strings.ReplaceAll(format, "%s", "sns.eu-west-1.amazonaws.com")
		_, err := v.Verify(context.Background(), m.signed(t, 0), certAt)
		if webhook.ReasonOf(err) != envelope.ReasonUnknownKey {
			t.Errorf("%s: %q: %v", name, m["SigningCertURL"], err)
		}
	}
	if w.count() != 0 {
		t.Error(w.asked)
	}
}

func TestPayPalAddressThatLeadsElsewhereIsNotAsked(t *testing.T) {
	w, v := paypalWorld(t)
	for _, address := range []string{
		"http://api.paypal.com/v1/notifications/certs/CERT-1",
		"https://paypal.com/v1/notifications/certs/CERT-1",
		"https://api.paypal.com.evil.example/v1/notifications/certs/CERT-1",
		"https://evilpaypal.com/v1/notifications/certs/CERT-1",
		"https://evil.example/api.paypal.com/v1/notifications/certs/CERT-1",
		"https://api.paypal.com@evil.example/v1/notifications/certs/CERT-1",
		"https://user@api.paypal.com/v1/notifications/certs/CERT-1",
		"https://api.paypal.com:443/v1/notifications/certs/CERT-1",
		"https://api.paypal.com./v1/notifications/certs/CERT-1",
		"https://api%2epaypal.com/v1/notifications/certs/CERT-1",
		"https://ａpi.paypal.com/v1/notifications/certs/CERT-1",
		"https://API.PAYPAL.COM/v1/notifications/certs/CERT-1",
		"https://a.b.c.paypal.com/v1/notifications/certs/CERT-1",
		"https://10.0.0.1/v1/notifications/certs/CERT-1", "https://[::1]/v1/notifications/certs/CERT-1",
		"https://api.paypal.com/v1/notifications/certs/../../evil",
		"https://api.paypal.com/v1/notifications/certs/CERT-1?u=https://evil.example",
		"https://api.paypal.com/v1/notifications/certs/CERT-1#x",
		"https://api.paypal.com/v1/notifications/certs/",
		"https://api.paypal.com/evil/CERT-1",
		`https://api.paypal.com\.evil.example/v1/notifications/certs/CERT-1`,
		"https://api.paypal.com/v1/notifications/certs/CERT-1 ",
	} {
		r := soundPayPal(t)
		*header(t, &r, "PAYPAL-CERT-URL") = address
		if _, err := v.Verify(context.Background(), r, certAt); webhook.ReasonOf(err) != "unknown_key" {
			t.Errorf("%s: %v", address, err)
		}
	}
	if w.count() != 0 {
		t.Error(w.asked)
	}
}

// certCase is a chain of certificates, and the Reason for which it is refused; "" = it is sound.
type certCase struct {
	name  string
	chain func(root *issuer) []*x509.Certificate
	want  envelope.Reason
}

// certCases have one defect each.
func certCases(t *testing.T) []certCase {
	const name = "sns.amazonaws.com"
	type certs = []*x509.Certificate
	small, other := &rsaKeys()[2].PublicKey, newIssuer(t, "root", nil, nil)
	elliptical, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	between := func(root *issuer, change func(*x509.Certificate)) certs {
		middle := newIssuer(t, "between", root, change)
		return certs{middle.leaf(t, name, nil), middle.cert}
	}
	return []certCase{
		{"sound", func(root *issuer) []*x509.Certificate { return between(root, nil) }, ""},
		{"signing name of the region", func(root *issuer) []*x509.Certificate {
			return certs{root.leaf(t, "sns-signing.eu-west-1.amazonaws.com", nil)}
		}, ""},
		{"another host", func(root *issuer) certs { return certs{root.leaf(t, "evil.example", nil)} },
			"key_not_valid"},
		{"another region", func(root *issuer) []*x509.Certificate {
			return certs{root.leaf(t, "sns-signing.eu-west-2.amazonaws.com", nil)}
		}, "key_not_valid"},
		{"wildcard", func(root *issuer) []*x509.Certificate {
			return certs{root.leaf(t, "*.amazonaws.com", nil)}
		}, "key_not_valid"},
		{"common name only", func(root *issuer) []*x509.Certificate {
			return certs{root.leaf(t, name, func(c *x509.Certificate) { c.DNSNames = nil })}
		}, "key_not_valid"},
		{"expired", func(root *issuer) []*x509.Certificate {
			return certs{root.leaf(t, name, func(c *x509.Certificate) {
				c.NotAfter = certAt.Add(-time.Second)
			})}
		}, "key_not_valid"},
		{"not valid yet", func(root *issuer) []*x509.Certificate {
			return certs{root.leaf(t, name, func(c *x509.Certificate) {
				c.NotBefore = certAt.Add(time.Second)
			})}
		}, "key_not_valid"},
		{"self-signed", func(*issuer) []*x509.Certificate {
			own := &x509.Certificate{SerialNumber: other.cert.SerialNumber, DNSNames: []string{name},
				NotBefore: certFrom, NotAfter: certTo}
			return certs{issue(t, own, &x509.Certificate{}, &rsaKeys()[0].PublicKey, rsaKeys()[0])}
		}, "unknown_key"},
		{"another root of the same name", func(*issuer) []*x509.Certificate {
			return append(between(other, nil), other.cert)
		}, "unknown_key"},
		{"CA:false", func(root *issuer) []*x509.Certificate {
			return between(root, func(c *x509.Certificate) { c.IsCA = false })
		}, "unknown_key"},
		{"no basic constraints", func(root *issuer) []*x509.Certificate {
			return between(root, func(c *x509.Certificate) { c.BasicConstraintsValid, c.IsCA = false, false })
		}, "unknown_key"},
		{"expired issuer", func(root *issuer) []*x509.Certificate {
			return between(root, func(c *x509.Certificate) { c.NotAfter = certAt.Add(-time.Second) })
		}, "key_not_valid"},
		{"issuer for other names", func(root *issuer) []*x509.Certificate {
			return between(root, func(c *x509.Certificate) {
				c.PermittedDNSDomains = []string{"evil.example"}
			})
		}, "unknown_key"},
		{"issuer left out", func(root *issuer) []*x509.Certificate { return between(root, nil)[:1] },
			"unknown_key"},
		{"for mail only", func(root *issuer) []*x509.Certificate {
			return certs{root.leaf(t, name, func(c *x509.Certificate) {
				c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection}
			})}
		}, "unknown_key"},
		{"short key", func(root *issuer) []*x509.Certificate {
			return certs{root.leafOf(t, name, small, nil)}
		}, "unknown_key"},
		{"another kind of key", func(root *issuer) []*x509.Certificate {
			return certs{root.leafOf(t, name, &elliptical.PublicKey, nil)}
		}, "unknown_key"},
		{"another key", func(root *issuer) []*x509.Certificate {
			return certs{root.leafOf(t, name, &rsaKeys()[1].PublicKey, nil)}
		}, "bad_signature"},
	}
}

// TestCertificateThatIsWrongIsRefused: the signature is genuine, and each certificate has one defect.
func TestCertificateThatIsWrongIsRefused(t *testing.T) {
	for _, c := range certCases(t) {
		t.Run(c.name, func(t *testing.T) {
			w := newSNS(t, c.chain)
			_, err := w.verifier(t).Verify(context.Background(), snsNotification().signed(t, 0), certAt)
			if webhook.ReasonOf(err) != c.want {
				t.Error(err)
			}
		})
	}
}

// TestCertificateThatCannotBeFetchedIsTransient: the sender retries. No redirect is followed.
func TestCertificateThatCannotBeFetchedIsTransient(t *testing.T) {
	w := soundSNS(t)
	sound := w.answers[snsAddress]
	chain := func() []byte {
		resp, _ := sound()
		var text bytes.Buffer
		_, _ = text.ReadFrom(resp.Body)
		return text.Bytes()
	}()
	v := w.verifier(t)
	verify := func() error {
		_, err := v.Verify(context.Background(), snsNotification().signed(t, 0), certAt)
		return err
	}
	for _, c := range []struct {
		status int
		body   []byte
	}{
		{301, chain}, {302, chain}, {307, chain}, {308, chain}, {404, chain}, {429, nil}, {500, nil},
		{206, chain},
		{204, nil}, {200, nil}, {200, []byte("<html>")}, {200, bytes.Repeat(chain, 30)},
		{200, bytes.Repeat(chain,
			5)},
		{200, []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")},
		{200, []byte("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")},
	} {
		w.serve(snsAddress, c.status, c.body)
		err := verify()
		reason := webhook.ReasonOf(err)
		if reason != "trust_unavailable" || reason.Class() != envelope.Transient {
			t.Errorf("%d with %d bytes: %v", c.status, len(c.body), err)
		}
	}
	w.answers[snsAddress] = nil
	if err := verify(); webhook.ReasonOf(err) != "trust_unavailable" || !errors.Is(err, errNoHost) {
		t.Error(err)
	}
	for _, address := range w.asked {
		if address != snsAddress {
			t.Error("asked", address)
		}
	}
	if w.answers[snsAddress] = sound; verify() != nil {
		t.Error("a failure is remembered:", verify())
	}
}

// TestCertificateOfTheIssuer: SNS leaves it out of its file. It is fetched from known certification
// authorities only, and believed only as a link of the chain.
func TestCertificateOfTheIssuer(t *testing.T) {
	const address = "http://crt.r2m01.amazontrust.com/r2m01.cer"
	var middle *issuer
	world := func(addresses ...string) *snsWorld {
		return newSNS(t, func(root *issuer) []*x509.Certificate {
			middle = newIssuer(t, "between", root, nil)
			return []*x509.Certificate{middle.leaf(t, "sns.amazonaws.com", func(c *x509.Certificate) {
				c.IssuingCertificateURL = addresses
			})}
		})
	}
	verify := func(w *snsWorld, at time.Time) envelope.Reason {
		_, err := w.verifier(t).Verify(context.Background(), snsNotification().signed(t, 0), at)
		return webhook.ReasonOf(err)
	}
	w := world("http://evil.example/a.cer", address)
	if got := verify(w, certAt); got != "trust_unavailable" {
		t.Error("not reached:", got)
	}
	w.serve(address, 200, newIssuer(t, "between", nil, nil).cert.Raw)
	if got := verify(w, certAt); got != "trust_unavailable" {
		t.Error("another certificate over http:", got)
	}
	w.serve(address, 200, middle.cert.Raw)
	before := w.count()
	if got := verify(w, certTo.Add(time.Second)); got != "key_not_valid" {
		t.Error("too late:", got)
	}
	if w.count() != before+2 {
		t.Error("another delivery that waits for the same request, judged earlier, would lack the issuer")
	}
	if got := verify(w, certAt); got != "" {
		t.Error(got)
	}
	asked := w.count()
	if got := verify(w, certAt); got != "" || w.count() != asked {
		t.Error("not kept:", got, w.asked)
	}
	for _, at := range []time.Time{certTo.Add(time.Second), certFrom.Add(-time.Second)} {
		if got := verify(w, at); got != "key_not_valid" {
			t.Error("kept beyond its validity:", got)
		}
	}
	for _, hostile := range []string{"http://evil.example/a.cer",
		"http://crt.r2m01.amazontrust.com.evil.example/a.cer",
		"http://crt.r2m01.amazontrust.com@evil.example/a.cer", "http://crt.r2m01.amazontrust.com:80/a.cer",
		"http://169.254.169.254/a.cer", "ldap://crt.r2m01.amazontrust.com/a.cer",
		"http://crt.r2m01.amazontrust.com/a/b.cer", "http://crt.r2m01.amazontrust.com/a.cer?x"} {
		w := world(hostile)
		if got := verify(w, certAt); got != "unknown_key" || w.count() != 1 {
			t.Error(hostile, got, w.asked)
		}
	}
}

// slow is a transport whose answers come when the test says so.
type slow struct {
	web
	release chan struct{}
	begun   atomic.Int32
}

func (s *slow) RoundTrip(req *http.Request) (*http.Response, error) {
	s.begun.Add(1)
	select {
	case <-s.release:
		return s.web.RoundTrip(req)
	case <-req.Context().Done():
		return nil, req.Context().Err()
	}
}

// TestCertificateIsFetchedOnceForAllWhoWait, and no more than a few are under way. A delivery that gives up
// does not take the request with it, and one that never ends is given up.
func TestCertificateIsFetchedOnceForAllWhoWait(t *testing.T) {
	root := newIssuer(t, "root", nil, nil)
	served := pemOf(root.leaf(t, "sns.amazonaws.com", nil))
	messages := make([]webhook.Request, 200) // made outside: RSA is no matter of the bubble
	for i := range messages {
		m := snsNotification()
		m["SigningCertURL"] = fmt.Sprintf("%sa%d.pem", snsHost, i%70)
		messages[i] = m.signed(t, 0)
	}
	synctest.Test(t, func(t *testing.T) {
		w := &slow{release: make(chan struct{})}
		for i := range 70 {
			w.serve(fmt.Sprintf("%sa%d.pem", snsHost, i), 200, served)
		}
		v := verifier(t, "sns", nil, webhook.SchemeOptions{Topics: []string{snsTopic},
			Certificates: &webhook.Certificates{Roots: root.pool(), Transport: w}})
		impatient, cancel := context.WithCancel(context.Background())
		left := make(chan error)
		go func() { _, err := v.Verify(impatient, messages[0], certAt); left <- err }()
		synctest.Wait()
		cancel()
		if err := <-left; webhook.ReasonOf(err) != "trust_unavailable" {
			t.Error(err)
		}
		results := make(chan error, 200)
		for range 200 {
			go func() { _, err := v.Verify(context.Background(), messages[0], certAt); results <- err }()
		}
		synctest.Wait()
		close(w.release)
		for range 200 {
			if err := <-results; err != nil {
				t.Fatal(err)
			}
		}
		if w.count() != 1 {
			t.Error("asked", w.count(), "times")
		}
	})
	synctest.Test(t, func(t *testing.T) { // no answer at all
		w := &slow{release: make(chan struct{})}
		v := verifier(t, "sns", nil, webhook.SchemeOptions{Topics: []string{snsTopic},
			Certificates: &webhook.Certificates{Roots: root.pool(), Transport: w}})
		results := make(chan error, 200) // 70 addresses, of which 64 may be waited for
		for i := range 200 {
			go func() { _, err := v.Verify(context.Background(), messages[i], certAt); results <- err }()
		}
		synctest.Wait()
		if busy := len(results); w.begun.Load() != 4 || busy == 0 {
			t.Error(w.begun.Load(), "requests are under way,", busy, "deliveries do not wait")
		}
		for range 200 {
			if err := <-results; webhook.ReasonOf(err) != "trust_unavailable" {
				t.Error(err)
			}
		}
		synctest.Wait()
	})
}

// TestCertificatesAreBounded: of more certificates than are kept, the one that ends first goes.
func TestCertificatesAreBounded(t *testing.T) {
	w := newSNS(t, func(root *issuer) []*x509.Certificate { return []*x509.Certificate{root.cert} })
	v := w.verifier(t)
	verify := func(i int) {
		t.Helper()
		m := snsNotification()
		m["SigningCertURL"] = fmt.Sprintf("%sa%d.pem", snsHost, i)
		if _, err := v.Verify(context.Background(), m.signed(t, 0), certAt); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 65 {
		w.serve(fmt.Sprintf("%sa%d.pem", snsHost, i), 200, pemOf(w.root.leaf(t, "sns.amazonaws.com",
			func(c *x509.Certificate) { c.NotAfter = certTo.Add(-time.Duration(i) * time.Hour) })))
		verify(i)
	}
	for _, c := range []struct{ number, asked int }{{0, 65}, {64, 65}, {63, 66}} {
		if verify(c.number); w.count() != c.asked {
			t.Error(c.number, "asked", w.count(), "times")
		}
	}
}
