package webhook

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/keys"
)

// Sign signs a body as Standard Webhooks 1.0.0 says, and returns the headers webhook-id, webhook-timestamp
// and webhook-signature. Each secret that is valid at the time signs, so that receivers accept the old one
// and the new one during a rotation: "whsec_" signs v1 (HMAC-SHA256), "whsk_" signs v1a (Ed25519).
//
// The ID is the same each time that one message is sent. It has 1 to 256 visible ASCII characters, and no "."
// and no ",". The time is that of the attempt; its fraction of a second is cut off.
func Sign(id string, at time.Time, body []byte, secrets []Secret) ([]Field, error) {
	if id == "" || len(id) > maxID || !isWord(id) || strings.Contains(id, ".") {
		return nil, fmt.Errorf(
			`webhook: the ID must have 1 to %d visible ASCII characters without "." and ","`,
			maxID)
	}
	if at.Unix() <= 0 {
		return nil, errors.New("webhook: the time is before 1970")
	}
	if err := checkSecrets(secrets); err != nil {
		return nil, fmt.Errorf("webhook: %w", err)
	}
	stamp := strconv.FormatInt(at.Unix(), 10)
	message := append([]byte(id+"."+stamp+"."), body...)
	var list []string
	for i := range secrets {
		if !secrets[i].valid(at) {
			continue
		}
		item, err := signOne(secrets[i].Text, message)
		if err != nil {
			return nil, fmt.Errorf("webhook: the secret with the ID %.80q: %w", secrets[i].ID, err)
		}
		list = append(list, item)
	}
	if len(list) == 0 {
		return nil, errors.New("webhook: no secret is valid at that time")
	}
	return []Field{{"Webhook-Id", id}, {"Webhook-Timestamp", stamp},
		{"Webhook-Signature", strings.Join(list, " ")}}, nil
}

// signOne is one item of the signature header.
func signOne(text string, message []byte) (string, error) {
	if private, ok := strings.CutPrefix(text, prefixPrivate); ok {
		raw, err := jsontext.Base64.AppendDecode(nil, []byte(private))
		if err != nil {
			return "", err
		}
		if len(raw) != ed25519.PrivateKeySize ||
			!ed25519.NewKeyFromSeed(raw[:ed25519.SeedSize]).Equal(ed25519.PrivateKey(raw)) {
			return "", errors.New("whsk_ is not followed by a seed and its public key, 64 bytes")
		}
		return "v1a," + base64.StdEncoding.EncodeToString(ed25519.Sign(raw, message)), nil
	}
	if !strings.HasPrefix(text, prefixSecret) {
		return "", errors.New("it begins with neither whsec_ nor whsk_")
	}
	raw, err := decodeSecret(text, "whsec")
	if err != nil {
		return "", err
	}
	mac := hmac.New(sha256.New, raw)
	mac.Write(message)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)), nil
}

// SecretsOf are the secrets of the Ed25519 keys in a JWK Set (RFC 7517), by which a sender publishes its keys
// for v1a of Standard Webhooks. Each has the key's ID, which is computed from the key (RFC 7638). Other keys
// are left out. A set without an Ed25519 key is an error.
func SecretsOf(jwkSet []byte) ([]Secret, error) {
	list, err := keys.ParseJWKSet(jwkSet)
	if err != nil {
		return nil, fmt.Errorf("webhook: %w", err)
	}
	var out []Secret
	for _, k := range list {
		if k.Verifier == nil {
			continue
		}
		if public, ok := k.Verifier.Public().(ed25519.PublicKey); ok {
			text := prefixPublic + base64.StdEncoding.EncodeToString(public)
			out = append(out, Secret{ID: k.KeyID(), Text: text})
		}
	}
	if len(out) == 0 {
		return nil, errors.New("webhook: the JWK Set has no Ed25519 key")
	}
	return out, nil
}
