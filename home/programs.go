package home

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/internal/nilcheck"
	"github.com/sealbus/sealbus/internal/privatefile"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
	"github.com/sealbus/sealbus/producer"
)

// maxQuarantineKey bounds the file, in bytes, so that one that is named by mistake is refused.
const maxQuarantineKey = 1 << 10

// lookEvery is how often programs look at the files of trust: they are on the same disk.
const lookEvery = time.Second

// Producer makes the producer of that name out of the home: see Find for dir; name "" = the only producer.
// It signs with the keyring, for the home's audience unless opts has one. It follows the home's trust unless
// opts has another, and sends nothing without a live bundle: a revoked key signs nothing.
func Producer(dir, name string, bus producer.Bus, opts *producer.Options) (*producer.Producer, error) {
	if err := checkProducer(bus, opts); err != nil {
		return nil, err
	}
	h, err := Find(dir)
	if err != nil {
		return nil, err
	}
	return h.Producer(name, bus, opts)
}

// Consumer makes the consumer of that name out of the home: see Find for dir; name "" = the only consumer. It
// accepts what sealbus.yaml says, and opens encrypted data with the consumer's keyring. It follows the trust,
// and remembers the newest bundle across restarts. A nil opts are the usual ones of consumer.New.
func Consumer(dir, name string, store replay.Store, opts *consumer.Options) (*consumer.Consumer, error) {
	if err := checkConsumer(store, opts); err != nil {
		return nil, err
	}
	h, err := Find(dir)
	if err != nil {
		return nil, err
	}
	return h.Consumer(name, store, opts)
}

// QuarantineKeys are the name and the key with which the consumer of that name writes records of refused
// events: see Find for dir; name "" = the only consumer. Its quarantine has its name. A store is made with
// them, such as that of package quarantine/sqs, and is then Options.Quarantine of Consumer:
//
//	keys, err := home.QuarantineKeys("", "billing")
//	refused, err := sqs.New(client, os.Getenv(home.QuarantineVariable), keys, nil)
//	c, err := home.Consumer("", "billing", store, &consumer.Options{Quarantine: refused})
func QuarantineKeys(dir, name string) (consumer.QuarantineKeys, error) {
	h, err := Find(dir)
	if err != nil {
		return consumer.QuarantineKeys{}, err
	}
	return h.QuarantineKeys(name)
}

// checkProducer finds mistakes of the call before there is a home.
func checkProducer(bus producer.Bus, opts *producer.Options) error {
	var o producer.Options
	if opts != nil {
		o = *opts
	}
	return errors.Join(nilcheck.Check("home: the bus", bus), nilcheck.Typed("home: Trust", o.Trust),
		nilcheck.Typed("home: Schemas", o.Schemas))
}

func checkConsumer(store replay.Store, opts *consumer.Options) error {
	var o consumer.Options
	if opts != nil {
		o = *opts
	}
	if store == nil {
		return errors.New("home: no replay store: replay.NewMemory serves one process")
	}
	return errors.Join(nilcheck.Typed("home: the replay store", store),
		nilcheck.Typed("home: Options.Quarantine", o.Quarantine), nilcheck.Typed("home: Options.Schemas", o.Schemas),
		nilcheck.Logger("home: Options.Logger", o.Logger), nilcheck.Typed("home: Options.Observer", o.Observer))
}

// Producer is the function Producer for an open home.
func (h *Home) Producer(name string, bus producer.Bus, opts *producer.Options) (*producer.Producer, error) {
	e, err := h.config.Producer(name)
	if err != nil {
		return nil, err
	}
	ring, err := h.keyring(e.Keyring)
	if err != nil {
		return nil, err
	}
	if ring.Producer() != e.Name {
		return nil, fmt.Errorf("home: %s is not the keyring of producer %s: correct its keyring in %s",
			h.join(e.Keyring), e.Name, File)
	}
	var o producer.Options
	if opts != nil {
		o = *opts
	}
	if o.Audience == "" {
		o.Audience = h.config.Audience
	}
	if o.Trust == nil {
		source, err := h.Trust(o.Now)
		if err != nil {
			return nil, err
		}
		o.Trust, o.RequireTrust = h.WithoutWait(source), true
	}
	return producer.New(ring, bus, &o)
}

