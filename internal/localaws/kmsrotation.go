package localaws

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/hex"
	"time"
)

// backing is one key of a symmetric KMS key, which has a new one with every rotation.
type backing struct {
	id   string // 64 hexadecimal digits
	key  [32]byte
	aead cipher.AEAD
}

// newBacking is AES-256 in GCM.
func newBacking(id string, key [32]byte) backing {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // of the length of an array
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // of the block size of AES
	}
	return backing{id, key, aead}
}

func (m *keyMaterial) current() backing { return m.backing[len(m.backing)-1] }

func (m *keyMaterial) rotate() {
	var key, id [32]byte
	rand.Read(key[:])
	rand.Read(id[:])
	m.backing = append(m.backing, newBacking(hex.EncodeToString(id[:]), key))
}

// rotateUntil does the automatic rotations that were due, and tells whether there were any.
func (m *keyMaterial) rotateUntil(now time.Time) (rotated bool) {
	for m.period > 0 && !now.Before(m.next) {
		m.rotate()
		m.next = m.next.Add(time.Duration(m.period) * day)
		rotated = true
	}
	return rotated
}

// The days between automatic rotations.
const (
	shortestPeriod = 90
	usualPeriod    = 365
	longestPeriod  = 2560
)

// mostOnDemand is how many times a key is rotated on demand, ever.
const mostOnDemand = 25

type rotationInput struct {
	KeyID                string `json:"KeyId"`
	RotationPeriodInDays *int
}

// rotating is a key that rotates, and that its caller may rotate.
func (k *kmsRegion) rotating(name string) (*kmsKey, error) {
	y, err := k.find(name)
	if err != nil {
		return nil, err
	}
	if err := y.working(); err != nil {
		return nil, err
	}
	if y.spec != symmetric || y.replica {
		return nil, refuse("UnsupportedOperationException", "")
	}
	return y, nil
}

func (k *kmsRegion) enableKeyRotation(in *rotationInput) (nothing, error) {
	period := usualPeriod
	if in.RotationPeriodInDays != nil {
		period = *in.RotationPeriodInDays
	}
	var c constraints
	if c.between("rotationPeriodInDays", period, shortestPeriod, longestPeriod); len(c) > 0 {
		return nothing{}, c.err()
	}
	y, err := k.rotating(in.KeyID)
	if err != nil {
		return nothing{}, err
	}
	y.shared.period, y.shared.next = period, k.now.Add(time.Duration(period)*day)
	k.saveKey(y)
	return nothing{}, nil
}

func (k *kmsRegion) disableKeyRotation(in *rotationInput) (nothing, error) {
	y, err := k.rotating(in.KeyID)
	if err != nil {
		return nothing{}, err
	}
	y.shared.period, y.shared.next = 0, time.Time{}
	k.saveKey(y)
	return nothing{}, nil
}

type rotationOutput struct {
	KeyID                string `json:"KeyId"`
	KeyRotationEnabled   bool
	NextRotationDate     float64 `json:",omitempty"`
	RotationPeriodInDays int     `json:",omitempty"`
}

// getKeyRotationStatus is for every key that stays; one that cannot rotate does not.
func (k *kmsRegion) getKeyRotationStatus(in *keyInput) (*rotationOutput, error) {
	y, err := k.find(in.KeyID)
	if err != nil {
		return nil, err
	}
	if err := y.staying(); err != nil {
		return nil, err
	}
	if y.spec != symmetric {
		return nil, refuse("UnsupportedOperationException", "")
	}
	out := &rotationOutput{KeyID: y.arn, KeyRotationEnabled: y.shared.period > 0,
		RotationPeriodInDays: y.shared.period}
	if out.KeyRotationEnabled {
		out.NextRotationDate = seconds(y.shared.next)
	}
	return out, nil
}

func (k *kmsRegion) rotateKeyOnDemand(in *keyInput) (*keyARNOutput, error) {
	y, err := k.rotating(in.KeyID)
	if err != nil {
		return nil, err
	}
	if y.shared.asked == mostOnDemand {
		return nil, refuse("LimitExceededException", "%s was rotated on demand %d times, which is the limit.",
			y.arn, mostOnDemand)
	}
	y.shared.asked++
	y.shared.rotate()
	k.saveKey(y)
	return &keyARNOutput{y.arn}, nil
}
