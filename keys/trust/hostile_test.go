package trust

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/internal/dsse"
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
	if strings.HasPrefix(f.name, keydoc.BundlesDir) {
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
		h, err := recallHolding(d.opts.StateFile, 0, d.nothing())
		if err != nil || h.timestamp == nil || h.timestamp.Version != d.last.Version ||
			len(h.revoked.keys) != len(d.last.Revoked) {
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
	more := TimestampOptions{Now: day(1), Revoke: map[string]Revocation{}}
	more.Revoke[thumbprintOf([]byte("k"))] = Revocation{At: day(1)}
	_, err = NewTimestamp(o.roots, b, ts, more)
	wantWhy(t, "1,001", err, WhyTooLarge)
	if !strings.Contains(err.Error(), "takes over") {
		t.Errorf("%v does not say what to do", err)
	}
	next, err := NewTimestamp(o.roots, o.bundle(2, ts.Version), ts, more)
	if err != nil || len(next.Revoked) != 1 {
		t.Errorf("after a bundle that took them over: %v", err)
	}
	for id := range full.Revoke {
		full.Revoke[id] = Revocation{At: day(1), Reason: strings.Repeat("r", 300)}
	}
	_, err = NewTimestamp(o.roots, b, nil, full)
	wantWhy(t, "long reasons", err, WhyTooLarge)
}

// The table of TUF's tests in docs/trust.md has all of them, and names tests that exist.
func TestTUFTable(t *testing.T) {
	doc, err := os.ReadFile("../../docs/trust.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var source []byte
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		source = append(source, text...)
	}
	row := regexp.MustCompile(`(?m)^\| .test_\w+. \| (.*) \| (.*) \|$`)
	rows := row.FindAllStringSubmatch(string(doc), -1)
	if len(rows) != 53 {
		t.Errorf("%d rows", len(rows))
	}
	for _, row := range rows {
		tests := regexp.MustCompile(`Test\w+`).FindAllString(row[1], -1)
		if len(tests) == 0 && row[2] == "" {
			t.Errorf("no test and no reason: %s", row[0])
		}
		for _, name := range tests {
			if !bytes.Contains(source, []byte("func "+name+"(")) {
				t.Errorf("there is no %s", name)
			}
		}
		for _, name := range regexp.MustCompile("`([a-z-]+)`").FindAllStringSubmatch(row[1], -1) {
			if _, err := os.Stat("../../vectors/trust/" + name[1] + ".json"); err != nil {
				t.Error(err)
			}
		}
	}
}

// The state file keeps the signed documents byte by byte.
func TestStateHasTheBytesThatWereServed(t *testing.T) {
	d := newDesk(t)
	b := d.bundle(1, 0, d.keys...)
	d.publish(b, d.keys[0].KeyID())
	d.mustStart()
	state, err := os.ReadFile(d.opts.StateFile)
	d.check(err)
	if !bytes.HasSuffix(state, append(bytes.Clone(d.files[keydoc.TimestampFile]), d.files[bundleFile(b)]...)) {
		t.Error("other bytes are kept than were served")
	}
}

// A timestamp that expired in the state file is not used, and nothing older is accepted after it.
func TestExpiredTimestampStillCountsAgainstRollback(t *testing.T) {
	d := newDesk(t)
	b := d.bundle(1, 0, d.keys...)
	d.publish(b)
	older := *d.last
	d.renew(b, d.keys[0].KeyID())
	d.mustStart()
	d.clock.set(day(3))
	older.Issued, older.Expires = day(3), day(4) // version 1 once more, and alive
	d.put(keydoc.TimestampFile, d.sign(&older))
	_, err := d.start() // tells of both: what it has expired, and what it is offered is older
	if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "("+string(WhyRollback)+")") {
		t.Errorf("older: %v", err)
	}
	d.renew(b)
	got, err := d.mustStart().Bundle(t.Context())
	d.want("renewed", got, err, 1, 0)
}

// A bad signature of another root or timestamp key takes nothing from enough good ones.
func TestBadSignatureBesideEnoughGoodOnes(t *testing.T) {
	o := newTimed(t)
	second := mustRoot(t)
	roots, err := o.roots.WithTimestampKeys(o.key.Verifier(), second.Verifier())
	o.check(err)
	ts := o.timestamp(o.bundle(1, 0), nil, day(1))
	e, err := dsse.Parse(o.sign(ts))
	o.check(err)
	bad := e.Signatures[0]
	bad.KeyID = second.Verifier().KeyID()
	e.Signatures = append([]dsse.Signature{bad}, e.Signatures...)
	if err := roots.verifyTimestamp(e); err != nil {
		t.Error(err)
	}
	e.Signatures = e.Signatures[:1]
	wantWhy(t, "the bad one alone", roots.verifyTimestamp(e), WhyThreshold)
}

// Renewals while root holders sign a bundle, for days, do not keep it from deciding on what it was built for.
func TestRenewalsWhileRootHoldersSign(t *testing.T) {
	d := newDesk(t)
	one := d.bundle(1, 0, d.keys...)
	d.publish(one, d.keys[0].KeyID())
	s := d.mustStart()
	overruling := d.bundle(2, d.last.Version, d.keys...)
	for range 3 {
		d.renew(one)
		got, err := d.pass(s, 5*time.Minute)
		d.want("renewed meanwhile", got, err, 1, 0)
	}
	d.renew(one, d.keys[1].KeyID())
	d.publish(overruling)
	got, err := d.pass(s, 5*time.Minute)
	d.want("decided on the first, not on the second", got, err, 2, 1)
	got, err = d.mustStart().Bundle(t.Context())
	d.want("after a restart", got, err, 2, 1)
	if _, ok := d.last.Revoked[d.keys[0].KeyID()]; ok {
		t.Error("what was decided still takes room")
	}
}

// Of two that signed a timestamp at once, one overwrites the other. The revocation of the loser counts as
// soon as a consumer sees it, also after a restart, and then is not written again.
func TestRevocationOfARefusedTimestampCounts(t *testing.T) {
	d := newDesk(t)
	b := d.bundle(1, 0, d.keys...)
	d.publish(b)
	first := d.last
	d.renew(b)
	s := d.mustStart()
	path := t.TempDir() + "/bundle.dsse"
	stamp := path[:len(path)-len("bundle.dsse")] + keydoc.TimestampFile
	d.check(os.WriteFile(path, d.signBundle(b), 0o600))
	d.check(os.WriteFile(stamp, d.sign(d.last), 0o600))
	watched, err := WatchFile(path, d.roots, &Options{Now: d.opts.Now, StateFile: path + ".state"})
	d.check(err)
	emergency := d.sign(d.timestamp(b, first, d.clock.now(), d.keys[0].KeyID()))
	d.put(keydoc.TimestampFile, emergency)
	d.check(os.WriteFile(stamp, emergency, 0o600))
	for name, s := range map[string]Source{"fetched": s, "watched": watched} {
		got, err := d.pass(s, 5*time.Minute)
		d.want(name, got, err, 1, 0)
	}
	wantWhy(t, "fetched", s.LastError(), WhyEquivocate)
	wantWhy(t, "watched", watched.LastError(), WhyEquivocate)
	before, err := os.Stat(d.opts.StateFile)
	d.check(err)
	got, err := d.pass(s, time.Hour)
	d.want("once more", got, err, 1, 0)
	if after, err := os.Stat(d.opts.StateFile); err != nil || !os.SameFile(before, after) {
		t.Errorf("the state file was written although nothing is new: %v", err)
	}
	d.renew(b)
	got, err = d.mustStart().Bundle(t.Context())
	d.want("after a restart", got, err, 1, 0)
}
