package keystest

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sealbus/sealbus/keys"
)

// livePassphrase must stand in no error.
const livePassphrase = "hush-hush"

// TestKeyringFetch runs the tests that a keys.KeyringFetch must pass that a program follows with
// keys.WatchKeyring. open stores a first keyring and returns the function that reads it. Its second result
// puts another content in its place, all at once; without content (nil), it makes the place fail until the
// next one.
func TestKeyringFetch(t *testing.T, open func(t testing.TB, first []byte) (keys.KeyringFetch, func(content []byte))) {
	for name, test := range map[string]func(*liveTest){
		"follows": (*liveTest).follows, "outage": (*liveTest).outage, "refuses": (*liveTest).refuses,
		"no signer": (*liveTest).noSigner, "clock set back": (*liveTest).clockSetBack,
		"concurrent": (*liveTest).concurrent, "identities": (*liveTest).identities,
	} {
		t.Run(name, func(t *testing.T) { test(newLiveTest(t, open)) })
	}
}

type liveTest struct {
	*testing.T
	open    func(testing.TB, []byte) (keys.KeyringFetch, func([]byte))
	fetch   keys.KeyringFetch
	publish func(content []byte)
	clock   atomic.Int64
	live    *keys.LiveKeyring
}

const liveInterval = time.Minute

func newLiveTest(t *testing.T, open func(testing.TB, []byte) (keys.KeyringFetch, func([]byte))) *liveTest {
	l := &liveTest{T: t, open: open}
	l.clock.Store(sourceStart.UnixNano())
	l.watch(l.ring("orders", "a"))
	return l
}

func (l *liveTest) watch(first []byte) {
	l.Helper()
	l.fetch, l.publish = l.open(l, first)
	var err error
	l.live, err = keys.WatchKeyring(l.Context(), l.fetch, livePassphrase,
		&keys.WatchOptions{Interval: liveInterval, Timeout: time.Minute, Now: l.now})
	if err != nil {
		l.Fatal(err)
	}
}

func (l *liveTest) now() time.Time          { return time.Unix(0, l.clock.Load()).UTC() }
func (l *liveTest) advance(d time.Duration) { l.clock.Add(int64(d)) }

// ring is the content of a keyring of that producer with these keys. A key with a "!" before its name has
// expired, one with a ">" is active in an hour.
func (l *liveTest) ring(producer string, names ...string) []byte {
	l.Helper()
	path := filepath.Join(l.TempDir(), "ring")
	ring, err := keys.CreateKeyring(path, livePassphrase, producer,
		&keys.KeyringOptions{PrivateFileOptions: keys.PrivateFileOptions{ScryptWorkFactor: 1}})
	for i, name := range names {
		s := keys.Schedule{Active: sourceStart.Add(time.Duration(i-100) * time.Hour)}
		rest, expired := strings.CutPrefix(name, "!")
		rest, later := strings.CutPrefix(rest, ">")
		switch {
		case expired:
			s.Expired = sourceStart
		case later:
			s.Active = sourceStart.Add(time.Hour)
		}
		if err == nil {
			err = ring.Add(Signer(l, keys.Ed25519, producer, rest), s)
		}
	}
	content, readErr := os.ReadFile(path)
	if err = errors.Join(err, readErr); err != nil {
		l.Fatal(err)
	}
	return content
}

// want wants the key of that name to sign.
func (l *liveTest) want(name string) {
	l.Helper()
	signers, err := l.live.Signers(l.now())
	if err != nil || len(signers) != 1 ||
		signers[0].Verifier().KeyID() != Signer(l, keys.Ed25519, "orders", name).Verifier().KeyID() {
		l.Fatalf("%v sign, %v, not key %s; the last look: %v", signers, err, name, l.live.LastError())
	}
	due, _ := l.live.Candidates(l.now())
	if !slices.ContainsFunc(due, func(s keys.Signer) bool { return s.Verifier().KeyID() == signers[0].Verifier().KeyID() }) {
		l.Fatalf("the candidates %v lack it", due)
	}
}

// wantFault wants the last look to have failed, without a secret in its error.
func (l *liveTest) wantFault(name string) {
	l.Helper()
	err := l.live.LastError()
	if err == nil {
		l.Fatalf("%s: no error", name)
	}
	private, jwkErr := Signer(l, keys.Ed25519, "orders", "a").UnsafePrivateJWK()
	if jwkErr != nil {
		l.Fatal(jwkErr)
	}
	_, secret, _ := strings.Cut(string(private), `"d":"`)
	if text := err.Error(); strings.Contains(text, livePassphrase) || strings.Contains(text, secret[:20]) {
		l.Fatalf("%s: a secret stands in the error: %s", name, text)
	}
}

