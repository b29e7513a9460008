package webhook

import (
	"cmp"
	"errors"

	"github.com/sealbus/sealbus/envelope"
)

// Error is why a delivery is refused. Its class (envelope.Reason.Class) says whether the sender should retry.
//
//	malformed         a header, the time or the body cannot be read, or could be read in two ways
//	too_large         the body, a header or the number of signatures exceeds a limit
//	unsigned          there is no signature, or none of a version that the scheme reads
//	bad_signature     no secret made the signature
//	modified          the signature is genuine, and another body than the one whose digest it covers came
//	key_not_valid     a secret made the signature, at a time at which it is not valid
//	unknown_key       the request names a key that the verifier does not have, or a certificate elsewhere
//	unsupported       the request is signed by an algorithm that is not taken, such as the SHA-1 of SNS
//	source_not_allowed, audience_mismatch
//	                  the signature is genuine, and of another topic, account or audience
//	undated           the signature has no time, and the scheme needs one
//	expired           the signed time is too old
//	from_future       the signed time is too far ahead
//	trust_unavailable a certificate or a key set could not be fetched; transient
type Error struct {
	Reason   envelope.Reason
	Provider string
	Err      error // never has a secret or a computed signature
}

// Error is "webhook: provider: reason: cause".
func (e *Error) Error() string {
	text := "webhook: " + cmp.Or(e.Provider, "?") + ": " + string(e.Reason)
	if e.Err != nil {
		return text + ": " + e.Err.Error()
	}
	return text + ": " + e.Reason.Cause()
}

// Unwrap is the underlying error.
func (e *Error) Unwrap() error { return e.Err }

// ReasonOf is the Reason inside err, or "" if there is none.
func ReasonOf(err error) envelope.Reason {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Reason
	}
	return envelope.ReasonOf(err)
}
