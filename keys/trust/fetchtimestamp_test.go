package trust

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/keys"
)

// shelf is a Directory in memory, which counts requests and answers with ETags.
type shelf struct {
	mu    sync.Mutex
	files map[string][]byte
	asked map[string]int
	bytes int // of all answers
}

func newShelf() *shelf { return &shelf{files: map[string][]byte{}, asked: map[string]int{}} }

func (s *shelf) String() string            { return "shelf" }
func (s *shelf) Beside(name string) Origin { return &onShelf{s, name} }
func (s *shelf) Fetch(ctx context.Context, etag string) (*Fetched, error) {
	return s.Beside("bundle.dsse").Fetch(ctx, etag)
}

type onShelf struct {
	*shelf
	name string
}

func (o *onShelf) Fetch(_ context.Context, etag string) (*Fetched, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked[o.name]++
	doc := o.files[o.name]
	is := thumbprintOf(doc)
	switch {
	case doc == nil && strings.HasPrefix(o.name, keydoc.RootsDir):
		return nil, ErrNotFound
	case doc == nil:
		return nil, errDown
	case is == etag:
		return &Fetched{}, nil
	}
	o.bytes += len(doc)
	return &Fetched{Body: io.NopCloser(bytes.NewReader(doc)), ETag: is}, nil
}

func (s *shelf) put(name string, doc []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[name] = doc
}

// desk is an organisation that publishes on a shelf, and a consumer with a state file.
type desk struct {
	*timed
	*shelf
	clock *clock
	opts  Options
	last  *Timestamp
	keys  []*Key
}

func newDesk(t testing.TB) *desk {
	d := &desk{timed: newTimed(t), shelf: newShelf(), clock: newClock(day(1))}
	for range 2 {
		d.keys = append(d.keys, testKey(t, keys.Ed25519, nil))
	}
	d.opts = Options{StateFile: filepath.Join(t.TempDir(), "state"), Now: d.clock.now}
	return d
}

func bundleFile(b *Bundle) string {
	digest := seenOf(b).digest
	return keydoc.BundlesDir + hex.EncodeToString(digest[:])
}

// publish publishes a bundle and its timestamp.
func (d *desk) publish(b *Bundle, revoke ...string) {
	d.Helper()
	d.put(bundleFile(b), d.signBundle(b))
	d.renew(b, revoke...)
}

// renew publishes the next timestamp alone.
func (d *desk) renew(b *Bundle, revoke ...string) {
	d.Helper()
	d.last = d.timestamp(b, d.last, d.clock.now(), revoke...)
	d.put(keydoc.TimestampFile, d.sign(d.last))
}

func (d *desk) start() (*RemoteSource, error) {
	return FetchFrom(d.Context(), d.shelf, d.roots, &d.opts)
}

func (d *desk) mustStart() *RemoteSource {
	d.Helper()
	s, err := d.start()
	d.check(err)
	return s
}

// pass lets time pass, and the source look.
func (d *desk) pass(s Source, by time.Duration) (*Bundle, error) {
	d.clock.set(d.clock.now().Add(by))
	return s.Bundle(d.Context())
}

func (d *desk) want(name string, b *Bundle, err error, version int64, revoked ...int) {
	d.Helper()
	if err != nil || b.Version() != version {
		d.Fatalf("%s: %v, %v, want version %d", name, b, err, version)
	}
	for i, k := range d.keys {
		is := b.Key(k.KeyID()).Revoked != nil
		if want := bytes.IndexByte(fmt.Append(nil, revoked), byte('0'+i)) >= 0; is != want {
			d.Errorf("%s: key %d is revoked: %t", name, i, is)
		}
	}
}

// A consumer asks for the small file. It gets the bundle only when the timestamp names another one.
func TestTimestampIsPolled(t *testing.T) {
	d := newDesk(t)
	b := d.bundle(1, 0, d.keys...)
	d.publish(b)
	s := d.mustStart()
	for range 12 {
		got, err := d.pass(s, 5*time.Minute)
		d.want("unchanged", got, err, 1)
	}
	small := d.bytes
	for range 12 {
		d.renew(b)
		got, err := d.pass(s, 5*time.Minute)
		d.want("renewed", got, err, 1)
	}
	if d.asked[keydoc.TimestampFile] != 25 || d.asked[bundleFile(b)] != 1 || d.asked["bundle.dsse"] != 0 {
		t.Errorf("requests: %v", d.asked)
	}
	if d.bytes-small > 12*1024 {
		t.Errorf("%d bytes for 12 renewals", d.bytes-small)
	}
	next := d.bundle(2, 0, d.keys...)
	d.publish(next)
	got, err := d.pass(s, 5*time.Minute)
	d.want("a new bundle", got, err, 2)
	if ts := got.Timestamp(); ts == nil || ts.Version != d.last.Version {
		t.Errorf("timestamp %v", ts)
	}
	if d.asked[bundleFile(next)] != 1 || s.LastError() != nil {
		t.Errorf("requests: %v, %v", d.asked, s.LastError())
	}
}

