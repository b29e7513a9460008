package tinkkeys

import (
	"context"
	"fmt"

	"github.com/sealbus/sealbus/keys"
)

// MaxFile is maxFile.
const MaxFile = maxFile

// Import adds a signing key that was made elsewhere.
func (k *Keyset) Import(ctx context.Context, signer *keys.LocalSigner) (keyID string, err error) {
	typed, err := typedSigner(signer)
	if err != nil {
		return "", err
	}
	return k.add(ctx, typed)
}

// ImportIdentity adds an identity that was made elsewhere.
func (k *Keyset) ImportIdentity(ctx context.Context, identity *keys.LocalIdentity) (keyID string, err error) {
	typed, err := typedIdentity(identity)
	if err != nil {
		return "", err
	}
	return k.add(ctx, typed)
}

// ExportIdentity is the identity of that ID.
func (k *Keyset) ExportIdentity(keyID string) (*keys.LocalIdentity, error) {
	e, err := k.enabled(keyID)
	if err != nil {
		return nil, err
	}
	if e.identity == nil {
		return nil, fmt.Errorf("%q is no identity", keyID)
	}
	return e.identity, nil
}
