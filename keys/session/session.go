package session

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sealbus/sealbus/internal/dsse"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/internal/nilcheck"
	"github.com/sealbus/sealbus/internal/redact"
	"github.com/sealbus/sealbus/keys"
)

// Bounds of a session key.
const (
	MaxLife     = time.Hour // verifiers refuse a longer one
	minLife     = time.Minute
	MaxPatterns = 64 // source patterns, and type patterns

	// MaxText is the largest statement of Delegate, in bytes. Each event carries the statement, and the
	// signatures of an event have 64 KiB.
	MaxText = 16 << 10
)

// DelegationType is the DSSE payload type of the statement by which a key vouches for a session key.
const DelegationType = "application/vnd.sealbus.delegation+json"

// Scope is what a session key may say. Its root must be allowed to say it, too.
type Scope struct {
	Sources []string // patterns, see MatchSource; at least one
	Types   []string // patterns, see MatchType; at least one
}

func (s *Scope) check() error {
	if len(s.Sources) == 0 || len(s.Types) == 0 || max(len(s.Sources), len(s.Types)) > MaxPatterns {
		return fmt.Errorf("session: the scope of a session key has 1 to %d sources, and as many types: without any, it may say nothing", MaxPatterns)
	}
	for _, p := range s.Sources {
		if err := keys.CheckSourcePattern(p); err != nil {
			return err
		}
	}
	for _, p := range s.Types {
		if err := keys.CheckTypePattern(p); err != nil {
			return err
		}
	}
	return nil
}

// Delegator is a Signer in whose place session keys sign events. Its own Sign and Verifier are not those of
// the events.
type Delegator interface {
	keys.Signer
	// Session is the session key to sign with at now.
	Session(ctx context.Context, now time.Time) (*Key, error)
}

// Options adjust Delegate.
type Options struct {
	// Now is when the first session begins; nil = time.Now. Later sessions go by the clock of the sealed event.
	Now func() time.Time
}

// redacted is embedded in types that hold a secret. They print, log and marshal as its text.
type redacted = redact.Printed

// Session signs events with keys.Ed25519 keys that are made in memory. A root key vouches once for each of
// them: a root key in a key management service is then asked once per ttl, and not for each event. The next
// key is made when it is needed, by the clock of the event that is sealed. It is safe for concurrent use, and
// prints as redacted.
//
// An attacker who reads the memory of the process can sign within the scope, with times of sealing within the
// time of the session key. Consumers accept such events for as long as their windows say, and for ever
// without a window. It ends when the bundle lists the session keys (KeyIDs) among the revoked sessions, or
// revokes the root and so all of its sessions. The process does not learn of a revocation: it signs with the
// revoked key until that session is over. Restart it. The root stays the key that was given, also when it is
// retired: begin a new Session when the root rotates.
type Session struct {
	redacted

	root  keys.Signer
	scope Scope
	ttl   time.Duration

	mu            sync.Mutex
	current, next *Key
	flight        *vouching // the root is being asked; nil = it is not
	failed        error     // of the last time that the root was asked
	failedAt      time.Time
}

var (
	_ Delegator         = (*Session)(nil)
	_ keys.SignerSource = (*Session)(nil)
)

// Delegate has root vouch for a session key that may say what scope has, for ttl (a minute
// to MaxLife, in whole seconds), and again when that is over.
func Delegate(ctx context.Context, root keys.Signer, scope Scope, ttl time.Duration, opts *Options) (*Session, error) {
	if opts == nil {
		opts = &Options{}
	}
	now := time.Now
	if opts.Now != nil {
		now = opts.Now
	}
	switch {
	case root == nil:
		return nil, errors.New("session: no key to vouch for a session key")
	case ttl < minLife || ttl > MaxLife || ttl%time.Second != 0:
		return nil, fmt.Errorf("session: a session key lives from %v to %v, in whole seconds, not %v", minLife, MaxLife, ttl)
	}
	if err := nilcheck.Typed("session: the key to vouch for a session key", root); err != nil {
		return nil, err
	}
	switch root.(type) {
	case Delegator, *Key:
		return nil, errors.New("session: a session key cannot vouch for another: delegate from the long-term key")
	}
	scope = Scope{Sources: slices.Clone(scope.Sources), Types: slices.Clone(scope.Types)}
	if err := scope.check(); err != nil {
		return nil, err
	}
	s := &Session{redacted: redact.Key("Session", root.Verifier().KeyID()), root: root, scope: scope, ttl: ttl}
	if _, err := s.Session(ctx, now()); err != nil {
		return nil, err
	}
	return s, nil
}

// Producer is that of the root.
func (s *Session) Producer() string { return s.root.Producer() }

