package tinkkeys

import (
	"context"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/key"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"github.com/sealbus/sealbus/keys"
)

// Add makes a new signing key. It is enabled and does not sign yet: publish it, and then call SetPrimary. Add
// returns its ID, a thumbprint, as in Entries.
func (k *Keyset) Add(ctx context.Context, alg keys.Algorithm) (keyID string, err error) {
	typed, err := generate(alg)
	if err != nil {
		return "", err
	}
	return k.add(ctx, typed)
}

// AddIdentity makes a new identity. It opens events from now on.
func (k *Keyset) AddIdentity(ctx context.Context, curve keys.Curve) (keyID string, err error) {
	typed, err := generate(curve)
	if err != nil {
		return "", err
	}
	return k.add(ctx, typed)
}

func (k *Keyset) add(ctx context.Context, typed key.Key) (keyID string, err error) {
	added, err := k.entryOf(typed)
	if err != nil {
		return "", fmt.Errorf("tinkkeys: %w", err)
	}
	if _, err := k.enabled(added.KeyID()); err == nil {
		return "", fmt.Errorf("tinkkeys: key %s is in the keyset already", added.KeyID())
	}
	return added.KeyID(), k.change(ctx, func(m *keyset.Manager) error {
		_, err := m.AddKey(typed)
		return err
	})
}

// SetPrimary makes the key of that ID the one that signs. The key must be enabled.
func (k *Keyset) SetPrimary(ctx context.Context, keyID string) error {
	return k.changeKey(ctx, keyID, (*keyset.Manager).SetPrimary)
}

// Disable keeps the key of that ID from signing and opening. The primary key cannot be disabled.
func (k *Keyset) Disable(ctx context.Context, keyID string) error {
	return k.changeKey(ctx, keyID, (*keyset.Manager).Disable)
}

// Enable is the opposite of Disable.
func (k *Keyset) Enable(ctx context.Context, keyID string) error {
	return k.changeKey(ctx, keyID, (*keyset.Manager).Enable)
}

// Delete removes the key of that ID for good. The primary key cannot be removed. Data that was encrypted to a
// removed identity can no longer be opened.
func (k *Keyset) Delete(ctx context.Context, keyID string) error {
	return k.changeKey(ctx, keyID, (*keyset.Manager).Delete)
}

func (k *Keyset) changeKey(ctx context.Context, keyID string, do func(*keyset.Manager, uint32) error) error {
	for _, e := range k.Entries() {
		if e.KeyID() == keyID && keyID != "" {
			return k.change(ctx, func(m *keyset.Manager) error { return do(m, e.id) })
		}
	}
	return fmt.Errorf("tinkkeys: no key %.64q in the keyset", keyID)
}

func (k *Keyset) change(ctx context.Context, do func(*keyset.Manager) error) error {
	k.changing.Lock()
	defer k.changing.Unlock()
	k.mu.RLock()
	m := keyset.NewManagerFromHandle(k.handle())
	k.mu.RUnlock()
	if err := do(m); err != nil {
		return fmt.Errorf("tinkkeys: %w", err)
	}
	return k.commit(ctx, m)
}
