// Package filekind says what a file is that cannot be read as what it was given for: another kind of file, or
// one that was damaged on its way. It reads as little as it needs, for an error message; no verdict depends
// on it.
package filekind

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/sealbus/sealbus/internal/jsontext"
)

// Kind names a kind of file, as a noun for people. The zero value is an unknown kind.
type Kind string

// The kinds of files that sealbus and the tools around it write.
const (
	Encrypted      Kind = "an encrypted keyring or root key"
	Keyring        Kind = "a keyring, with private keys"
	RootKey        Kind = "a root key, with its private half"
	TinkKeyset     Kind = "a Tink keyset, with private keys"
	SignedBundle   Kind = "a signed trust bundle"
	UnsignedBundle Kind = "a trust bundle without signatures"
	SignedRoots    Kind = "a signed roots file"
	Timestamp      Kind = "a trust timestamp"
	Roots          Kind = "a roots file"
	JWKSet         Kind = "a JWK Set of public keys"
	PrivateJWKSet  Kind = "a JWK Set with private keys"
	JWK            Kind = "a public JWK"
	PrivateJWK     Kind = "a private JWK"
	State          Kind = "the state file of a trust bundle"
	Policy         Kind = "a policy file"
	Event          Kind = "an event"
)

const ageHeader = "age-encryption.org/"

// Of is the kind of a file.
func Of(doc []byte) Kind {
	switch {
	case bytes.HasPrefix(doc, []byte(ageHeader)):
		return Encrypted
	case bytes.HasPrefix(doc, []byte(`{"format":"sealbus/trust-state/`)):
		return State
	case bytes.HasPrefix(bytes.TrimSpace(doc), []byte("{")):
		return ofObject(doc)
	}
	for line := range bytes.Lines(doc) {
		name, _, isMember := strings.Cut(string(line[:min(len(line), 32)]), ":")
		if isMember && (name == "version" || name == "producers" || name == "consumers") {
			return Policy
		}
	}
	return ""
}

// ofObject tells objects apart by the names of their members.
func ofObject(doc []byte) Kind {
	var payloadType string
	names := map[string]bool{}
	private := false
	r := jsontext.NewDecoder(doc)
	for obj := r.Object(); r.Member(&obj) && len(names) < 64; {
		name := string(obj.Name)
		names[name] = true
		switch {
		case name == "payloadType" && r.PeekKind() == '"':
			payloadType = r.String()
		case name == "keys" && r.PeekKind() == '[':
			private = anyPrivate(&r)
		default:
			r.SkipValue()
		}
	}
	is := func(all ...string) bool {
		for _, name := range all {
			if !names[name] {
				return false
			}
		}
		return true
	}
	switch {
	case strings.HasSuffix(payloadType, ".roots+json"):
		return SignedRoots
	case strings.HasSuffix(payloadType, ".timestamp+json"):
		return Timestamp
	case strings.HasSuffix(payloadType, ".bundle+json"):
		return SignedBundle
	case is("encryptedKeyset"):
		return TinkKeyset
	case is("root", "version"):
		return RootKey
	case is("keys", "producer") || is("keys", "consumer"):
		return Keyring
	case is("keys", "threshold"):
		return Roots
	case is("keys", "version"):
		return UnsignedBundle
	case is("keys") && private:
		return PrivateJWKSet
	case is("keys"):
		return JWKSet
	case is("kty") && (names["d"] || names["priv"] || names["k"]):
		return PrivateJWK
	case is("kty"):
		return JWK
	case is("specversion"), is("detail-type", "detail"):
		return Event
	}
	return ""
}

// anyPrivate reads an array and reports whether one of its objects has a private member of a JWK.
func anyPrivate(r *jsontext.Decoder) (found bool) {
	for a := r.Array(); r.Element(&a); {
		key := jsontext.NewDecoder(r.ReadValue())
		for obj := key.Object(); key.Member(&obj); key.SkipValue() {
			name := string(obj.Name)
			found = found || name == "d" || name == "priv" || name == "k"
		}
	}
	return found
}

// ErrDamaged is (wrapped in) what Damage and DamagePrivate find.
var ErrDamaged = errors.New("it was damaged in transit")

// Damage names what a program did to a text file on its way; nil = nothing that can be seen.
func Damage(doc []byte) error {
	switch {
	case bytes.HasPrefix(doc, []byte("\xef\xbb\xbf")):
		return fmt.Errorf("%w: it begins with a byte order mark (BOM), which a text editor or PowerShell added: "+
			"copy the original again, as binary, or remove these 3 bytes", ErrDamaged)
	case isUTF16(doc):
		return fmt.Errorf("%w: this is UTF-16 (PowerShell's > writes it): "+
			"copy the original again, as binary, or write it with --out FILE instead of >", ErrDamaged)
	}
	return nil
}

// DamagePrivate is Damage for a file that must be as it was written, to the byte.
func DamagePrivate(doc []byte) error {
	if err := Damage(doc); err != nil {
		return err
	}
	text := bytes.TrimLeft(doc, " \t\r\n")
	firstLine, _, _ := bytes.Cut(text, []byte("\n"))
	isAge := bytes.HasPrefix(text, []byte(ageHeader))
	switch {
	case len(text) < len(doc) && (isAge || bytes.HasPrefix(text, []byte("{"))):
		return fmt.Errorf("%w: it begins with a blank line or spaces: "+
			"copy the original again, as binary, or remove them", ErrDamaged)
	case isAge && bytes.HasSuffix(firstLine, []byte("\r")):
		return fmt.Errorf("%w: its line ends were changed (CRLF): copy the original again, as binary",
			ErrDamaged)
	case bytes.HasPrefix(text, []byte("-----BEGIN AGE ENCRYPTED FILE-----")):
		return errors.New("it is in the text form of age (armor): decode it to the binary form first")
	}
	return nil
}

// isUTF16 sees a byte order mark of UTF-16, or ASCII in two bytes each.
func isUTF16(doc []byte) bool {
	if bytes.HasPrefix(doc, []byte("\xff\xfe")) || bytes.HasPrefix(doc, []byte("\xfe\xff")) {
		return true
	}
	return len(doc) >= 4 && (doc[0] != 0 && doc[1] == 0 && doc[2] != 0 && doc[3] == 0 ||
		doc[0] == 0 && doc[1] != 0 && doc[2] == 0 && doc[3] != 0)
}