// Verifier is that of the root: the key that a trust policy lists.
func (s *Session) Verifier() *keys.Verifier { return s.root.Verifier() }

// Sign fails: a session key signs events only, which carry the statement that vouches for it (envelope.Seal).
func (s *Session) Sign(context.Context, []byte) ([]byte, error) {
	return nil, errors.New("session: a session signs events only (envelope.Seal): sign other messages with its root")
}

// Signers is the session itself.
func (s *Session) Signers(time.Time) ([]keys.Signer, error) { return []keys.Signer{s}, nil }

// AllowsSource reports whether the scope allows the source.
func (s *Session) AllowsSource(source string) bool { return keys.MatchSource(s.scope.Sources, source) }

// AllowsType reports whether the scope allows the type.
func (s *Session) AllowsType(typ string) bool { return keys.MatchType(s.scope.Types, typ) }

// KeyIDs are the IDs of the session keys that are in memory, for a bundle's revoked sessions: first the one
// that signed last. Near its end the one that follows is there, too, which no event has shown yet.
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
func (s *Session) vouch(ctx context.Context, begin time.Time) (*Key, error) {
	signer, err := keys.GenerateSigner(keys.Ed25519, s.root.Producer())
	if err != nil {
		return nil, err
	}
	id := signer.Verifier().KeyID()
	k := &Key{redacted: redact.Key("Key", id), signer: signer, scope: s.scope, notBefore: begin.UTC().Truncate(time.Second)}
	k.notAfter = k.notBefore.Add(s.ttl)
	body := k.payload()
	pae := dsse.PAE(nil, DelegationType, body)
	sig, err := s.root.Sign(ctx, pae)
	if err != nil {
		return nil, fmt.Errorf("session: %s is to vouch for a session key: %w", s.root.Verifier().KeyID(), err)
	}
	if !s.root.Verifier().Verify(pae, sig) {
		return nil, fmt.Errorf("session: the signature by which %s vouches for a session key does not verify", s.root.Verifier().KeyID())
	}
	env := dsse.Envelope{PayloadType: DelegationType, Payload: body, Signatures: []dsse.Signature{{KeyID: s.root.Verifier().KeyID(), Sig: sig}}}
	k.statement, k.binding = env.Append(nil), sha256.Sum256(pae)
	if n := len(k.statement); n > MaxText {
		return nil, fmt.Errorf("session: the statement that vouches for a session key has %d bytes, of at most %d, and goes along with each event: give its scope fewer or shorter patterns", n, MaxText)
	}
	return k, nil
}

// Key is a session key with the statement that vouches for it. It is immutable, and prints as
// redacted. envelope.Seal signs with it as with its Session, as long as its time lasts. Its private half
// cannot be exported.
type Key struct {
	redacted

	signer              *keys.LocalSigner
	scope               Scope
	notBefore, notAfter time.Time
	statement           []byte
	binding             [sha256.Size]byte
}

// payload is the statement's payload: canonical JSON.
func (k *Key) payload() []byte {
	var o keydoc.Object
	o.Time("not_after", k.notAfter)
	o.Time("not_before", k.notBefore)
	o.Raw("session", k.Verifier().ThumbprintJWK())
	o.Strings("sources", k.scope.Sources)
	o.Strings("types", k.scope.Types)
	return o.Append(nil)
}

// Verifier is the public half.
func (k *Key) Verifier() *keys.Verifier { return k.signer.Verifier() }

// Producer is that of the root.
func (k *Key) Producer() string { return k.signer.Producer() }

// Sign signs message, which counts only together with the statement.
func (k *Key) Sign(ctx context.Context, message []byte) ([]byte, error) {
	return k.signer.Sign(ctx, message)
}

// Statement is the DSSE envelope by which the root vouches, as JSON. It is not to be changed.
func (k *Key) Statement() []byte { return k.statement }

// Binding is the SHA-256 of the statement's DSSE pre-authentication encoding, by which a signed event binds
// it.
func (k *Key) Binding() [sha256.Size]byte { return k.binding }

// Validity is from when until when (exclusive) the key may sign, in whole seconds.
func (k *Key) Validity() (notBefore, notAfter time.Time) { return k.notBefore, k.notAfter }

// AllowsSource reports whether the scope allows the source.
func (k *Key) AllowsSource(source string) bool { return keys.MatchSource(k.scope.Sources, source) }

// AllowsType reports whether the scope allows the type.
func (k *Key) AllowsType(typ string) bool { return keys.MatchType(k.scope.Types, typ) }

// goodAt reports whether the key is to sign at now. A key that begins later is good only as far as the clocks
// of callers differ.
func (k *Key) goodAt(now time.Time) bool {
	return !now.Before(k.notBefore.Add(-clockTolerance)) && now.Before(k.notAfter)
}
