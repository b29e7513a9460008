package keys

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/sealbus/sealbus/internal/filekind"
	"github.com/sealbus/sealbus/internal/jsontext"
)

// RootKey is a private root key. It signs bundles and roots files and is no Signer: it cannot sign events. It
// prints, logs and marshals as redacted.
type RootKey struct{ signer *LocalSigner }

var _ RootSigner = (*RootKey)(nil)

// rootKeyVersion is the version of the file format.
const rootKeyVersion = 1

// PublicSuffix is appended to the name of a root key file for the file with its public half.
const PublicSuffix = ".pub"

// GenerateRootKey makes a root key in memory.
func GenerateRootKey(alg Algorithm) (*RootKey, error) {
	key, err := generate(alg)
	if err != nil {
		return nil, err
	}
	return NewRootKey(key)
}

// NewRootKey takes a private key as NewLocalSigner does.
func NewRootKey(private crypto.Signer) (*RootKey, error) {
	signer, err := newLocalSigner(private, "")
	if err != nil {
		return nil, err
	}
	return &RootKey{signer: signer}, nil
}

// CreateRootKey makes a root key and two files that must not exist yet: path with the private key, mode 0600,
// encrypted as in CreateKeyring, and path + PublicSuffix with the public JWK.
func CreateRootKey(path, passphrase string, alg Algorithm, opts *PrivateFileOptions) (*RootKey, error) {
	if opts == nil {
		opts = &PrivateFileOptions{}
	}
	p, err := newProtection(passphrase, *opts)
	if err != nil {
		return nil, err
	}
	k, err := GenerateRootKey(alg)
	if err != nil {
		return nil, err
	}
	plain, err := k.plain()
	if err != nil {
		return nil, err
	}
	sealed, err := p.seal(plain)
	if err != nil {
		return nil, err
	}
	if err := k.write(path, sealed); err != nil {
		return nil, err
	}
	return k, nil
}

// write makes both files or none.
func (k *RootKey) write(path string, sealed []byte) error {
	public := path + PublicSuffix
	if err := writeNew(public, append(k.Verifier().JWK(), '\n'), 0o644); err != nil {
		return err
	}
	if err := writeNew(path, sealed, privateMode); err != nil {
		_ = os.Remove(public)
		return err
	}
	return nil
}

// OpenRootKey reads an encrypted root key file. A wrong passphrase is ErrPassphrase.
func OpenRootKey(path, passphrase string) (*RootKey, error) {
	if passphrase == "" {
		return nil, fmt.Errorf("keys: %s: the passphrase is empty (OpenInsecureRootKey opens a root key that is not encrypted)", path)
	}
	return openRootKey(path, passphrase)
}

// OpenInsecureRootKey reads a root key file that is not encrypted.
func OpenInsecureRootKey(path string) (*RootKey, error) { return openRootKey(path, "") }

func openRootKey(path, passphrase string) (*RootKey, error) {
	plain, _, _, err := readPrivate(path, passphrase)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	k, err := parseRootKey(plain)
	if err != nil {
		err = explainedPrivate(plain, unquoted(err), "a root key", filekind.RootKey)
		return nil, fmt.Errorf("keys: root key %s: %w", path, err)
	}
	return k, nil
}

// plain is {"root":JWK,"version":1}. The caller clears it.
func (k *RootKey) plain() ([]byte, error) {
	jwk, err := k.signer.UnsafePrivateJWK()
	if err != nil {
		return nil, err
	}
	defer clear(jwk)
	w := objectWriter{dst: make([]byte, 0, 2*len(jwk))} // growing would leave copies behind
	w.open()
	w.name("root")
	w.dst = append(w.dst, jwk...)
	w.name("version")
	w.dst = append(w.dst, '0'+rootKeyVersion)
	return w.close(), nil
}

func parseRootKey(plain []byte) (*RootKey, error) {
	r := jsontext.NewDecoder(plain)
	var version int64
	var raw []byte
	for obj := r.Object(); r.Member(&obj); {
		switch name := string(obj.Name); name {
		case "version":
			version = r.Int()
		case "root":
			raw = r.ReadValue()
		default:
			r.Failf("unknown member %q", clip(name))
		}
	}
	if err := r.End(); err != nil {
		return nil, err
	}
	if version != rootKeyVersion || raw == nil {
		return nil, errors.New("not a root key file of version 1")
	}
	jwk, err := parseJWK(raw)
	if err != nil {
		return nil, err
	}
	signer, err := jwk.signer("")
	if err != nil {
		return nil, err
	}
	return &RootKey{signer: signer}, nil
}

// Verifier is the public half.
func (k *RootKey) Verifier() *Verifier { return k.signer.verifier }

// Sign signs message.
func (k *RootKey) Sign(ctx context.Context, message []byte) ([]byte, error) {
	return k.signer.Sign(ctx, message)
}

// String names the key without its private half.
func (k RootKey) String() string {
	if k.signer == nil {
		return redactedName("RootKey", "")
	}
	return redactedName("RootKey", k.signer.verifier.id)
}

// GoString is String.
func (k RootKey) GoString() string { return k.String() }

// Format writes String, whatever the verb.
func (k RootKey) Format(f fmt.State, _ rune) { writeRedacted(f, k) }

// LogValue is String.
func (k RootKey) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalJSON gives String.
func (k RootKey) MarshalJSON() ([]byte, error) { return marshalRedacted(k) }
