package envelope

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/sealbus/sealbus/internal/dsse"
	"github.com/sealbus/sealbus/internal/wire"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/session"
)

// signers are the keys that sign, with a session key in place of each session.Session, and the digests by
// which the payload binds the statements that vouch for these session keys.
func (s *sealing) signers(ctx context.Context, first keys.Signer, producer string) (list []keys.Signer,
	delegations []digest, err error) {
	if len(s.opts.CoSigners) >= dsse.MaxSignatures {
		return nil, nil, cannotSeal("", "more than %d signatures", dsse.MaxSignatures)
	}
	list = append(make([]keys.Signer, 0, 1+len(s.opts.CoSigners)), first)
	list = append(list, s.opts.CoSigners...)
	for i, signer := range list {
		if signer.Producer() != producer {
			return nil, nil, cannotSeal("",
				"co-signer %s belongs to another producer: its signature would not count",
				signer.Verifier().KeyID())
		}
		session, err := s.session(ctx, signer, producer)
		if err != nil {
			return nil, nil, err
		}
		if session == nil {
			continue // a long-term key
		}
		list[i] = session
		delegations = append(delegations, session.Binding())
	}
	if len(delegations) > wire.MaxDelegations { // before equal ones are one: verifiers count the signatures
		return nil, nil, cannotSeal("", "more than %d session keys", wire.MaxDelegations)
	}
	slices.SortFunc(delegations, func(a, b digest) int { return slices.Compare(a[:], b[:]) })
	return list, slices.Compact(delegations), nil
}

// session is the session key that signs for signer: the current one of a *session.Session, a session key
// itself, nil for any other signer. It is an error if consumers would not accept the event from it.
func (s *sealing) session(ctx context.Context, signer keys.Signer, producer string) (*session.Key, error) {
	k, ok := signer.(*session.Key)
	if d, is := signer.(*session.Session); is {
		var err error
		if k, err = d.Session(ctx, s.now); err != nil {
			return nil, fmt.Errorf("envelope: a session key: %w", err)
		}
		ok = true
	}
	switch {
	case !ok:
		return nil, nil
	case k == nil:
		return nil, cannotSeal("", "a session key is nil")
	case k.Producer() != producer:
		return nil,
			cannotSeal("", "session key %s belongs to another producer: its signature would not count",
				k.Verifier().KeyID())
	}
	return k, s.allowed(k)
}

// allowed is the error of an event that no consumer would accept from the session key.
func (s *sealing) allowed(k *session.Key) error {
	from, until := k.Validity()
	sources, types := k.Scope()
	sealed := s.now.UTC().Truncate(time.Second)
	switch {
	case !keys.MatchSource(sources, s.ev.Source):
		return cannotSeal("source", "is outside of the session key's scope: consumers would refuse the event")
	case !keys.MatchType(types, s.ev.Type):
		return cannotSeal("type", "is outside of the session key's scope: consumers would refuse the event")
	case sealed.Before(from.Add(-DefaultSkew)) || !sealed.Before(until):
		return cannotSeal(wire.AttrRecordedTime,
			"the session key is good from %s until %s only: consumers would refuse the event",
			from.Format(time.RFC3339), until.Format(time.RFC3339))
	}
	return nil
}
