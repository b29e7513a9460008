package trust

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/internal/keydoc"
)

// spied is a shelf that tells when it is asked for another file than the timestamp.
type spied struct {
	*shelf
	onBundle func()
}

func (s *spied) Beside(name string) Origin { return &spiedFile{s.shelf.Beside(name), s, name} }

type spiedFile struct {
	Origin
	on   *spied
	name string
}

func (f *spiedFile) Fetch(ctx context.Context, etag string) (*Fetched, error) {
	if f.name != keydoc.TimestampFile {
		f.on.onBundle()
	}
	return f.Origin.Fetch(ctx, etag)
}

// A host that answers slowly, until the process is killed, cannot have a revocation forgotten: it is in the
// state file before the bundle is asked for.
func TestRevocationIsKeptBeforeTheBundle(t *testing.T) {
	d := newDesk(t)
	d.publish(d.bundle(1, 0, d.keys...))
	asked := 0
	host := &spied{d.shelf, func() {
		asked++
		h, err := recallHolding(d.opts.StateFile, d.roots, 0, &holding{})
		if err != nil || h.timestamp == nil || h.timestamp.Version != d.last.Version ||
			len(h.revoked) != len(d.last.Revoked) {
			t.Errorf("the state file is %+v, %v", h, err)
		}
	}}
	s, err := FetchFrom(t.Context(), host, d.roots, &d.opts)
	d.check(err)
	d.renew(d.bundle(2, 0, d.keys...), d.keys[0].KeyID())
	got, err := d.pass(s, 5*time.Minute)
	d.want("withheld", got, err, 1, 0)
	if asked != 2 {
		t.Errorf("asked %d times for a bundle", asked)
	}
}

// A process whose state file knows newer roots takes no timestamp any more, but its revocations.
func TestRevocationCountsAlthoughTheStateFileRefuses(t *testing.T) {
	d := newDesk(t)
	b := d.bundle(1, 0, d.keys...)
	d.publish(b)
	old := d.mustStart()
	path := t.TempDir() + "/bundle.dsse"
	d.check(os.WriteFile(path, d.signBundle(b), 0o600))
	stamp := path[:len(path)-len("bundle.dsse")] + keydoc.TimestampFile
	d.check(os.WriteFile(stamp, d.sign(d.last), 0o600))
	watched, err := WatchFile(path, d.roots, &d.opts)
	d.check(err)
	newer, err := FetchFrom(t.Context(), d.shelf, d.rootsOf(2), &d.opts)
	d.check(err)
	d.renew(b, d.keys[1].KeyID())
	d.check(os.WriteFile(stamp, d.sign(d.last), 0o600))
	got, err := d.pass(newer, 5*time.Minute)
	d.want("newer roots", got, err, 1, 1)
	expires := day(2)
	for name, s := range map[string]Source{"fetched": old, "watched": watched} {
		got, err = d.pass(s, 5*time.Minute)
		d.want(name, got, err, 1, 1)
		if !got.Expires().Equal(expires) {
			t.Errorf("%s: the refused timestamp has the bundle live until %s", name, got.Expires())
		}
	}
	wantWhy(t, "fetched", old.LastError(), WhyRollback)
	wantWhy(t, "watched", watched.LastError(), WhyRollback)
}

// A process that still has roots without timestamp keys does not write over what another keeps.
func TestTimestampsInTheStateFileAreNotLost(t *testing.T) {
	d := newDesk(t)
	short := func(version int64) *Bundle {
		b, err := NewBundle(BundleOptions{Version: version, Issued: day(0), Expires: day(7)}, d.keys...)
		d.check(err)
		return b
	}
	plain, err := NewRoots(1, 1, d.root.Verifier())
	d.check(err)
	d.put("bundle.dsse", d.signBundle(short(1)))
	behind, err := FetchFrom(t.Context(), d.shelf, plain, &d.opts)
	d.check(err)
	d.roots = d.rootsOf(2)
	d.publish(short(1), d.keys[0].KeyID())
	d.mustStart()
	before, err := os.ReadFile(d.opts.StateFile)
	d.check(err)
	d.put("bundle.dsse", d.signBundle(short(2)))
	got, err := d.pass(behind, time.Hour)
	d.want("the newer bundle is used", got, err, 2)
	if behind.LastError() == nil {
		t.Error("it is not told that the state file was not written")
	}
	after, err := os.ReadFile(d.opts.StateFile)
	if d.check(err); !bytes.Equal(before, after) {
		t.Error("the state file lost the timestamp")
	}
}

// Newer roots forget a timestamp that another key signed, and none that is damaged.
func TestDamagedTimestampIsNotForgotten(t *testing.T) {
	d := newDesk(t)
	d.publish(d.bundle(1, 0, d.keys...), d.keys[0].KeyID())
	d.mustStart()
	good, err := os.ReadFile(d.opts.StateFile)
	d.check(err)
	bad := bytes.Replace(good, []byte(keydoc.TimestampType), []byte("X"+keydoc.TimestampType[1:]), 1)
	d.check(os.WriteFile(d.opts.StateFile, bad, 0o600))
	d.roots = d.rootsOf(2)
	if s, err := d.start(); err == nil || bytes.Equal(good, bad) {
		t.Errorf("a damaged timestamp is forgotten with its revocations: %v", s.LastError())
	}
}

// Where no revocation fits any more, the refusal says what helps, and the bundle that helps makes room.
func TestRevocationThatDoesNotFit(t *testing.T) {
	o := newTimed(t)
	b := o.bundle(1, 0)
	full := TimestampOptions{Now: day(1), Revoke: map[string]Revocation{}}
	for i := range keydoc.MaxWithdrawn {
		full.Revoke[thumbprintOf(fmt.Append(nil, i))] = Revocation{At: day(1)}
	}
	ts, err := NewTimestamp(o.roots, b, nil, full)
	o.check(err)
	more := TimestampOptions{Now: day(1), Revoke: map[string]Revocation{thumbprintOf([]byte("k")): {At: day(1)}}}
	_, err = NewTimestamp(o.roots, b, ts, more)
	wantWhy(t, "1,001", err, WhyTooLarge)
	if !strings.Contains(err.Error(), "takes over") {
		t.Errorf("%v does not say what to do", err)
	}
	if next, err := NewTimestamp(o.roots, o.bundle(2, ts.Version), ts, more); err != nil || len(next.Revoked) != 1 {
		t.Errorf("after a bundle that took them over: %v", err)
	}
	for id := range full.Revoke {
		full.Revoke[id] = Revocation{At: day(1), Reason: strings.Repeat("r", 300)}
	}
	_, err = NewTimestamp(o.roots, b, nil, full)
	wantWhy(t, "long reasons", err, WhyTooLarge)
}