// follows: a new key signs after a look, and not before; so does the next one, after the old one was removed.
func (l *liveTest) follows() {
	l.want("a")
	l.publish(l.ring("orders", "a", "b"))
	l.advance(liveInterval - 1)
	l.want("a")
	l.advance(1)
	l.want("b")
	l.publish(l.ring("orders", "!a", "b", "c"))
	l.advance(liveInterval)
	l.want("c")
	l.publish(l.ring("orders", "b", "c", "d"))
	l.advance(liveInterval)
	l.want("d")
	if err := l.live.LastError(); err != nil {
		l.Error(err)
	}
}

func (l *liveTest) outage() {
	l.publish(nil)
	for range 10 {
		l.advance(liveInterval)
		l.want("a")
		l.wantFault("outage")
	}
	l.publish(l.ring("orders", "a", "b"))
	l.advance(liveInterval)
	l.want("b")
	if err := l.live.LastError(); err != nil {
		l.Error(err)
	}
	l.publish(nil)
	if live, err := keys.WatchKeyring(l.Context(), l.fetch, livePassphrase, nil); err == nil || live != nil {
		l.Error("a program started without a keyring")
	}
}

// refuses: a keyring that cannot be the next one does not replace the good one.
func (l *liveTest) refuses() {
	good := l.ring("orders", "a", "b")
	l.publish(good)
	l.advance(liveInterval)
	l.want("b")
	for name, bad := range map[string][]byte{
		"an older copy": l.ring("orders", "a"), "another owner": l.ring("mail", "a", "b"), "empty": {},
		"half": good[:len(good)/2], "text": []byte("<html>"), "no keys": l.ring("orders"),
		"not encrypted": []byte(`{"keys":[],"producer":"orders","version":1}`),
	} {
		l.publish(bad)
		l.advance(liveInterval)
		l.want("b")
		l.wantFault(name)
	}
	l.publish(l.ring("orders", "a", "b", "c"))
	l.advance(liveInterval)
	l.want("c")
}

// noSigner: a program that slept until its keys ended looks before it gives up.
func (l *liveTest) noSigner() {
	l.watch(l.ring("orders", ">a"))
	if _, err := l.live.Signers(l.now()); !errors.Is(err, keys.ErrNoSigner) {
		l.Fatal(err)
	}
	l.publish(l.ring("orders", "b", ">a"))
	l.advance(time.Second)
	l.want("b")
}

func (l *liveTest) clockSetBack() {
	l.publish(l.ring("orders", "a", "b"))
	l.advance(-time.Hour)
	l.want("b")
}

// concurrent: all callers have one whole keyring or another, and never go back.
func (l *liveTest) concurrent() {
	names := []string{"a", "b", "c", "d", "e", "f"}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { l.neverGoesBack(names) })
	}
	for i := range names {
		l.publish(l.ring("orders", names[:i+1]...))
		l.advance(liveInterval)
	}
	wg.Wait()
	l.advance(liveInterval)
	l.want("f")
}

func (l *liveTest) neverGoesBack(names []string) {
	ids := map[string]int{}
	for i, name := range names {
		ids[Signer(l, keys.Ed25519, "orders", name).Verifier().KeyID()] = i
	}
	last := 0
	for range 50 {
		signers, err := l.live.Signers(l.now())
		if err != nil {
			l.Error(err)
			return
		}
		if now := ids[signers[0].Verifier().KeyID()]; now < last {
			l.Errorf("key %d signs after key %d", now, last)
			return
		} else {
			last = now
		}
		_ = l.live.Identities(l.now())
		_ = l.live.LastError()
	}
}

// identities: a consumer's keyring is followed as well.
func (l *liveTest) identities() {
	path := filepath.Join(l.TempDir(), "ring")
	ring, err := keys.CreateConsumerKeyring(path, livePassphrase, "billing",
		&keys.KeyringOptions{PrivateFileOptions: keys.PrivateFileOptions{ScryptWorkFactor: 1}})
	if err != nil {
		l.Fatal(err)
	}
	grow := func() []byte {
		l.Helper()
		identity, err := keys.GenerateIdentity(keys.X25519)
		if err == nil {
			err = ring.Add(identity, keys.Schedule{})
		}
		content, readErr := os.ReadFile(path)
		if err = errors.Join(err, readErr); err != nil {
			l.Fatal(err)
		}
		return content
	}
	l.watch(grow())
	l.publish(grow())
	l.advance(liveInterval)
	if n := len(l.live.Identities(l.now())); n != 2 {
		l.Errorf("%d identities, %v", n, l.live.LastError())
	}
	if l.live.Keyring().Consumer() != "billing" {
		l.Errorf("%v", l.live)
	}
}
