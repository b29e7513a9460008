package trust

import (
	"context"
	"os"
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
