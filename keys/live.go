package keys

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sealbus/sealbus/internal/nilcheck"
	"github.com/sealbus/sealbus/internal/privatefile"
	"github.com/sealbus/sealbus/internal/redact"
)

// KeyringFetch reads the stored keyring, encrypted as its file is. It ends when ctx does, and limits what it
// reads. Its error holds no secret. KeyringFile is one; packages keys/trust/awss3, keys/awssecrets and
// keys/awsssm have others.
type KeyringFetch func(ctx context.Context) ([]byte, error)

// KeyringFile reads a keyring file.
func KeyringFile(path string) KeyringFetch {
	return func(context.Context) ([]byte, error) {
		content, _, err := privatefile.ReadBounded(path, privatefile.MaxSize)
		return content, err
	}
}

// WatchOptions say how a LiveKeyring follows its keyring. The zero value looks every five minutes.
type WatchOptions struct {
	Interval time.Duration    // between two looks; 0 = 5 minutes, at least a second
	Timeout  time.Duration    // of one look; 0 = 5 seconds
	Now      func() time.Time // nil = time.Now

	// InsecureNoPassphrase is for a keyring that is not encrypted under a passphrase, for example because
	// only its reader may decrypt the secret that it is stored in.
	InsecureNoPassphrase bool
}

const (
	defaultWatch        = 5 * time.Minute
	defaultWatchTimeout = 5 * time.Second
	minWatch            = time.Second
)

// LiveKeyring is a keyring that follows where it is stored, so that a running program picks up new keys. It
// has no goroutine, and nothing is to be closed: when it is used and Interval has passed, one caller looks,
// for at most Timeout, and the others go on with the keyring that is there. If no key signs, a caller looks
// at once, but not more than once a second.
//
// A look that fails leaves the last good keyring in use, and LastError says why. A keyring is refused if it
// does not open with the passphrase, belongs to another owner, or lacks a key that has not expired: then an
// older copy was put in its place, and the program goes on with the keys that it has until it is restarted.
// It is safe for concurrent use, and prints as redacted.
type LiveKeyring struct {
	redacted
	fetch      KeyringFetch
	passphrase redact.Hidden[string]
	opts       WatchOptions

	mu    sync.Mutex // held while looking
	state atomic.Pointer[liveState]
}

var (
	_ SignerSource   = (*LiveKeyring)(nil)
	_ IdentitySource = (*LiveKeyring)(nil)
)

// liveState is immutable.
type liveState struct {
	ring    *Keyring
	checked time.Time // when the last look began
	err     error     // what was wrong then
}

// WatchKeyring reads a keyring and follows it. It fails if there is no good one. ctx bounds this first look.
func WatchKeyring(ctx context.Context, fetch KeyringFetch, passphrase string, opts *WatchOptions) (*LiveKeyring,
	error) {
	l := &LiveKeyring{fetch: fetch, passphrase: redact.Hide(passphrase)}
	if opts != nil {
		l.opts = *opts
	}
	if err := nilcheck.Check("keys: the function that fetches the keyring", fetch); err != nil {
		return nil, err
	}
	if err := privatefile.CheckPassphrase(passphrase, l.opts.InsecureNoPassphrase); err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	if l.opts.Interval < 0 || l.opts.Timeout < 0 {
		return nil, errors.New("keys: the interval or the timeout of a live keyring is negative")
	}
	l.opts.Interval = max(cmp.Or(l.opts.Interval, defaultWatch), minWatch)
	l.opts.Timeout = cmp.Or(l.opts.Timeout, defaultWatchTimeout)
	if l.opts.Now == nil {
		l.opts.Now = time.Now
	}
	first := l.look(ctx, &liveState{})
	if first.err != nil {
		return nil, first.err
	}
	l.redacted = func() string { return "Live" + l.state.Load().ring.print() }
	l.state.Store(first)
	return l, nil
}

// Signers are those of the keyring. See Keyring.Signers.
func (l *LiveKeyring) Signers(now time.Time) ([]Signer, error) {
	signers, err := l.ring().Signers(now)
	if errors.Is(err, ErrNoSigner) { // perhaps the process slept for long
		return l.lookNow().Signers(now)
	}
	return signers, err
}

// Candidates are those of the keyring. See Keyring.Candidates.
func (l *LiveKeyring) Candidates(now time.Time) (due, others []Signer) {
	if due, others = l.ring().Candidates(now); due == nil {
		return l.lookNow().Candidates(now)
	}
	return due, others
}

// Identities are those of the keyring. See Keyring.Identities.
func (l *LiveKeyring) Identities(now time.Time) []Identity { return l.ring().Identities(now) }

// Keyring is the newest good keyring, which does not change any more. Apply and Rewrap refuse it.
func (l *LiveKeyring) Keyring() *Keyring { return l.ring() }

// LastError is the fault of the last look; nil = none.
func (l *LiveKeyring) LastError() error { return l.state.Load().err }

// ring is the keyring, after a look if one is due and no other caller looks.
func (l *LiveKeyring) ring() *Keyring {
	state := l.state.Load()
	if !l.isDue(state, l.opts.Interval) || !l.mu.TryLock() {
		return state.ring
	}
	defer l.mu.Unlock()
	return l.lookIfDue(l.opts.Interval)
}

// lookNow is the keyring after a look, unless the last one was a moment ago.
func (l *LiveKeyring) lookNow() *Keyring {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lookIfDue(minWatch)
}

// lookIfDue is called with the lock.
func (l *LiveKeyring) lookIfDue(interval time.Duration) *Keyring {
	state := l.state.Load()
	if l.isDue(state, interval) {
		state = l.look(context.Background(), state)
		l.state.Store(state)
	}
	return state.ring
}

// isDue also returns true when the clock was set back.
func (l *LiveKeyring) isDue(s *liveState, interval time.Duration) bool {
	passed := l.opts.Now().Sub(s.checked)
	return passed >= interval || passed < 0
}

// look is the state after a look.
func (l *LiveKeyring) look(ctx context.Context, was *liveState) *liveState {
	ctx, cancel := context.WithTimeout(ctx, l.opts.Timeout)
	defer cancel()
	next := &liveState{ring: was.ring, checked: l.opts.Now()}
	content, err := l.fetch(ctx)
	switch {
	case err != nil:
		next.err = fmt.Errorf("keys: reading the keyring: %w", err)
		return next
	case was.ring != nil && sha256.Sum256(content) == was.ring.digest:
		return next // to decrypt it takes a second
	}
	ring, err := parseStored(content, l.passphrase())
	if err == nil && was.ring != nil {
		err = was.ring.follows(ring, next.checked)
	}
	if err != nil {
		next.err = err
		return next
	}
	next.ring = ring
	return next
}

// follows refuses a keyring that cannot be a newer version of k.
func (k *Keyring) follows(next *Keyring, now time.Time) error {
	if next.producer != k.producer || next.consumer != k.consumer {
		return fmt.Errorf("keys: the keyring of %s%s was replaced by that of another owner: the old one is used",
			k.producer, k.consumer)
	}
	for _, key := range k.keys {
		if _, ok := next.find(key.id()); !ok && key.schedule.StateAt(now) != StateExpired {
			return fmt.Errorf("keys: the keyring of %s%s lacks key %s, which has not expired: it is an older copy, and the newer one is used (restart the program if that key is to go)",
				k.producer, k.consumer, key.id())
		}
	}
	return nil
}
