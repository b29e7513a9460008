package envelope

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/sealbus/sealbus/internal/dsse"
	"github.com/sealbus/sealbus/keys"
)

// signers are who is to sign, a session key in place of each keys.Delegator, and what the payload binds of those.
func (s *sealing) signers(ctx context.Context, first keys.Signer, producer string) (list []keys.Signer, delegations []digest, err error) {
	if len(s.opts.CoSigners) >= dsse.MaxSignatures {
		return nil, nil, &SealError{Problem: fmt.Sprintf("more than %d signatures", dsse.MaxSignatures)}
	}
	list = append(make([]keys.Signer, 0, 1+len(s.opts.CoSigners)), first)
	list = append(list, s.opts.CoSigners...)
	for i, signer := range list {
		if signer == nil {
			return nil, nil, &SealError{Problem: "a co-signer is nil"}
		}
		if signer.Producer() != producer {
			return nil, nil, &SealError{Problem: fmt.Sprintf("co-signer %s belongs to another producer: its signature would not count", signer.Verifier().KeyID())}
		}
		d, ok := signer.(keys.Delegator)
		if !ok {
			continue
		}
		session, err := s.session(ctx, d)
		if err != nil {
			return nil, nil, err
		}
		list[i] = session
		delegations = append(delegations, session.Binding())
	}
	slices.SortFunc(delegations, func(a, b digest) int { return slices.Compare(a[:], b[:]) })
	delegations = slices.Compact(delegations)
	if len(delegations) > MaxDelegations {
		return nil, nil, &SealError{Problem: fmt.Sprintf("more than %d session keys", MaxDelegations)}
	}
	return list, delegations, nil
}

// session is the session key of the moment, if consumers will let it say this.
func (s *sealing) session(ctx context.Context, d keys.Delegator) (*keys.SessionKey, error) {
	k, err := d.Session(ctx, s.now)
	if err != nil {
		return nil, fmt.Errorf("envelope: a session key: %w", err)
	}
	from, until := k.Validity()
	sealed := s.now.UTC().Truncate(time.Second)
	switch {
	case !k.AllowsSource(s.ev.Source):
		return nil, &SealError{Member: "source", Problem: "is outside of the session key's scope: consumers would refuse the event"}
	case !k.AllowsType(s.ev.Type):
		return nil, &SealError{Member: "type", Problem: "is outside of the session key's scope: consumers would refuse the event"}
	case sealed.Before(from.Add(-DefaultSkew)) || !sealed.Before(until):
		return nil, &SealError{Member: attrRecordedTime, Problem: fmt.Sprintf("the session key is good from %s until %s only: consumers would refuse the event", from.Format(time.RFC3339), until.Format(time.RFC3339))}
	}
	return k, nil
}
