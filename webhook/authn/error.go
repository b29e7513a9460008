package authn

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/sealbus/sealbus/envelope"
)

// Error is why a caller is refused. Its class (envelope.Reason.Class) says whether the caller should retry.
//
//	unsigned           there is no token
//	too_large          the token has more than 16 KiB
//	malformed          the token, its header or a claim cannot be read, or could be read in two ways
//	unsupported        a crit or b64, an alg that is not the key's, a token that is bound to a key (cnf)
//	unknown_key        the issuer has no key with that ID
//	bad_signature      the key did not make the signature
//	revoked_key        the private half of the key is public (Options.UnsafePublishedKeys)
//	source_not_allowed the token is of another issuer, or of a client that is not among ClientIDs
//	type_not_allowed   it is no access token, or no id token where these are asked for
//	audience_mismatch  it is for another audience
//	undated            it has no exp
//	expired            it has expired
//	from_future        its nbf or iat is still to come
//	forbidden          the caller lacks a scope or a group
//	trust_unavailable  the keys of the issuer cannot be had; transient
type Error struct {
	Reason envelope.Reason
	// Rule is the part of the token that the refusal is about: "exp", "aud", "scope", "group", "kid",
	// "signature", or "form" for the token as a whole.
	Rule string
	Err  error // never has a token; claims in it are quoted and clipped

	scopes []string // that are needed; nil = no scope lacks
}

// Error is "authn: reason: cause".
func (e *Error) Error() string { return fmt.Sprintf("authn: %s: %v", e.Reason, e.Err) }

// Unwrap is the underlying error.
func (e *Error) Unwrap() error { return e.Err }

// Status is the HTTP status: 401, 403 for forbidden, or 503 for a transient error.
func (e *Error) Status() int {
	switch {
	case e.Reason == envelope.ReasonForbidden:
		return http.StatusForbidden
	case e.Reason.Class() == envelope.Transient:
		return http.StatusServiceUnavailable
	}
	return http.StatusUnauthorized
}

// Challenge is the value of WWW-Authenticate (RFC 6750, section 3); "" for a transient error. It names no
// cause: that is for the operator's log.
func (e *Error) Challenge() string {
	switch {
	case e.Status() == http.StatusServiceUnavailable:
		return ""
	case e.Reason == envelope.ReasonUnsigned:
		return "Bearer" // section 3.1: no error where no token came
	case e.Reason != envelope.ReasonForbidden:
		return `Bearer error="invalid_token"`
	case e.scopes == nil || strings.ContainsAny(strings.Join(e.scopes, ""), "\"\\ \t\r\n"):
		return `Bearer error="insufficient_scope"`
	}
	return `Bearer error="insufficient_scope", scope="` + strings.Join(e.scopes, " ") + `"`
}

func refuse(reason envelope.Reason, rule, format string, args ...any) *Error {
	return &Error{Reason: reason, Rule: rule, Err: fmt.Errorf(format, args...)}
}
