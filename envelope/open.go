package envelope

import (
	"context"
	"errors"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/internal/wire"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// DefaultSkew is how far the clocks of producers and consumers may differ.
const DefaultSkew = 5 * time.Minute

// Mode is what becomes of extension attributes that are not signed. A mode changes only what is returned,
// never what is verified.
type Mode int

// The modes.
const (
	Strict      Mode = iota // they are dropped
	Passthrough             // they come back in Opened.Unverified
	CoreOnly                // every extension attribute is dropped
)

// Outer is what the transport itself says of an event, to be held against what is signed.
type Outer struct {
	Source     string // must equal the signed source
	DetailType string // must equal the signed type
}

// OpenOptions adjust Open. The zero value is the strict one, except that freshness is judged only when a
// MaxAge is given.
type OpenOptions struct {
	Mode               Mode                     // zero = Strict
	Sources            []string                 // this consumer's own allowlist (keys.MatchSource); nil = what the bundle allows
	Types              []string                 // this consumer's own allowlist (keys.MatchType); nil = what the bundle allows
	Audience           string                   // must be among the signed audience; "" = unchecked
	RequiredAlgorithms []keys.Algorithm         // each must have a counted signature of the producer; nil = any one signature
	MaxAge             time.Duration            // the replay window backwards; 0 = freshness is not judged (expirytime always is)
	Skew               time.Duration            // tolerated difference of clocks; 0 = DefaultSkew
	ExtensionTypes     map[string]AttributeType // types of extensions that other implementations signed, and the names that may be Binary
	Outer              *Outer                   // nil = the transport has no such fields
	Account            string                   // AWS account that a service wrote; "" = none did
	Decrypter          *Decrypter               // opens encrypted data; nil = encrypted data is not_a_recipient
	KeepEncrypted      bool                     // true: encrypted data is verified and comes back encrypted, for Opened.Decrypt
	RequireEncrypted   bool                     // true: all of the data must be encrypted, else not_encrypted
	Now                func() time.Time         // nil = time.Now

	// RequireEncryptedFields are JSON Pointers of what must be encrypted where it is there at all, on its own or
	// within what is.
	RequireEncryptedFields []string

	// IgnoreMembers are the names of members that hops are known to add to an EventBridge detail, beside the
	// data of the Embedded layout. If the data is not what was signed, it is tried once more without all of
	// them: the signature decides. nil = DefaultIgnoreMembers, empty = none; see CheckIgnoreMembers. (Where
	// the event is one object, what no attribute can be named is no part of it, and is ignored without being
	// listed.)
	IgnoreMembers []string

	UnsafeIgnoreAccount          bool // true: the bundle's account lists are not looked at
	UnsafeAllowUndated           bool // true: an event whose time of sealing nobody signed is accepted
	UnsafeAcceptBeforeRevocation bool // true: a revoked key still counts for what claims to be sealed before

	// UnsafeAllowUncommitted takes encrypted data of other libraries, which commits to no key (kc), is bound to
	// no event (aad), or neither: who wrote it may have made it to read otherwise to each recipient, and a
	// producer of the same source may have moved it here.
	UnsafeAllowUncommitted bool
}

// Opened is a verified event. Printed or logged it says which event it is, and tells nothing of its data;
// marshalled as JSON it has the data, decrypted.
type Opened struct {
	Event            event.Event       // what was signed, and only that
	Producer         string            // who sealed it
	KeyIDs           []string          // the producer's keys whose signatures counted, sorted
	SignedAt         time.Time         // the signed moment of sealing; zero = none was signed
	ExpiresAt        time.Time         // the signed expirytime; zero = none
	SignedAttributes []string          // names of the attributes that were verified: core, then extensions
	Foreign          bool              // sealed by another implementation of the standard
	Encryption       *Encryption       // how the data was encrypted; nil = it was not
	Unverified       map[string]string // Passthrough only: the unsigned extension attributes; believe none

	// Ignored are the names of members that something added on the way, such as a tracer, and that are no
	// part of Event: at most 8, cut after 64 bytes, what is not printable ASCII escaped as Go does. Anybody
	// can add some, and nobody signed them: they are to be shown, and not to be acted on. nil = none.
	Ignored []string

	content wire.Event // the verified event, all signed extensions included
	data    digest     // SHA-256 of its data as signed
	secret  *secret    // what was encrypted; nil = nothing
	opened  bool       // it was decrypted
	mode    Mode
}

// Open verifies a sealed event in the CloudEvents JSON format (structured mode). It returns either an event
// of which every byte was signed by a key that may speak for its source, or an *Error with the Reason. The
// error of a Transient reason says nothing about the event: ask again.
func Open(ctx context.Context, sealed []byte, trust trust.Source, opts *OpenOptions) (*Opened, error) {
	in, err := wire.ParseSealed(sealed)
	if err != nil {
		return nil, parseError(err)
	}
	o := newOpening(in, opts)
	return o.open(ctx, trust)
}

// parseError turns an error of the event's syntax into a verdict.
func parseError(err error) *Error {
	reason := ReasonMalformed
	if e, ok := errors.AsType[*wire.Error](err); ok {
		switch {
		case e.TooLarge:
			reason = ReasonTooLarge
		case e.Unsupported:
			reason = ReasonUnsupported
		}
	}
	return &Error{Reason: reason, Cause: err.Error(), Err: err}
}

// open runs the checks in their order. Every one of them either passes or ends it.
func (o *opening) open(ctx context.Context, trust trust.Source) (*Opened, error) {
	if err := o.readMaterial(); err != nil {
		return nil, o.blame(err)
	}
	if err := o.authenticate(ctx, trust); err != nil {
		return nil, o.blame(err)
	}
	for _, check := range [...]func(*opening) *Error{
		(*opening).checkOuter,
		(*opening).checkAllowlist,
		(*opening).checkAudience,
		(*opening).checkFreshness,
		(*opening).checkEncryption,
	} {
		if err := check(o); err != nil {
			return nil, o.blame(err)
		}
	}
	opened, err := o.result()
	if err != nil {
		return nil, o.blame(parseError(err))
	}
	if err := o.readSecret(opened); err != nil {
		return nil, o.blame(err)
	}
	if opened.IsEncrypted() && !o.opts.KeepEncrypted {
		if err := opened.decrypt(ctx, o.opts.Decrypter); err != nil {
			return nil, o.blame(err)
		}
	}
	return opened, nil
}

// blame notes on the verdict what the event claimed to be.
func (o *opening) blame(e *Error) *Error {
	e.UnverifiedID, e.UnverifiedSource, e.UnverifiedType = o.in.ID, o.in.Source, o.in.Type
	return e
}
