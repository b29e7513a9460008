package keys

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/sealbus/sealbus/internal/dsse"
	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/nilcheck"
)

// Bounds of a session key.
const (
	MaxSessionLife  = time.Hour // verifiers refuse a longer one
	MinSessionLife  = time.Minute
	MaxSessionScope = 64 // source patterns, and type patterns

	// MaxSessionText is the largest statement of Delegate, in bytes: it goes along with each event, whose
	// signatures have 64 KiB.
	MaxSessionText = 16 << 10
)

// DelegationType is the DSSE payload type of the statement by which a key vouches for a session key.
const DelegationType = "application/vnd.sealbus.delegation+json"

// Scope is what a session key may say: within what its root may.
type Scope struct {
	Sources []string // patterns, see MatchSource; at least one
	Types   []string // patterns, see MatchType; at least one
}

func (s *Scope) check() error {
	if len(s.Sources) == 0 || len(s.Types) == 0 || max(len(s.Sources), len(s.Types)) > MaxSessionScope {
		return fmt.Errorf("keys: the scope of a session key has 1 to %d sources, and as many types: without any, it may say nothing", MaxSessionScope)
	}
	for _, p := range s.Sources {
		if err := CheckSourcePattern(p); err != nil {
			return err
		}
	}
	for _, p := range s.Types {
		if err := CheckTypePattern(p); err != nil {
			return err
		}
	}
	return nil
}

// Delegator is a Signer in whose place session keys sign events. Its own Sign and Verifier are not those of
// the events.
type Delegator interface {
	Signer
	// Session is the session key to sign with at now.
	Session(ctx context.Context, now time.Time) (*SessionKey, error)
}

// DelegateOptions adjust Delegate.
type DelegateOptions struct {
	Now func() time.Time // when the first session begins; nil = time.Now. Later ones go by the clock of what is sealed
}

// Session signs events with Ed25519 keys that are made in memory, for each of which a root key vouches once:
// a root key in a key management service is then asked once per ttl, and not for each event. The next key is
// made on use, by the clock of what is sealed. It is safe for concurrent use, and prints as redacted.
//
// Whoever reads the process' memory can sign within the scope, with times of sealing within the session key's
// time: consumers take that for as long after it as their windows say, those without a window for ever. It
// ends when the bundle lists the session keys (KeyIDs) among the revoked sessions, or revokes the root and so
// all of its sessions. The process does not notice: restart it, as it signs with what is revoked until that
// session is over. The root is the one key that was given, also when it is retired: begin a new Session when
// the root rotates.
type Session struct {
	root  Signer
	scope Scope
	ttl   time.Duration

	mu            sync.Mutex
	current, next *SessionKey
	flight        *vouching // the root is being asked; nil = it is not
	failed        error     // of the last time that the root was asked
	failedAt      time.Time
}

var (
	_ Delegator    = (*Session)(nil)
	_ SignerSource = (*Session)(nil)
)

// Delegate has root vouch for a session key that may say what scope has, for ttl (MinSessionLife to
// MaxSessionLife, whole seconds), and again when that is over.
func Delegate(ctx context.Context, root Signer, scope Scope, ttl time.Duration, opts *DelegateOptions) (*Session, error) {
	if opts == nil {
		opts = &DelegateOptions{}
	}
	now := time.Now
	if opts.Now != nil {
		now = opts.Now
	}
	switch {
	case root == nil:
		return nil, errors.New("keys: no key to vouch for a session key")
	case ttl < MinSessionLife || ttl > MaxSessionLife || ttl%time.Second != 0:
		return nil, fmt.Errorf("keys: a session key lives from %v to %v, in whole seconds, not %v", MinSessionLife, MaxSessionLife, ttl)
	}
	if err := nilcheck.Typed("keys: the key to vouch for a session key", root); err != nil {
		return nil, err
	}
	switch root.(type) {
	case Delegator, *SessionKey:
		return nil, errors.New("keys: a session key cannot vouch for another: delegate from the long-term key")
	}
	scope = Scope{Sources: slices.Clone(scope.Sources), Types: slices.Clone(scope.Types)}
	if err := scope.check(); err != nil {
		return nil, err
	}
	s := &Session{root: root, scope: scope, ttl: ttl}
	if _, err := s.Session(ctx, now()); err != nil {
		return nil, err
	}
	return s, nil
}

// Producer is that of the root.
func (s *Session) Producer() string { return s.root.Producer() }

// Verifier is that of the root: the key that a trust policy lists.
func (s *Session) Verifier() *Verifier { return s.root.Verifier() }

// Sign fails: a session key signs events only, which carry the statement that vouches for it (envelope.Seal).
func (s *Session) Sign(context.Context, []byte) ([]byte, error) {
	return nil, errors.New("keys: a session signs events only (envelope.Seal): sign other messages with its root")
}

// Signers is the session itself.
func (s *Session) Signers(time.Time) ([]Signer, error) { return []Signer{s}, nil }

// AllowsSource reports whether the scope allows the source.
func (s *Session) AllowsSource(source string) bool { return MatchSource(s.scope.Sources, source) }

// AllowsType reports whether the scope allows the type.
func (s *Session) AllowsType(typ string) bool { return MatchType(s.scope.Types, typ) }

// KeyID is the ID of the session key that signed last.
func (s *Session) KeyID() string { return s.KeyIDs()[0] }