// Consumer is the function Consumer for an open home.
func (h *Home) Consumer(name string, store replay.Store, opts *consumer.Options) (*consumer.Consumer, error) {
	e, err := h.config.Consumer(name)
	if err != nil {
		return nil, err
	}
	policy, err := h.Policy(e)
	if err != nil {
		return nil, err
	}
	source, err := h.Trust(nil)
	if err != nil {
		return nil, err
	}
	return consumer.New(e.Name, source, store, policy, opts)
}

// QuarantineKeys is the function QuarantineKeys for an open home. The consumers of a home share one key.
func (h *Home) QuarantineKeys(name string) (consumer.QuarantineKeys, error) {
	none := consumer.QuarantineKeys{}
	e, err := h.config.Consumer(name)
	if err != nil {
		return none, err
	}
	file := h.config.QuarantineKey
	if file == "" {
		return none, &MissingError{What: "the home has no quarantine key: " + File + " has no quarantine_key"}
	}
	path, err := h.Secret(file)
	if err != nil {
		return none, h.missing(file, err)
	}
	text, _, err := privatefile.ReadBounded(path, maxQuarantineKey)
	if err != nil {
		return none, fmt.Errorf("home: %w", err)
	}
	key, err := jsontext.Base64.AppendDecode(nil, bytes.TrimSpace(text))
	if err != nil { // which could quote the key
		return none, fmt.Errorf("home: %s is no quarantine key: `sealbus quarantine key new` makes one", path)
	}
	keys, err := consumer.NewQuarantineKeys(e.Name, key)
	if err != nil {
		return none, fmt.Errorf("home: %s: %w", path, err)
	}
	return keys, nil
}

// Policy is what the consumer accepts, and the keys that it opens with.
func (h *Home) Policy(e *ConsumerEntry) (*envelope.Policy, error) {
	sources, err := h.config.SourcesOf(e)
	if err != nil {
		return nil, err
	}
	p := &envelope.Policy{Sources: sources, Types: e.Types, Audience: h.config.AudienceOf(e)}
	if e.Identity == "" {
		return p, nil
	}
	ring, err := h.keyring(e.Identity)
	if err != nil {
		return nil, err
	}
	if ring.Consumer() != e.Name {
		return nil, fmt.Errorf("home: %s is not the keyring of consumer %s: correct its identity in %s",
			h.join(e.Identity), e.Name, File)
	}
	if p.Decrypter, err = envelope.NewDecrypter(envelope.DecryptWith{Identities: ring}); err != nil {
		return nil, fmt.Errorf("home: %w", err)
	}
	return p, nil
}

// keyring opens a keyring of the home, which has no passphrase.
func (h *Home) keyring(name string) (*keys.Keyring, error) {
	path, err := h.Secret(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &MissingError{What: fmt.Sprintf("%s is missing, which %s names: take it from a backup", h.join(name),
			File), Err: fs.ErrNotExist}
	}
	if err != nil {
		return nil, err
	}
	ring, err := keys.OpenKeyring(path, "", &keys.PrivateFileOptions{InsecureNoPassphrase: true})
	if err != nil {
		return nil, fmt.Errorf("home: %w (a keyring with a passphrase is for keys.OpenKeyring, and then producer.New "+
			"or consumer.New)", err)
	}
	return ring, nil
}

