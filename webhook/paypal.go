package webhook

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"hash/crc32"
	"strconv"
	"time"

	"github.com/sealbus/sealbus/envelope"
)

// paypalTolerance is how old a transmission of PayPal may be. PayPal tries for three days.
const paypalTolerance = 73 * time.Hour

// paypal is PayPal: https://developer.paypal.com/api/rest/webhooks/rest/. It signs
//
//	transmission ID "|" transmission time "|" webhook ID "|" CRC-32 of the body, in decimal
//
// A CRC-32 is no digest: for every signature there are many bodies, and to find one is easy. So the
// signature proves that PayPal sent something to this webhook at that time, and an attacker who reads a
// delivery could have changed its body. Ask PayPal's API about the resource before money moves.
type paypal struct{}

type paypalChecker struct {
	x509Signer
	webhookID string
}

// The forms of what PayPal signs and names. No part may have the "|" that is between the parts.
var (
	paypalID      = pattern(`^[A-Za-z0-9_-]{1,128}$`)
	paypalAddress = pattern(
		`^https://(?:[a-z0-9-]{1,32}\.)?([a-z0-9-]{1,32})\.paypal\.com` +
			`/v1/notifications/certs/[A-Za-z0-9_-]{1,128}$`)
)

func (paypal) Name() string { return "paypal" }

// Open takes no secrets, or certificates in PEM that replace the fetch.
func (paypal) Open(secrets []Secret, o SchemeOptions) (Checker, error) {
	signer, err := openX509(secrets, o)
	switch {
	case err != nil:
		return nil, err
	case o.WebhookID == "WEBHOOK_ID":
		return nil, errors.New("WEBHOOK_ID is the ID that PayPal's simulator signs for everyone: set your " +
			"webhook's")
	case !paypalID().MatchString(o.WebhookID):
		return nil, errors.New("no webhook ID: set SchemeOptions.WebhookID, as PayPal shows it beside the " +
			"URL")
	}
	return &paypalChecker{signer, o.WebhookID}, nil
}

// paypalHeaders are the headers of a delivery that the checker reads.
type paypalHeaders struct{ id, time, signature, algorithm, address string }

func readPayPal(r Request) (h paypalHeaders, err error) {
	for _, header := range []struct {
		name  string
		value *string
	}{
		{"PAYPAL-TRANSMISSION-ID", &h.id}, {"PAYPAL-TRANSMISSION-TIME", &h.time},
		{"PAYPAL-CERT-URL", &h.address},
		{"PAYPAL-TRANSMISSION-SIG", &h.signature}, {"PAYPAL-AUTH-ALGO", &h.algorithm},
	} {
		if *header.value, err = r.HeaderValue(header.name); err != nil {
			return h, err
		}
	}
	switch {
	case h.signature == "":
		return h, refuse(envelope.ReasonUnsigned, "no header PAYPAL-TRANSMISSION-SIG")
	case !paypalID().MatchString(h.id):
		return h, refuse(envelope.ReasonMalformed, "the header PAYPAL-TRANSMISSION-ID is missing or no ID")
	case h.algorithm != "SHA256withRSA":
		return h, refuse(envelope.ReasonUnsupported, "the header PAYPAL-AUTH-ALGO is not SHA256withRSA")
	}
	return h, nil
}

func (c *paypalChecker) Check(ctx context.Context, r Request, at time.Time) (Signed, error) {
	h, err := readPayPal(r)
	if err != nil {
		return Signed{}, err
	}
	sent, err := parseUTC(h.time)
	if err != nil {
		return Signed{}, refuse(envelope.ReasonMalformed, "the header PAYPAL-TRANSMISSION-TIME %w", err)
	}
	host := paypalAddress().FindStringSubmatch(h.address)
	if host == nil {
		return Signed{}, refuse(envelope.ReasonUnknownKey,
			"the header PAYPAL-CERT-URL is not https://HOST.paypal.com/v1/notifications/certs/ID")
	}
	name := "messageverificationcerts.paypal.com"
	if host[1] == "sandbox" {
		name = "messageverificationcerts.sandbox.paypal.com"
	}
	signature, err := strict64(h.signature)
	if err != nil {
		return Signed{}, refuse(envelope.ReasonMalformed, "the header PAYPAL-TRANSMISSION-SIG is %w", err)
	}
	crc := strconv.FormatUint(uint64(crc32.ChecksumIEEE(r.Body)), 10)
	text := h.id + "|" + h.time + "|" + c.webhookID + "|" + crc
	id, err := c.signer(ctx, &x509Signature{func(key *rsa.PublicKey) bool {
		sum := sha256.Sum256([]byte(text))
		return rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature) == nil
	}, len(signature), h.address, []string{name}}, at)
	if err != nil {
		return Signed{}, err
	}
	return Signed{KeyID: id, Head: text, Time: sent, Tolerance: paypalTolerance, ID: h.id, IDSigned: true,
		Signature: h.signature,
		members:   &members{typ: "/event_type", subject: "/resource/id"}}, nil
}
