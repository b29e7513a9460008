package trust

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"os"

	"github.com/sealbus/sealbus/internal/filekind"
	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/internal/privatefile"
	"github.com/sealbus/sealbus/internal/redact"
	"github.com/sealbus/sealbus/keys"
)

// RootKey is a private root key. It signs bundles and roots files. It cannot sign events, because it is no
// keys.Signer. It prints, logs and marshals as redacted.
type RootKey struct {
	redacted
	signer *keys.LocalSigner
}

// redacted is embedded in types that hold a secret. They print, log and marshal as its text.
type redacted = redact.Printed

func rootKey(signer *keys.LocalSigner) *RootKey {
	return &RootKey{redact.Key("RootKey", signer.Verifier().KeyID()), signer}
}

var _ RootSigner = (*RootKey)(nil)

// rootKeyVersion is the version of the file format.
const rootKeyVersion = 1

// rootOwner is the owner of a keys.LocalSigner that is a root key. It is never shown.
const rootOwner = "root"

// GenerateRootKey makes a root key in memory.
func GenerateRootKey(alg keys.Algorithm) (*RootKey, error) {
	signer, err := keys.GenerateSigner(alg, rootOwner)
	if err != nil {
		return nil, err
	}
	return rootKey(signer), nil
}

// NewRootKey takes a private key as keys.NewLocalSigner does.
func NewRootKey(private crypto.Signer) (*RootKey, error) {
	signer, err := keys.NewLocalSigner(private, rootOwner)
	if err != nil {
		return nil, err
	}
	return rootKey(signer), nil
}

// CreateRootKey makes a root key and two files that must not exist yet: path with the private key, mode 0600,
// encrypted as in CreateKeyring, and path + ".pub" with the public JWK.
func CreateRootKey(path, passphrase string, alg keys.Algorithm,
	opts *keys.PrivateFileOptions) (*RootKey, error) {
	if opts == nil {
		opts = &keys.PrivateFileOptions{}
	}
	p, err := privatefile.NewProtection(passphrase, opts.ScryptWorkFactor, opts.InsecureNoPassphrase)
	if err != nil {
		return nil, fmt.Errorf("trust: %w", err)
	}
	k, err := GenerateRootKey(alg)
	if err != nil {
		return nil, err
	}
	plain, err := k.plain()
	if err != nil {
		return nil, err
	}
	sealed, err := p.Seal(plain)
	if err != nil {
		return nil, fmt.Errorf("trust: %w", err)
	}
	if err := k.write(path, sealed); err != nil {
		return nil, fmt.Errorf("trust: %w", err)
	}
	return k, nil
}

// write makes both files or none.
func (k *RootKey) write(path string, sealed []byte) error {
	if path == "" {
		return errors.New("no path: name the file of the root key")
	}
	public := path + keydoc.PublicSuffix
	if err := privatefile.WriteNew(public, append(k.Verifier().JWK(), '\n'), 0o644); err != nil {
		return err
	}
	if err := privatefile.WriteNew(path, sealed, privatefile.Mode); err != nil {
		_ = os.Remove(public)
		return err
	}
	return nil
}

// OpenRootKey reads an encrypted root key file. A wrong passphrase is keys.ErrPassphrase. An empty passphrase
// reads a root key that is not encrypted, if opts.InsecureNoPassphrase says so.
func OpenRootKey(path, passphrase string, opts *keys.PrivateFileOptions) (*RootKey, error) {
	if err := privatefile.CheckPassphrase(passphrase, opts != nil && opts.InsecureNoPassphrase); err != nil {
		return nil, fmt.Errorf("trust: %s: %w", path, err)
	}
	plain, _, _, err := privatefile.Read(path, passphrase)
	if err != nil {
		return nil, fmt.Errorf("trust: %w", err)
	}
	defer clear(plain)
	k, err := parseRootKey(plain)
	if err != nil {
		err = keydoc.ExplainedPrivate(plain, keydoc.Unquoted(err), "a root key", filekind.RootKey)
		return nil, fmt.Errorf("trust: root key %s: %w", path, err)
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
	var o keydoc.Object
	o.Raw("root", jwk)
	o.Int("version", rootKeyVersion)
	return o.Append(make([]byte, 0, 2*len(jwk))), nil // growing would leave copies behind
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
			r.Failf("unknown member %q", keydoc.Clip(name))
		}
	}
	if err := r.End(); err != nil {
		return nil, err
	}
	if version != rootKeyVersion || raw == nil {
		return nil, errors.New("not a root key file of version 1")
	}
	signer, err := keys.ParsePrivateJWK(raw, rootOwner)
	if err != nil {
		return nil, err
	}
	return rootKey(signer), nil
}

// Verifier is the public half.
func (k *RootKey) Verifier() *keys.Verifier { return k.signer.Verifier() }

// Sign signs message.
func (k *RootKey) Sign(ctx context.Context, message []byte) ([]byte, error) {
	return k.signer.Sign(ctx, message)
}
