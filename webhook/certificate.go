package webhook

import (
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/flight"
	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/nilcheck"
	"github.com/sealbus/sealbus/internal/onefetch"
)

// The limits of certificates.
const (
	maxChain        = 8    // certificates in one answer: public chains have 3
	maxCertificates = 64   // kept: a sender has one or two at a time in each region
	maxFetches      = 4    // at a time, so that forged deliveries do not become a flood of requests
	maxFlights      = 64   // certificates that deliveries wait for
	minRSABits      = 2048 // of a sender's key (NIST SP 800-131A)
)

// Certificates fetches the X.509 certificates that SNS and PayPal sign with, and judges them: the chain up
// to a root, the validity at the judging time, and the name. The zero value is ready. Several Verifiers may
// share one.
//
// A delivery names the address of its certificate before anything about it is known to be true. So the
// address must be https, on exactly the host of the provider, without port and user information, and of the
// provider's form. No redirect is followed. An answer has at most 64 KiB and 10 seconds. At most 4 requests
// are under way, one for each address. Only certificates that passed are kept, at most 64.
//
// If the answer lacks the certificate of the issuer, as that of SNS does, one more request goes over http to
// the host of Amazon's or DigiCert's certification authority that the certificate names.
//
// A fetch that fails is transient (trust_unavailable). A certificate that is not what it should be is
// permanent: unknown_key if no chain leads to a root, key_not_valid at a time when it is not valid, or with
// another name.
type Certificates struct {
	// Roots are the certification authorities that are trusted; nil = those of the system. The certificate of
	// an issuer may be among them.
	Roots *x509.CertPool
	// Transport carries the requests; nil = directly to the host, without a proxy, also if the environment
	// names one. Over https the host may be at a private address, as in a VPC with an interface endpoint. Other
	// special addresses, and private ones over http, are refused.
	Transport http.RoundTripper

	mu      sync.Mutex
	kept    map[string]*certificate // by address
	flights map[string]*certFlight  // by address
	slots   chan struct{}
}

// certificate is the certificate of a sender: its chain and name were judged, or it was pinned.
type certificate struct {
	id       string // reported as KeyID
	key      *rsa.PublicKey
	from, to time.Time // the whole chain is valid in between
}

// certFlight is a request for a certificate, on which all deliveries that name its address wait.
type certFlight struct {
	flight.Flight
	chain chain
	err   error
}

// chain has the certificate of a sender first, and those of its issuers in any order after it.
type chain []*x509.Certificate

// issuerAddress is where the certification authorities of Amazon and PayPal publish their own certificates.
// A certificate names the address of its issuer's (RFC 5280, section 4.2.2.1). SNS leaves that one out of
// its file. The address is http, as everywhere: what comes from it is believed only as a link of a chain up
// to a root.
var issuerAddress = pattern(
	`^http://(?:crt\.[a-z0-9]{1,20}\.amazontrust\.com|cacerts\.digicert\.com)/[A-Za-z0-9_-]{1,80}\.(?:cer|crt)$`)

// pattern compiles a pattern when it is first needed. A program that starts does not pay for the others.
func pattern(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}

// find is the certificate at an address that the scheme has checked. One of the names must be in it.
func (c *Certificates) find(ctx context.Context, address string, names []string, at time.Time) (
	*certificate, error,
) {
	c.mu.Lock()
	kept := c.kept[address]
	c.mu.Unlock()
	if kept != nil && kept.covers(at) {
		return kept, nil
	}
	got, err := c.chainAt(ctx, address, at)
	if err != nil {
		return nil, refuse(envelope.ReasonTrustUnavailable, "the certificate cannot be fetched: %w", err)
	}
	found, err := got.judge(c.Roots, names, at)
	if err != nil {
		return nil, err
	}
	c.keep(address, found)
	return found, nil
}

func (c *certificate) covers(at time.Time) bool { return !at.Before(c.from) && !at.After(c.to) }

// keep drops the certificate that ends first, if there are too many.
func (c *Certificates) keep(address string, found *certificate) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept == nil {
		c.kept = make(map[string]*certificate)
	}
	c.kept[address] = found
	if len(c.kept) <= maxCertificates {
		return
	}
	first := address
	for other, cert := range c.kept {
		if other != address && (first == address || cert.to.Before(c.kept[first].to)) {
			first = other
		}
	}
	delete(c.kept, first)
}

