package envelope

import (
	"errors"
	"fmt"
	"time"

	"github.com/sealbus/sealbus/keys"
)

// Reason is why an event was not handled: one machine-readable, stable word in snake_case.
type Reason string

// The reasons, in the order in which opening an event comes upon them.
const (
	ReasonMalformed        Reason = "malformed"
	ReasonTooLarge         Reason = "too_large"
	ReasonUnsigned         Reason = "unsigned"
	ReasonUnsupported      Reason = "unsupported"
	ReasonUnknownKey       Reason = "unknown_key"
	ReasonBadSignature     Reason = "bad_signature"
	ReasonModified         Reason = "modified"
	ReasonRevokedKey       Reason = "revoked_key"
	ReasonKeyNotValid      Reason = "key_not_valid"
	ReasonSourceNotAllowed Reason = "source_not_allowed"
	ReasonTypeNotAllowed   Reason = "type_not_allowed"
	ReasonAccountMismatch  Reason = "account_mismatch"
	ReasonEnvelopeMismatch Reason = "envelope_mismatch"
	ReasonAudienceMismatch Reason = "audience_mismatch"
	ReasonUndated          Reason = "undated"
	ReasonExpired          Reason = "expired"
	ReasonFromFuture       Reason = "from_future"
	ReasonForbidden        Reason = "forbidden"
	ReasonReplayed         Reason = "replayed"
	ReasonIDReused         Reason = "id_reused"
	ReasonNotEncrypted     Reason = "not_encrypted"
	ReasonNotARecipient    Reason = "not_a_recipient"
	ReasonDecryptFailed    Reason = "decrypt_failed"
	ReasonSchemaInvalid    Reason = "schema_invalid"

	ReasonInProgress       Reason = "in_progress"
	ReasonTrustUnavailable Reason = "trust_unavailable"
	ReasonStoreUnavailable Reason = "store_unavailable"
	ReasonKMSUnavailable   Reason = "kms_unavailable"
	ReasonHandlerFailed    Reason = "handler_failed"
)

// Class is what to do about a Reason.
type Class string

// The classes of reasons.
const (
	Permanent Class = "permanent" // will never pass: quarantine, do not retry
	Transient Class = "transient" // could not be judged or handled now: retry, nothing is lost
	Done      Class = "done"      // was handled before: acknowledge
)

// explanation is what one Reason means and what to do about it.
type explanation struct {
	class      Class
	cause, fix string // one line each
}

// explanations is the one table of reasons.
var explanations = map[Reason]explanation{
	ReasonMalformed: {Permanent,
		"the event is not a well-formed sealed CloudEvent",
		"find out what wrote or re-wrote the event so: `sealbus inspect` names the member",
	},
	ReasonTooLarge: {Permanent,
		"the event exceeds a limit",
		"send large data by reference (dataref), or split the event; name fewer recipients, each by its " +
			"key ID",
	},
	ReasonUnsigned: {Permanent,
		"the event carries no signature",
		"if no producer migrates, treat it as a forgery; else seal it at the producer",
	},
	ReasonUnsupported: {Permanent,
		"the event uses something that this version does not read",
		"update sealbus at the consumer, or declare the extension's type in ExtensionTypes",
	},
	ReasonUnknownKey: {Permanent,
		"no key in the trust bundle has the ID that signed",
		"if the producer confirms the key, add it to the policy and publish a bundle; if no producer knows " +
			"it, treat it as a forgery",
	},
	ReasonBadSignature: {Permanent,
		"no signature verifies under the key that it names",
		"treat as a forgery; if it is not, the producer signs with another key than it names",
	},
	ReasonModified: {Permanent,
		"the signature is genuine, what it covers was changed afterwards",
		"find what changes events between producer and consumer; sealbus keeps JSON through " +
			"re-formatting, not through edits",
	},
	ReasonRevokedKey: {Permanent,
		"the key that signed is revoked",
		"have the producer seal again under its new key, after checking what the old key signed",
	},
	ReasonKeyNotValid: {Permanent,
		"the key may not be used at that time or by that producer",
		"check the key's schedule in the policy and the producer's clock",
	},
	ReasonSourceNotAllowed: {Permanent,
		"the key or this consumer does not allow the event's source",
		"add the source to the producer in the policy, or to the consumer's Sources, if it belongs there",
	},
	ReasonTypeNotAllowed: {Permanent,
		"the key or this consumer does not allow the event's type",
		"add the type to the producer in the policy, or to the consumer's Types, if it belongs there",
	},
	ReasonAccountMismatch: {Permanent,
		"the event did not come from an AWS account that the key is bound to",
		"find out whose account it is, and add it in the policy only if it is the producer's; if none was " +
			"stated, state the one that the service names (Message.Account, `open --account`)",
	},
	ReasonEnvelopeMismatch: {Permanent,
		"the transport's own source or detail-type differs from the signed one",
		"find out who put it on the bus under another name; a program that re-publishes an event keeps its " +
			"source and its type",
	},
	ReasonAudienceMismatch: {Permanent,
		"the event was sealed for another audience",
		"find out who moved it here, unless producer and consumer name this bus in two ways",
	},
	ReasonUndated: {Permanent,
		"nothing signed says when the event was sealed",
		"have the producer sign recordedtime; Unsafe.AllowUndated gives freshness up",
	},
	ReasonExpired: {Permanent,
		"the event is older than the replay window, or past its expirytime",
		"if it was not handled before, reopen it or replay the archive under a Permission in the consumer's " +
			"Options; widen the window if deliveries are slow by nature",
	},
	ReasonFromFuture: {Permanent,
		"the event claims to have been sealed in the future",
		"check the clocks of producer and consumer",
	},
	ReasonForbidden: {Permanent,
		"the caller is known and may not do this: a scope, a group or a tenant is missing",
		"give the client the scope, the user the group, or the client its tenant, if that is meant",
	},
	ReasonReplayed: {Done,
		"this event was already handled",
		"nothing: a duplicate is acknowledged and counted",
	},
	ReasonIDReused: {Permanent,
		"another event with the same source and ID was already handled",
		"have the producer give each event an ID of its own",
	},
	ReasonNotEncrypted: {Permanent,
		"the consumer requires encrypted data and the event's is not",
		"seal with recipients",
	},
	ReasonNotARecipient: {Permanent,
		"the data is encrypted and no identity at hand is a recipient",
		"add this consumer's key to the recipients, or give the consumer its identity",
	},
	ReasonDecryptFailed: {Permanent,
		"the data could not be decrypted",
		"check that the event was not re-encrypted or moved; seal it again",
	},
	ReasonSchemaInvalid: {Permanent,
		"the data does not follow its schema",
		"correct the producer, or the schema",
	},
	ReasonInProgress: {Transient,
		"another worker is handling this event",
		"nothing: it is delivered again if that worker fails",
	},
	ReasonTrustUnavailable: {Transient,
		"there is no trust bundle fit to judge with",
		"check that the bundle can be fetched and has not expired",
	},
	ReasonStoreUnavailable: {Transient,
		"the replay store did not answer or is full",
		"check the store; the event is delivered again",
	},
	ReasonKMSUnavailable: {Transient,
		"KMS did not answer, or not with the right key",
		"check permissions, quota and state of the key; the event is delivered again",
	},
	ReasonHandlerFailed: {Transient,
		"the handler returned an error",
		"see the error; the event is delivered again",
	},
}