// KeyIDs are the IDs of the session keys that are in memory, for a bundle's revoked sessions: of the one that
// signed last and, near its end, of the one that follows, which no event has shown yet.
func (s *Session) KeyIDs() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := []string{s.current.Verifier().KeyID()}
	if s.next != nil {
		ids = append(ids, s.next.Verifier().KeyID())
	}
	return ids
}

// vouch makes a session key that begins at that time, and has the root vouch for it.
func (s *Session) vouch(ctx context.Context, begin time.Time) (*SessionKey, error) {
	signer, err := GenerateSigner(Ed25519, s.root.Producer())
	if err != nil {
		return nil, err
	}
	k := &SessionKey{signer: signer, scope: s.scope, notBefore: begin.UTC().Truncate(time.Second)}
	k.notAfter = k.notBefore.Add(s.ttl)
	body := k.payload()
	pae := dsse.PAE(nil, DelegationType, body)
	sig, err := s.root.Sign(ctx, pae)
	if err != nil {
		return nil, fmt.Errorf("keys: %s is to vouch for a session key: %w", s.root.Verifier().KeyID(), err)
	}
	if !s.root.Verifier().Verify(pae, sig) {
		return nil, fmt.Errorf("keys: the signature by which %s vouches for a session key does not verify", s.root.Verifier().KeyID())
	}
	env := dsse.Envelope{PayloadType: DelegationType, Payload: body, Signatures: []dsse.Signature{{KeyID: s.root.Verifier().KeyID(), Sig: sig}}}
	k.statement, k.binding = env.Append(nil), sha256.Sum256(pae)
	if n := len(k.statement); n > MaxSessionText {
		return nil, fmt.Errorf("keys: the statement that vouches for a session key has %d bytes, of at most %d, and goes along with each event: give its scope fewer or shorter patterns", n, MaxSessionText)
	}
	return k, nil
}

// SessionKey is a session key with the statement that vouches for it. It is immutable, and prints as
// redacted. envelope.Seal signs with it as with its Session, as long as its time lasts. Its private half
// cannot be exported.
type SessionKey struct {
	signer              *LocalSigner
	scope               Scope
	notBefore, notAfter time.Time
	statement           []byte
	binding             [sha256.Size]byte
}

// payload is the statement's payload: canonical JSON.
func (k *SessionKey) payload() []byte {
	w := objectWriter{}
	w.open()
	w.time("not_after", k.notAfter)
	w.time("not_before", k.notBefore)
	w.name("session")
	w.dst = append(w.dst, k.Verifier().ThumbprintJWK()...)
	w.name("sources")
	w.dst = jsontext.AppendStrings(w.dst, k.scope.Sources)
	w.name("types")
	w.dst = jsontext.AppendStrings(w.dst, k.scope.Types)
	return w.close()
}

// Verifier is the public half.
func (k *SessionKey) Verifier() *Verifier { return k.signer.Verifier() }

// Producer is that of the root.
func (k *SessionKey) Producer() string { return k.signer.Producer() }

// Sign signs message, which counts only together with the statement.
func (k *SessionKey) Sign(ctx context.Context, message []byte) ([]byte, error) {
	return k.signer.Sign(ctx, message)
}

// Statement is the DSSE envelope by which the root vouches, as JSON. It is not to be changed.
func (k *SessionKey) Statement() []byte { return k.statement }

// Binding is the SHA-256 of the statement's DSSE pre-authentication encoding, by which a signed event binds
// it.
func (k *SessionKey) Binding() [sha256.Size]byte { return k.binding }

// Validity is from when until when (exclusive) the key may sign, in whole seconds.
func (k *SessionKey) Validity() (notBefore, notAfter time.Time) { return k.notBefore, k.notAfter }

// AllowsSource reports whether the scope allows the source.
func (k *SessionKey) AllowsSource(source string) bool { return MatchSource(k.scope.Sources, source) }

// AllowsType reports whether the scope allows the type.
func (k *SessionKey) AllowsType(typ string) bool { return MatchType(k.scope.Types, typ) }

// goodAt reports whether to sign with it at now. One from the future counts only as far as callers' clocks
// differ.
func (k *SessionKey) goodAt(now time.Time) bool {
	return !now.Before(k.notBefore.Add(-clockTolerance)) && now.Before(k.notAfter)
}

// String names the root, without a key.
func (s *Session) String() string {
	if s == nil || s.root == nil {
		return redactedName("Session", "")
	}
	return redactedName("Session", s.root.Verifier().KeyID())
}

// GoString is String.
func (s *Session) GoString() string { return s.String() }

// Format writes String, whatever the verb.
func (s *Session) Format(f fmt.State, _ rune) { writeRedacted(f, s) }

// LogValue is String.
func (s *Session) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalJSON gives String.
func (s *Session) MarshalJSON() ([]byte, error) { return marshalRedacted(s) }

// String names the key without its private half.
func (k SessionKey) String() string {
	if k.signer == nil {
		return redactedName("SessionKey", "")
	}
	return redactedName("SessionKey", k.signer.Verifier().KeyID())
}

// GoString is String.
func (k SessionKey) GoString() string { return k.String() }

// Format writes String, whatever the verb.
func (k SessionKey) Format(f fmt.State, _ rune) { writeRedacted(f, k) }

// LogValue is String.
func (k SessionKey) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalJSON gives String.
func (k SessionKey) MarshalJSON() ([]byte, error) { return marshalRedacted(k) }