// chainAt waits for the one request for the chain at address. The request goes on if this delivery gives up.
func (c *Certificates) chainAt(ctx context.Context, address string, at time.Time) (chain, error) {
	c.mu.Lock()
	f := c.flights[address]
	if f == nil {
		if len(c.flights) >= maxFlights {
			c.mu.Unlock()
			return nil, fmt.Errorf("deliveries wait for %d certificates already", maxFlights)
		}
		if c.flights == nil {
			c.flights, c.slots = make(map[string]*certFlight), make(chan struct{}, maxFetches)
		}
		f = new(certFlight)
		var own context.Context
		own, f.Flight = flight.New(ctx, at, 2*onefetch.Timeout) // for the certificate and its issuer's
		c.flights[address] = f
		go c.fly(own, f, address, at)
	}
	c.mu.Unlock()
	if _, err := f.Wait(ctx, 2*onefetch.Timeout, false); err != nil {
		return nil, err
	}
	return f.chain, f.err
}

// fly does the request. It takes one of the slots, or waits for it.
func (c *Certificates) fly(ctx context.Context, f *certFlight, address string, at time.Time) {
	defer f.Cancel()
	select {
	case c.slots <- struct{}{}:
		f.chain, f.err = c.fetch(ctx, address, at)
		<-c.slots
	case <-ctx.Done():
		f.err = context.Cause(ctx)
	}
	c.mu.Lock()
	delete(c.flights, address)
	c.mu.Unlock()
	close(f.Done)
}

// fetch gets the chain, and the issuer's certificate if no chain leads to a root without it.
func (c *Certificates) fetch(ctx context.Context, address string, at time.Time) (chain, error) {
	text, err := onefetch.Get(ctx, c.via(address), address)
	if err != nil {
		return nil, err
	}
	got, err := parseChain(text)
	if err != nil {
		return nil, err
	}
	if !got.lacksIssuer(c.Roots, at) {
		return got, nil
	}
	for _, issuer := range got[len(got)-1].IssuingCertificateURL {
		if !issuerAddress().MatchString(issuer) {
			continue
		}
		if text, err = onefetch.Get(ctx, c.via(issuer), issuer); err != nil {
			return nil, fmt.Errorf("the certificate of its issuer: %w", err)
		}
		issuers, err := parseChain(text)
		if err != nil {
			return nil, fmt.Errorf("the certificate of its issuer: %w", err)
		}
		if got = append(got, issuers...); got.lacksIssuer(c.Roots, at) {
			return nil, errors.New("the certificate of its issuer does not lead to a trusted root")
		}
		return got, nil
	}
	return got, nil
}

// lacksIssuer reports whether no chain leads to a root, whatever the judging time.
func (c chain) lacksIssuer(roots *x509.CertPool, at time.Time) bool {
	switch {
	case at.Before(c[0].NotBefore):
		at = c[0].NotBefore
	case at.After(c[0].NotAfter):
		at = c[0].NotAfter
	}
	_, err := c.verify(roots, at)
	_, unknown := errors.AsType[x509.UnknownAuthorityError](err)
	return unknown
}

// via is the way to an address: over http, where nothing proves who answers, to public addresses only.
func (c *Certificates) via(address string) http.RoundTripper {
	switch {
	case c.Transport != nil:
		return c.Transport
	case strings.HasPrefix(address, "https:"):
		return onefetch.Direct()
	}
	return onefetch.Public()
}

// get asks an address of the same host for something else than a certificate.
func (c *Certificates) get(ctx context.Context, address string) error {
	_, err := onefetch.Get(ctx, c.via(address), address)
	return err
}

// parseChain reads certificates in PEM (RFC 7468, section 5), the sender's first, or a single one in DER.
func parseChain(text []byte) (chain, error) {
	var all chain
	block, rest := pem.Decode(text)
	if block == nil {
		block, rest = &pem.Block{Type: "CERTIFICATE", Bytes: text}, nil
	}
	for ; block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			return nil, errors.New("it is no certificate")
		}
		if len(all) == maxChain {
			return nil, fmt.Errorf("more than %d certificates", maxChain)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, errors.New("it is no certificate")
		}
		all = append(all, cert)
	}
	return all, nil
}

// verify verifies the chain of the first certificate, and that this is one for servers: only then does a
// public certification authority vouch for its name.
func (c chain) verify(roots *x509.CertPool, at time.Time) ([][]*x509.Certificate, error) {
	between := x509.NewCertPool()
	for _, cert := range c[1:] {
		between.AddCert(cert)
	}
	return c[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: at})
}