// Reasons lists every Reason there is, in the order of this file.
func Reasons() []Reason {
	return []Reason{
		ReasonMalformed, ReasonTooLarge, ReasonUnsigned, ReasonUnsupported, ReasonUnknownKey,
		ReasonBadSignature,
		ReasonModified, ReasonRevokedKey, ReasonKeyNotValid, ReasonSourceNotAllowed, ReasonTypeNotAllowed,
		ReasonAccountMismatch, ReasonEnvelopeMismatch, ReasonAudienceMismatch, ReasonUndated, ReasonExpired,
		ReasonFromFuture, ReasonForbidden, ReasonReplayed, ReasonIDReused, ReasonNotEncrypted,
		ReasonNotARecipient, ReasonDecryptFailed, ReasonSchemaInvalid, ReasonInProgress,
		ReasonTrustUnavailable, ReasonStoreUnavailable, ReasonKMSUnavailable, ReasonHandlerFailed,
	}
}

// Cause says in one line what the reason means, without the event at hand; "" for a word that is no Reason.
func (r Reason) Cause() string { return explanations[r].cause }

// Fix is advice in one line for the operator of the consumer; "" for a word that is no Reason.
func (r Reason) Fix() string { return explanations[r].fix }

// Page is where the repository explains the reason, with its causes and cures: "docs/reasons.md#modified".
// The command `sealbus explain REASON` prints the same text.
func (r Reason) Page() string { return "docs/reasons.md#" + string(r) }

// Class is what to do about the reason. An unknown word is Permanent: never retried blindly.
func (r Reason) Class() Class {
	if e, ok := explanations[r]; ok {
		return e.class
	}
	return Permanent
}

// Error is the verdict on an event that was not verified. It alone has the claims of such an event, and none
// of them may be believed.
type Error struct {
	Reason Reason
	Cause  string // the exact cause, one line, without secrets; untrusted text in it is quoted and clipped
	Advice string // the advice, one line, where it differs from that of the Reason; "" = that of the Reason

	// The claims of the event, for logs and quarantine: unverified, possibly empty.
	UnverifiedID, UnverifiedSource, UnverifiedType string

	// BundleExpires is when the trust bundle that judged the event may no longer be used; zero = it ended
	// before there was one, or the bundle never expires.
	BundleExpires time.Time

	// Err is the underlying error, if there is one.
	Err error
}

// Error is "reason: cause".
func (e *Error) Error() string {
	cause := e.Cause
	if cause == "" {
		cause = e.Reason.Cause()
	}
	return fmt.Sprintf("envelope: %s: %s", e.Reason, cause)
}

// Unwrap is the underlying error.
func (e *Error) Unwrap() error { return e.Err }

// Fix is the one-line advice: that of the key management service's error, if it has one, or Advice, or the
// one for the reason. An error of a handler gives none: it may quote decrypted data.
func (e *Error) Fix() string {
	if e.Reason != ReasonHandlerFailed && e.Reason != ReasonSchemaInvalid {
		if s, ok := errors.AsType[*keys.ServiceError](e.Err); ok && s.Fix != "" {
			return s.Fix
		}
	}
	if e.Advice != "" {
		return e.Advice
	}
	return e.Reason.Fix()
}

// Is lets errors.Is(err, &Error{Reason: r}) ask for a reason.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && *t == Error{Reason: e.Reason}
}

// ReasonOf is the Reason inside err, or "" if there is none.
func ReasonOf(err error) Reason {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Reason
	}
	return ""
}

// reject is the verdict with that cause, in which %w is the underlying error.
func reject(reason Reason, format string, args ...any) *Error {
	cause := fmt.Errorf(format, args...)
	return &Error{Reason: reason, Cause: cause.Error(), Err: errors.Unwrap(cause)}
}