// Revocations act at once. The old bundle lives until the timestamp expires that named it last.
func TestMixture(t *testing.T) {
	d := newDesk(t)
	d.publish(d.bundle(1, 0, d.keys...))
	s := d.mustStart()
	d.clock.set(day(1.5))
	d.renew(d.bundle(2, 0, d.keys...), d.keys[0].KeyID()) // whose bundle is withheld
	got, err := d.pass(s, time.Minute)
	d.want("withheld", got, err, 1, 0)
	wantWhy(t, "withheld", s.LastError(), WhyOtherBundle)
	if !errors.Is(s.LastError(), errDown) || !got.Expires().Equal(day(2)) || got.Timestamp() != nil {
		t.Errorf("%v, expires %s", s.LastError(), got.Expires())
	}
	if _, err := s.Refresh(t.Context(), d.clock.now()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("an unknown key is judged: %v", err)
	}
	restarted := d.mustStart() // also after a restart
	got, err = restarted.Bundle(t.Context())
	d.want("after a restart", got, err, 1, 0)
	d.clock.set(day(2))
	for name, s := range map[string]*RemoteSource{"running": s, "restarted": restarted} {
		_, err := s.Bundle(t.Context())
		wantWhy(t, name, err, WhyExpired)
		if !errors.Is(err, ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	b := d.bundle(2, 0, d.keys...)
	d.put(bundleFile(b), d.signBundle(b))
	got, err = d.pass(s, time.Hour)
	d.want("published", got, err, 2, 0)
}

// A revocation that a later timestamp omits still counts, also after a restart, until a bundle decides on it.
func TestRevocationOmittedLater(t *testing.T) {
	d := newDesk(t)
	b := d.bundle(1, 0, d.keys...)
	d.publish(b, d.keys[0].KeyID(), d.keys[1].KeyID())
	s := d.mustStart()
	forgetful := *d.last
	forgetful.Version, forgetful.Revoked = 2, nil
	d.put(keydoc.TimestampFile, d.sign(&forgetful))
	got, err := d.pass(s, 5*time.Minute)
	d.want("omitted", got, err, 1, 0, 1)
	got, err = d.mustStart().Bundle(t.Context())
	d.want("after a restart", got, err, 1, 0, 1)
	d.last = &forgetful
	overruling := d.bundle(2, 2, d.keys...)
	d.publish(overruling)
	got, err = d.pass(s, 5*time.Minute)
	d.want("overruled", got, err, 2)
	got, err = d.mustStart().Bundle(t.Context())
	d.want("overruled, after a restart", got, err, 2)
}

// Each answer of the host is refused for its reason, and the consumer keeps what it has, also after a
// restart.
func TestTimestampsThatAreRefused(t *testing.T) {
	d := newDesk(t)
	first := d.bundle(1, 0, d.keys...)
	d.publish(first)
	old := d.sign(d.last)
	oldest := d.last
	d.publish(d.bundle(2, 0, d.keys...), d.keys[0].KeyID())
	d.clock.set(day(1).Add(time.Hour))
	d.renew(d.bundle(2, 0, d.keys...))
	good := d.sign(d.last)
	s := d.mustStart()
	change := func(change func(*Timestamp)) []byte {
		ts := *d.last
		change(&ts)
		return d.sign(&ts)
	}
	other := newTimed(t)
	for name, c := range map[string]struct {
		doc  []byte
		want BundleWhy
	}{
		"an older one":          {old, WhyRollback},
		"the version once more": {change(func(ts *Timestamp) { ts.Expires = ts.Expires.Add(time.Hour) }), WhyEquivocate},
		"an older bundle":       {change(func(ts *Timestamp) { ts.Version, ts.BundleVersion, ts.BundleSHA256 = 9, 1, oldest.BundleSHA256 }), WhyRollback},
		"the bundle's version":  {change(func(ts *Timestamp) { ts.Version, ts.BundleSHA256 = 9, oldest.BundleSHA256 }), WhyEquivocate},
		"of other roots":        {other.sign(d.last), WhyThreshold},
		"in the future":         {change(func(ts *Timestamp) { ts.Version, ts.Issued, ts.Expires = 9, day(3), day(4) }), WhyFuture},
		"a bundle":              {d.signBundle(first), WhyType},
		"more than 256 KiB":     {append(bytes.Clone(good), bytes.Repeat([]byte(" "), keydoc.MaxTimestamp)...), WhyTooLarge},
		"not JSON":              {[]byte("<html>"), WhyMalformed},
	} {
		d.put(keydoc.TimestampFile, c.doc)
		got, err := d.pass(s, 6*time.Minute)
		d.want(name, got, err, 2, 0)
		wantWhy(t, name, s.LastError(), c.want)
		restarted := d.mustStart()
		got, err = restarted.Bundle(t.Context())
		d.want(name+", restarted", got, err, 2, 0)
		wantWhy(t, name+", restarted", restarted.LastError(), c.want)
	}
	d.put(keydoc.TimestampFile, good)
	got, err := d.pass(s, 6*time.Minute)
	d.want("good again", got, err, 2, 0)
	if s.LastError() != nil {
		t.Error(s.LastError())
	}
}

// A clock that is set back revives nothing, also not after a restart.
func TestClockSetBack(t *testing.T) {
	d := newDesk(t)
	b := d.bundle(1, 0, d.keys...)
	d.publish(b)
	d.mustStart()
	d.clock.set(day(1.9))
	next := d.bundle(2, 0, d.keys...)
	d.last = d.timestamp(next, d.last, day(2).Add(10*time.Minute))
	d.clock.set(day(2).Add(10 * time.Minute))
	d.put(keydoc.TimestampFile, d.sign(d.last)) // without its bundle: the first timestamp has expired
	if _, err := d.start(); whyOf(err) != WhyExpired && whyOf(err) != WhyOtherBundle {
		t.Fatal(err)
	}
	d.clock.set(day(1.5))
	_, err := d.start()
	if !errors.Is(err, ErrUnavailable) {
		t.Errorf("the clock went back by half a day, and the old bundle lives again: %v", err)
	}
}