// Trust follows the trust of the home, by that clock; nil = time.Now.
func (h *Home) Trust(now func() time.Time) (trust.Refresher, error) {
	roots, err := h.roots()
	if err != nil {
		return nil, err
	}
	t := &h.config.Trust
	opts := &trust.Options{Now: now, MinVersion: t.MinVersion, RefreshHint: lookEvery}
	if t.State != "" {
		if opts.StateFile, err = h.Place(t.State); err == nil {
			opts.StateFile, err = filepath.Abs(opts.StateFile)
		}
		if err != nil {
			return nil, err
		}
	}
	path, err := h.Public(t.Bundle)
	if err != nil {
		return nil, h.missing(t.Bundle, err)
	}
	if path, err = filepath.Abs(path); err != nil { // the program may change its working directory
		return nil, fmt.Errorf("home: %w", err)
	}
	source, err := trust.WatchFile(path, roots, opts)
	if err == nil {
		return source, nil
	}
	if refused, ok := errors.AsType[*trust.BundleError](err); ok && refused.Why == trust.WhyExpired &&
		t.TimestampKey != "" {
		return nil, fmt.Errorf("home: %s: %w: `sealbus dev` renews the timestamp, and so does each command that uses "+
			"the home, such as `sealbus open`", h.dir, err)
	}
	return nil, fmt.Errorf("home: %s: %w", h.dir, err)
}

func (h *Home) roots() (*trust.Roots, error) {
	doc, err := h.read(h.config.Trust.Roots, keydoc.MaxSigned)
	if err != nil {
		return nil, err
	}
	roots, err := trust.ParseRoots(doc)
	if err != nil {
		return nil, fmt.Errorf("home: %s: %w", h.join(h.config.Trust.Roots), err)
	}
	return roots, nil
}

// read reads a public file of the home.
func (h *Home) read(name string, most int64) ([]byte, error) {
	path, err := h.Public(name)
	if err != nil {
		return nil, h.missing(name, err)
	}
	doc, _, err := privatefile.ReadBounded(path, most)
	if err != nil {
		return nil, fmt.Errorf("home: %w", err)
	}
	return doc, nil
}

// missing says more about a file that is not there.
func (h *Home) missing(name string, err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return &MissingError{What: fmt.Sprintf("%s is missing, which %s names: take it from a backup, or make another home",
		h.join(name), File), Err: fs.ErrNotExist}
}

// WithoutWait is a source of the home for its producers. Its bundles say no more when they were issued, so
// that a producer does not wait until consumers elsewhere know a new key (trust.Bundle.KnownAt): those of a
// home look at the same file, and do so once more before they refuse a key that they do not know. All that is
// refused stays refused.
func (h *Home) WithoutWait(source trust.Source) trust.Source { return &atOnce{source: source} }

type atOnce struct {
	source trust.Source

	mu       sync.Mutex
	from, as *trust.Bundle
}

var _ trust.Source = (*atOnce)(nil)

// Bundle is the bundle of the source, without the time of issue.
func (a *atOnce) Bundle(ctx context.Context) (*trust.Bundle, error) {
	b, err := a.source.Bundle(ctx)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.from == b {
		return a.as, nil
	}
	as, err := trust.NewBundle(trust.BundleOptions{Version: b.Version(), Expires: b.Expires(),
		RevokedSessions: b.RevokedSessions()}, undated(b)...)
	if err != nil {
		return nil, fmt.Errorf("home: %w", err)
	}
	a.from, a.as = b, as
	return as, nil
}

// undated are the keys of a bundle, which say no more since when they are granted: a bundle that does not say
// when it was issued refuses one that does.
func undated(b *trust.Bundle) []*trust.Key {
	var list []*trust.Key
	for _, k := range append(b.SigningKeys(), b.EncryptionKeys()...) {
		plain := *k
		plain.Since = time.Time{}
		list = append(list, &plain)
	}
	return list
}

