package envelope

import (
	"fmt"

	"github.com/sealbus/sealbus/internal/dsse"
	"github.com/sealbus/sealbus/keys/trust"
)

// MaxNamelessTries is how many verifications one event may cost for signatures that name no key: as many as
// one that names an alias (trust.MaxSharedAlias) may cost, but for all of them together.
const MaxNamelessTries = 8

// nameless verifies the signatures of one event that have no key ID, which DSSE calls a hint. Each is tried
// under the keys that may have made it, in the order of their IDs, until one verifies it.
type nameless struct {
	bundle      *trust.Bundle
	source, typ string // that the event claims: only a key that may sign for them could count
	left        int    // tries
	candidates  map[int][]*trust.Key
}

const namelessFix = "have the producer write the ID of its key (the thumbprint, or an alias in the bundle) as keyid, " +
	"and see that the policy allows this key the event's source and type"

// namelessError is why a signature without a key ID does not verify.
type namelessError struct {
	cause    string
	mayBeNew bool // a newer bundle may have the key
}

func (e *namelessError) Error() string { return "the signature names no key, and " + e.cause }

func (n *nameless) verify(sig *dsse.Signature, pae []byte, list []valid) ([]valid, error) {
	found := n.of(len(sig.Sig))
	failed := func(mayBeNew bool, format string, args ...any) ([]valid, error) {
		return list, &namelessError{fmt.Sprintf(format, args...), mayBeNew}
	}
	switch {
	case len(found) == 0:
		return failed(true, "no key in the trust bundle that may sign for its source and type makes such signatures")
	case len(found) > n.left:
		return failed(false, "too many keys may have made it: an event has %d tries for such signatures", MaxNamelessTries)
	}
	for _, k := range found {
		n.left--
		if k.Verifier.Verify(pae, sig.Sig) {
			return append(list, valid{key: k}), nil
		}
	}
	return failed(true, "it does not verify under any of the %d that may sign for its source and type", len(found))
}

// of is the keys that may have made a signature of so many bytes; one more than can be tried stands for all
// others.
func (n *nameless) of(size int) []*trust.Key {
	if size == 0 {
		return nil
	}
	found, known := n.candidates[size]
	if !known {
		found = n.bundle.Candidates(n.source, n.typ, size, MaxNamelessTries+1)
		if n.candidates == nil {
			n.candidates = map[int][]*trust.Key{}
		}
		n.candidates[size] = found
	}
	return found
}
