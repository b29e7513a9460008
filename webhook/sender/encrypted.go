package sender

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/sealbus/sealbus/internal/nilcheck"
)

// encrypted is what EncryptBodies makes.
type encrypted struct {
	BackEnd
	key *LocalKey
}

// EncryptBodies is the store with its bodies encrypted at rest (AES-256-GCM). Each is bound to its Key and to
// its content type, by which a receiver reads it. The digests are keyed, because a digest tells a reader of
// the store which of some likely bodies it is. IDs and content types stay readable. All processes need the
// key. A body that does not decrypt dies with CauseUnreadable; it stays in the dead list, encrypted.
func EncryptBodies(store BackEnd, key *LocalKey) (BackEnd, error) {
	err := errors.Join(nilcheck.Check("sender: the store", store), nilcheck.Check("sender: the key", key))
	if err != nil {
		return nil, err
	}
	return &encrypted{store, key}, nil
}

const purposeBody, purposeDigest = "sealbus/v1/webhook-body", "sealbus/v1/webhook-digest"

// context is the text to which a digest is bound. Neither part has a blank.
func (k Key) context() string { return k.Endpoint + " " + k.ID }

// context is the text to which a body is bound.
func (d *Delivery) context() string { return d.Key.context() + " " + d.ContentType }

func (s *encrypted) Put(ctx context.Context, d Delivery) error {
	if err := d.Check(); err != nil {
		return err
	}
	mac := hmac.New(sha256.New, s.key.secret())
	mac.Write([]byte(purposeDigest + "\x00" + d.Key.context() + "\x00"))
	mac.Write(d.Digest[:])
	d.Digest = [32]byte(mac.Sum(nil))
	d.Body = s.key.seal(purposeBody, d.context(), d.Body)
	return s.BackEnd.Put(ctx, d)
}

func (s *encrypted) Take(ctx context.Context, w Want) ([]Taken, error) {
	list, err := s.BackEnd.Take(ctx, w)
	out := list[:0]
	for _, t := range list {
		plain, ok := s.key.open(purposeBody, t.context(), t.Body)
		if ok {
			t.Body = plain
			out = append(out, t)
			continue
		}
		dead := Settlement{State: Dead, Attempts: t.Attempts, Cause: CauseUnreadable}
		if err := s.BackEnd.Settle(ctx, t, dead); err != nil && !errors.Is(err, ErrLeaseLost) {
			return nil, fmt.Errorf("%w: a body cannot be decrypted, and this cannot be recorded", err)
		}
	}
	return out, err
}

func (s *encrypted) Dead(ctx context.Context, after Key, n int) ([]DeadDelivery, error) {
	list, err := s.BackEnd.Dead(ctx, after, n)
	for i := range list {
		if plain, ok := s.key.open(purposeBody, list[i].context(), list[i].Body); ok {
			list[i].Body = plain
		}
	}
	return list, err
}