// judge says whether the first certificate of the chain is the one of a sender with one of the names.
func (c chain) judge(roots *x509.CertPool, names []string, at time.Time) (*certificate, error) {
	leaf := c[0]
	chains, err := c.verify(roots, at)
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return nil, refuse(envelope.ReasonKeyNotValid, "the certificate or its issuer's is not valid: %w",
			err)
	}
	if err != nil {
		return nil, refuse(envelope.ReasonUnknownKey, "the certificate leads to no trusted root: %w", err)
	}
	if !slices.ContainsFunc(leaf.DNSNames, func(name string) bool { return slices.Contains(names, name) }) {
		return nil, refuse(envelope.ReasonKeyNotValid, "the certificate is that of %.200q and not of %s",
			leaf.DNSNames, names[0])
	}
	found, err := senderKey(leaf)
	if err != nil {
		return nil, err
	}
	for _, cert := range chains[0] {
		if cert.NotBefore.After(found.from) {
			found.from = cert.NotBefore
		}
		if cert.NotAfter.Before(found.to) {
			found.to = cert.NotAfter
		}
	}
	return found, nil
}

// senderKey is the key of a certificate, valid as long as the certificate is.
func senderKey(leaf *x509.Certificate) (*certificate, error) {
	key, ok := leaf.PublicKey.(*rsa.PublicKey)
	if !ok || key.N.BitLen() < minRSABits {
		return nil, refuse(envelope.ReasonUnknownKey, "the certificate's key is no RSA key of %d bits or "+
			"more",
			minRSABits)
	}
	sum := sha256.Sum256(leaf.Raw)
	return &certificate{id: "sha256:" + hex.EncodeToString(sum[:]), key: key, from: leaf.NotBefore,
		to: leaf.NotAfter}, nil
}

// pinned is a certificate that the operator trusts: neither chain nor name are judged.
type pinned struct {
	*certificate
	secret Secret
}

// parsePinned reads secrets that are certificates in PEM. Of several in one secret, the first is the
// sender's.
func parsePinned(secrets []Secret) ([]pinned, error) {
	var all []pinned
	for _, s := range secrets {
		chain, err := parseChain([]byte(s.Text))
		if err != nil {
			return nil, fmt.Errorf("the secret with the ID %.80q must be a certificate in PEM: %w", s.ID, err)
		}
		cert, err := senderKey(chain[0])
		if err != nil {
			return nil, fmt.Errorf("the secret with the ID %.80q: %w", s.ID, err)
		}
		if s.ID != "" {
			cert.id = s.ID
		}
		all = append(all, pinned{cert, s})
	}
	return all, nil
}

// x509Signer finds out which certificate made an RSA signature: a pinned one, or else the one at the address
// that the delivery names.
type x509Signer struct {
	pinned       []pinned
	certificates *Certificates
}

func openX509(secrets []Secret, o SchemeOptions) (x509Signer, error) {
	all, err := parsePinned(secrets)
	if err != nil {
		return x509Signer{}, err
	}
	certificates := o.Certificates
	if certificates == nil {
		certificates = new(Certificates)
	}
	if err := nilcheck.Typed("Certificates.Transport", certificates.Transport); err != nil {
		return x509Signer{}, err
	}
	return x509Signer{all, certificates}, nil
}

// x509Signature is a signature, and what the scheme says about the certificate that made it.
type x509Signature struct {
	verify  func(key *rsa.PublicKey) bool
	bytes   int      // length of the signature
	address string   // of the certificate, checked by the scheme
	names   []string // one of which must be in the certificate
}

// signer is the ID of the certificate that made the signature.
func (x x509Signer) signer(ctx context.Context, s *x509Signature, at time.Time) (string, error) {
	if len(x.pinned) == 0 {
		cert, err := x.certificates.find(ctx, s.address, s.names, at)
		if err != nil {
			return "", err
		}
		return cert.id, s.checkWith(cert)
	}
	var err error
	for _, p := range x.pinned {
		if failed := s.checkWith(p.certificate); failed != nil {
			if err == nil || ReasonOf(failed) == envelope.ReasonBadSignature {
				err = failed
			}
			continue
		}
		if !p.covers(at) || !p.secret.valid(at) {
			return "", refuse(envelope.ReasonKeyNotValid, "the certificate %.80q is not valid at that time",
				p.id)
		}
		return p.id, nil
	}
	return "", err
}

func (s *x509Signature) checkWith(cert *certificate) error {
	if s.bytes != cert.key.Size() {
		return refuse(envelope.ReasonMalformed, "the signature has %d bytes, those of the certificate have "+
			"%d",
			s.bytes, cert.key.Size())
	}
	if !s.verify(cert.key) {
		return refuse(envelope.ReasonBadSignature, "the certificate did not make the signature")
	}
	return nil
}

// strict64 decodes padded base64, which has one text for each value.
func strict64(text string) ([]byte, error) { return jsontext.Base64.AppendDecode(nil, []byte(text)) }