// Renew signs the next timestamp, if half of the life of the current one is over, and the home has the
// timestamp key. It reports whether it did. Each revocation is kept, and no other bundle is vouched for than
// before. A home on a laptop needs it once a week: `sealbus dev` and the commands that use a home do it.
func (h *Home) Renew(ctx context.Context, now time.Time) (bool, error) {
	t := &h.config.Trust
	if t.TimestampKey == "" || t.Timestamp == "" {
		return false, nil
	}
	roots, err := h.roots()
	if err != nil {
		return false, err
	}
	old, err := h.read(t.Timestamp, keydoc.MaxTimestamp)
	if err != nil {
		return false, err
	}
	previous, err := trust.OpenPreviousTimestamp(old, roots)
	if err != nil {
		return false, fmt.Errorf("home: %s: %w", h.join(t.Timestamp), err)
	}
	isFuture := previous.Issued.After(now.Add(keydoc.TimestampSkew)) // the clock was ahead
	if !isFuture && previous.Expires.Sub(now) > previous.Expires.Sub(previous.Issued)/2 {
		return false, nil
	}
	key, err := h.rootKey(t.TimestampKey)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil // it is kept elsewhere
	}
	if err != nil {
		return false, err
	}
	signed, err := h.read(t.Bundle, keydoc.MaxSigned)
	if err != nil {
		return false, err
	}
	b, err := trust.OpenBundle(signed, roots, &trust.Options{Now: func() time.Time { return now },
		UnsafeNoTimestamp: true})
	if err != nil {
		return false, fmt.Errorf("home: %s: %w", h.join(t.Bundle), err)
	}
	if b.Version() != previous.BundleVersion || sha256.Sum256(b.Payload()) != previous.BundleSHA256 {
		return false, fmt.Errorf("home: %s is another bundle than %s names, so that it is not renewed: if that bundle "+
			"is to count, `sealbus trust timestamp --home %s` says so", h.join(t.Bundle), h.join(t.Timestamp), quoted(h.dir))
	}
	next, err := trust.NewTimestamp(roots, b, previous, trust.TimestampOptions{Now: now,
		Lifetime: keydoc.MaxFreshness})
	if err != nil {
		return false, fmt.Errorf("home: %w", err)
	}
	doc, err := trust.SignTimestamp(ctx, next, key)
	if err != nil {
		return false, fmt.Errorf("home: %w", err)
	}
	return h.replace(t.Timestamp, old, append(doc, '\n'))
}

// rootKey opens a root or timestamp key of the home, which has no passphrase.
func (h *Home) rootKey(name string) (*trust.RootKey, error) {
	path, err := h.Secret(name)
	if err != nil {
		return nil, err
	}
	key, err := trust.OpenRootKey(path, "", &keys.PrivateFileOptions{InsecureNoPassphrase: true})
	if err != nil {
		return nil, fmt.Errorf("home: %w", err)
	}
	return key, nil
}

// replace swaps in the new content if the file still has the old one; false = another process was faster.
func (h *Home) replace(name string, old, content []byte) (bool, error) {
	unlock, err := h.Lock()
	if errors.Is(err, privatefile.ErrLocked) {
		return false, nil // which renews, or is being changed
	}
	if err != nil {
		return false, err
	}
	defer unlock()
	if now, err := h.read(name, int64(len(old))+1); err != nil || !bytes.Equal(now, old) {
		return false, err
	}
	if err := privatefile.Swap(h.join(name), content); err != nil {
		return false, fmt.Errorf("home: %w", err)
	}
	return true, nil
}

// Lock keeps other processes from changing the home, until unlock is called or the process ends. It makes
// state/ where that is missing, as in a clone: without it, two processes would both go on.
func (h *Home) Lock() (unlock func(), err error) {
	const name = "state/lock"
	path, err := h.Place(name)
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.Mkdir(h.join("state"), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("home: %w", err)
		}
		path, err = h.Place(name)
	}
	if err != nil {
		return nil, err
	}
	unlock, err = privatefile.Lock(path)
	if err != nil {
		return nil, fmt.Errorf("home: %w", err)
	}
	return unlock, nil
}
