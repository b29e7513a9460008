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
	minLife     = time.Minute
	MaxPatterns = 64 // source patterns, and type patterns, as consumers read them (wire.MaxPatterns)
)

// Scope is the sources and types that a session key may sign. Its root key must be allowed to sign them, too.
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

// Options adjust Delegate.
type Options struct {
	// Now gives the beginning of the first session; nil = time.Now. Later sessions begin by the clock of the
	// event that is sealed.
	Now func() time.Time
}

// redacted is embedded in types that hold a secret. They print, log and marshal as its text.
type redacted = redact.Printed

// Session is a Signer that signs events with Ed25519 keys that are made in memory. A root key vouches for
// each of them once. So a root key in a key management service is called once per ttl, and not for each
// event. The next session key is made when it is needed, by the clock of the event that is sealed. Session is
// safe for concurrent use, and prints as redacted.
//
// An attacker who reads the memory of the process can sign within the scope, with times of sealing within the
// validity of the session key. Consumers accept such events within their replay windows, and for ever without
// a window. To stop that, list the session keys (KeyIDs) in the bundle as revoked sessions, or revoke the
// root key and so all of its sessions. A producer with Options.Trust then refuses to sign. One without it
// signs with the revoked key until the session ends: restart it. Session keeps the root key that it was
// given, also when that is retired: begin a new Session when the root key rotates.
type Session struct {
	redacted

	root  keys.Signer
	scope Scope
	ttl   time.Duration

	mu            sync.Mutex
	current, next *Key
	flight        *vouching // the call of the root key that is under way; nil = none
	failed        error     // of the last call of the root key
	failedAt      time.Time
}

var (
	_ keys.Signer       = (*Session)(nil)
	_ keys.SignerSource = (*Session)(nil)
)

// Delegate has root vouch for a session key with that scope. The key is valid for ttl: a minute to an hour,
// in whole seconds. When the validity ends, root vouches for the next key.
func Delegate(ctx context.Context, root keys.Signer, scope Scope, ttl time.Duration,
	opts *Options) (*Session, error) {
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
	case ttl < minLife || ttl > keydoc.MaxSessionLife || ttl%time.Second != 0:
		return nil, fmt.Errorf("session: a session key lives from %v to %v, in whole seconds, not %v",
			minLife, keydoc.MaxSessionLife, ttl)
	}
	if err := nilcheck.Typed("session: the key to vouch for a session key", root); err != nil {
		return nil, err
	}
	switch root.(type) {
	case *Session, *Key:
		return nil,
			errors.New("session: a session key cannot vouch for another: delegate from the long-term key")
	}
	scope = Scope{Sources: slices.Clone(scope.Sources), Types: slices.Clone(scope.Types)}
	if err := scope.check(); err != nil {
		return nil, err
	}
	s := &Session{redacted: redact.Key("Session", root.Verifier().KeyID()), root: root, scope: scope,
		ttl: ttl}
	if _, err := s.Session(ctx, now()); err != nil {
		return nil, err
	}
	return s, nil
}

// Producer is the producer of the root key.
func (s *Session) Producer() string { return s.root.Producer() }

// Verifier is the public half of the root key, which the trust policy lists.
func (s *Session) Verifier() *keys.Verifier { return s.root.Verifier() }

// InMemory is true: the keys that sign events are in memory. The root key, which may not be, vouches for one
// of them at a time.
func (s *Session) InMemory() bool { return true }

// Sign always fails. A session key signs only events, because they carry the statement that vouches for it
// (envelope.Seal).
func (s *Session) Sign(context.Context, []byte) ([]byte, error) {
	return nil,
		errors.New("session: a session signs events only (envelope.Seal): sign other messages with its root")
}

// Signers is the session itself.
func (s *Session) Signers(time.Time) ([]keys.Signer, error) { return []keys.Signer{s}, nil }

// Scope is the source and type patterns of the scope. Do not change them.
func (s *Session) Scope() (sources, types []string) { return s.scope.Sources, s.scope.Types }

// KeyIDs are the IDs of the session keys in memory, for the revoked sessions of a bundle. The key that signs
// now is the first. Near the end of its validity the next key follows, which has signed no event yet.
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
	k := &Key{redacted: redact.Key("Key", id), signer: signer, root: s.root.Verifier(),
		scope: s.scope, notBefore: begin.UTC().Truncate(time.Second)}
	k.notAfter = k.notBefore.Add(s.ttl)
	body := k.payload()
	pae := dsse.PAE(nil, keydoc.DelegationType, body)
	sig, err := s.root.Sign(ctx, pae)
	if err != nil {
		return nil, fmt.Errorf("session: %s is to vouch for a session key: %w", s.root.Verifier().KeyID(),
			err)
	}
	if !s.root.Verifier().Verify(pae, sig) {
		return nil, fmt.Errorf("session: the signature by which %s vouches for a session key does not verify",
			s.root.Verifier().KeyID())
	}
	env := dsse.Envelope{PayloadType: keydoc.DelegationType, Payload: body,
		Signatures: []dsse.Signature{{KeyID: s.root.Verifier().KeyID(), Sig: sig}}}
	k.statement, k.binding = env.Append(nil), sha256.Sum256(pae)
	if n := len(k.statement); n > keydoc.MaxDelegation {
		return nil,
			fmt.Errorf("session: the statement that vouches for a session key has %d bytes, of at most %d, and goes along with each event: give its scope fewer or shorter patterns", n, keydoc.MaxDelegation)
	}
	return k, nil
}

// Key is a session key with the statement that vouches for it. It is immutable, and prints as redacted.
// envelope.Seal signs with it as with its Session while the key is valid. Its private half cannot be
// exported.
type Key struct {
	redacted

	signer              *keys.LocalSigner
	root                *keys.Verifier
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

// Root is the public half of the root key, which the trust policy lists.
func (k *Key) Root() *keys.Verifier { return k.root }

// Producer is the producer of the root key.
func (k *Key) Producer() string { return k.signer.Producer() }

// Sign signs message. The signature counts only together with the statement.
func (k *Key) Sign(ctx context.Context, message []byte) ([]byte, error) {
	return k.signer.Sign(ctx, message)
}

// Statement is the DSSE envelope by which the root key vouches, as JSON. Do not change it.
func (k *Key) Statement() []byte { return k.statement }

// Binding is the SHA-256 of the statement's DSSE pre-authentication encoding, by which a signed event binds
// it.
func (k *Key) Binding() [sha256.Size]byte { return k.binding }

// Validity is when the key may sign: from notBefore until just before notAfter, in whole seconds.
func (k *Key) Validity() (notBefore, notAfter time.Time) { return k.notBefore, k.notAfter }

// Scope is the source and type patterns of the key's scope. Do not change them.
func (k *Key) Scope() (sources, types []string) { return k.scope.Sources, k.scope.Types }

// goodAt reports whether the key may sign at now. A key that begins a little later may sign, too, because the
// clocks of callers differ.
func (k *Key) goodAt(now time.Time) bool {
	return !now.Before(k.notBefore.Add(-clockTolerance)) && now.Before(k.notAfter)
}
