package rehearsal

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust/policy"
)

// Cast has the private keys that stand in for those of a policy, which only their producers have.
type Cast struct {
	signers map[string]*keys.LocalSigner // by key ID
	labels  map[string]string            // what the story calls the key, by key ID

	dir   string                   // of the keyrings
	rings map[string]*keys.Keyring // by their content, since writing one takes long
}

// NewCast is an empty cast. It writes keyrings to files below dir, as producers do.
func NewCast(dir string) *Cast {
	return &Cast{map[string]*keys.LocalSigner{}, map[string]string{}, dir, map[string]*keys.Keyring{}}
}

// keyring is a keyring of the producer with these keys.
func (c *Cast) keyring(owner string, list []policy.Key) (*keys.Keyring, error) {
	is := owner
	for _, k := range list {
		is += fmt.Sprint("\x00", k.ID, k.Schedule)
	}
	if ring := c.rings[is]; ring != nil {
		return ring, nil
	}
	opts := &keys.KeyringOptions{PrivateFileOptions: keys.PrivateFileOptions{InsecureNoPassphrase: true}}
	ring, err := keys.CreateKeyring(filepath.Join(c.dir, fmt.Sprint(len(c.rings))), "", owner, opts)
	if err != nil {
		return nil, err
	}
	for _, k := range list {
		if err := ring.Add(c.signers[k.ID], k.Schedule); err != nil {
			return nil, err
		}
	}
	c.rings[is] = ring
	return ring, nil
}

// Key is the key that the story calls label. It is the same in every run.
func (c *Cast) Key(producer, label string) (id string, err error) {
	seed := sha256.Sum256([]byte("sealbus rehearsal\x00" + producer + "\x00" + label))
	s, err := keys.NewLocalSigner(ed25519.NewKeyFromSeed(seed[:]), producer)
	if err != nil {
		return "", fmt.Errorf("rehearsal: %w", err)
	}
	id = s.Verifier().KeyID()
	if c.signers[id] == nil {
		c.signers[id], c.labels[id] = s, label
	}
	return id, nil
}

// Label is what the story calls the key.
func (c *Cast) Label(id string) string { return c.labels[id] }

// relabel is the text with labels in place of key IDs.
func (c *Cast) relabel(text string) string {
	for id, label := range c.labels {
		text = strings.ReplaceAll(text, id, label)
	}
	return text
}

// Replace is the policy with keys of the cast in place of its own, and without encryption keys. The stories
// call them by the labels that label gives to the IDs of the policy.
func (c *Cast) Replace(p *policy.Policy, label func(id string) string) (*policy.Policy, error) {
	out := &policy.Policy{Producers: make([]policy.Producer, len(p.Producers))}
	for i, o := range p.Producers {
		own := o
		own.Keys = make([]policy.Key, len(o.Keys))
		for j, k := range o.Keys {
			id, err := c.Key(o.Name, label(k.ID))
			if err != nil {
				return nil, err
			}
			own.Keys[j] = k
			own.Keys[j].ID = id
		}
		out.Producers[i] = own
	}
	return out, nil
}
