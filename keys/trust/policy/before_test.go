package policy

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// line builds policies of one producer with key a, each on the bundle before, and gives what the last says of
// the key. The first is built at now, and the others so much later than the one before.
type line struct {
	t    *testing.T
	last *trust.Bundle
	now  time.Time
	opts BuildOptions // for all of them
}

// known is when all know a grant, of bundles without a hint and a cache.
var known = keydoc.KnownAfter(0, 0)

func (l *line) build(later time.Duration, of Producer, k Key) *trust.Key {
	l.t.Helper()
	a := verifier(l.t, "a").KeyID()
	of.Name, k.ID = "orders", a
	if of.Sources == nil {
		of.Sources = []string{"urn:x"}
	}
	if of.Keys = []Key{k}; of.Types == nil {
		of.Types = []string{"a.*"}
	}
	if l.now = l.now.Add(later); l.last == nil {
		l.now = now
	}
	opts := l.opts
	opts.Now, opts.Expires, opts.Previous = l.now, l.now.AddDate(0, 0, 7), l.last
	opts.UnsafeSchedules, opts.Widen = []string{a}, []string{"all"}
	p := &Policy{Producers: []Producer{of}}
	b, err := p.Build(listed(l.t, p), opts)
	if err != nil {
		l.t.Fatal(err)
	}
	l.last = b
	return b.Key(a)
}

// wantBefore compares a part of a grant; no types = there is none.
func (l *line) wantBefore(k *trust.Key, types ...string) {
	l.t.Helper()
	var got []string
	if k.Before != nil {
		got = k.Before.Types
	}
	if !slices.Equal(got, types) {
		l.t.Errorf("bundle %d: before %+v, want types %q", l.last.Version(), k.Before, types)
	}
}

func typed(list ...string) Producer { return Producer{Types: list} }

// A grant that becomes wider has what all consumers know of it: the one before, or its own known part.
func TestBefore(t *testing.T) {
	l := &line{t: t}
	l.wantBefore(l.build(0, typed("a.*"), Key{}))
	l.wantBefore(l.build(known-time.Second, typed("a.*", "b"), Key{})) // the first is not known yet

	l = &line{t: t}
	l.build(0, typed("a.*"), Key{})
	wide := l.build(known, typed("a.*", "b"), Key{})
	l.wantBefore(wide, "a.*")
	if !wide.Since.IsZero() {
		t.Errorf("since %s", wide.Since)
	}
	same := l.build(time.Minute, typed("a.*", "b"), Key{})
	if l.wantBefore(same, "a.*"); !same.Since.Equal(now.Add(known)) {
		t.Errorf("since %s", same.Since)
	}
	l.wantBefore(l.build(time.Minute, typed("a.*", "b", "c"), Key{}), "a.*")  // widened twice
	l.wantBefore(l.build(time.Minute, typed("a.x", "b", "c"), Key{}), "a.x")  // narrower
	l.wantBefore(l.build(time.Minute, typed("a.*", "c", "d"), Key{}), "a.x")  // not all know more
	l.wantBefore(l.build(time.Minute, typed("c"), Key{}))                     // all of it has gone
	l.wantBefore(l.build(time.Minute, typed("a.*", "c"), Key{}))              // and does not come back
	l.wantBefore(l.build(known, typed("a.x", "c", "e"), Key{}), "a.x", "c")   // now they know that
	l.wantBefore(l.build(known, typed("a.x", "c", "e"), Key{}))               // and this
	l.wantBefore(l.build(0, typed("a.x", "c"), Key{}))                        // a narrower one needs nothing
	l.build(0, typed("a.x", "c"), Key{Revoked: &trust.Revocation{At: l.now}}) // consumers refuse it
	l.wantBefore(l.build(known, typed("a.x", "c", "f"), Key{}))               // so none accepts it since before
	l.wantBefore(l.build(0, typed("a.x", "c", "f", "g"), Key{}))              // and it is not known yet
	l.wantBefore(l.build(known, typed("a.x", "h", "f", "g"), Key{}), "a.x", "f", "g")
}

// Each part of a grant is that which both have.
func TestBeforeIsOfBoth(t *testing.T) {
	for name, c := range map[string]struct {
		was, is  Producer
		from, to keys.Schedule
		want     *trust.Grant
	}{
		"a later end": {from: keys.Schedule{Retired: after(1), Expired: after(2)}, to: keys.Schedule{Retired: after(3)},
			want: &trust.Grant{Schedule: keys.Schedule{Retired: after(1), Expired: after(2)}}},
		"an earlier beginning": {from: keys.Schedule{Published: after(1), Active: after(2)}, to: keys.Schedule{Active: after(1)},
			want: &trust.Grant{Schedule: keys.Schedule{Published: after(1), Active: after(2)}}},
		"later in all": {from: keys.Schedule{Active: after(1), Retired: after(3)}, to: keys.Schedule{Active: after(2), Retired: after(4)},
			want: &trust.Grant{Schedule: keys.Schedule{Active: after(2), Retired: after(3)}}},
		"apart": {from: keys.Schedule{Retired: after(2)}, to: keys.Schedule{Active: after(2), Retired: after(4)}},
		"every account": {was: Producer{Accounts: []string{"111122223333"}},
			want: &trust.Grant{Accounts: []string{"111122223333"}}},
		"wider, fewer accounts": {was: typed("a.b"), is: Producer{Accounts: []string{"111122223333"}},
			want: &trust.Grant{Types: []string{"a.b"}, Accounts: []string{"111122223333"}}},
		"other accounts": {was: Producer{Accounts: []string{"111122223333"}}, is: Producer{Accounts: []string{"444455556666"}}},
		"more accounts": {was: Producer{Accounts: []string{"111122223333"}},
			is:   Producer{Accounts: []string{"444455556666", "111122223333"}},
			want: &trust.Grant{Accounts: []string{"111122223333"}}},
		"no account": {was: Producer{Accounts: []string{}}},
		"wider source": {was: Producer{Sources: []string{"https://x.example/a"}},
			is:   Producer{Sources: []string{"https://x.example/*"}},
			want: &trust.Grant{Sources: []string{"https://x.example/a"}}},
		"wider and narrower": {was: typed("a.*", "b.c"), is: typed("b.*", "a.c.d"),
			want: &trust.Grant{Types: []string{"a.c.d", "b.c"}}},
	} {
		l := &line{t: t}
		l.build(0, c.was, Key{Schedule: c.from})
		got := l.build(known, c.is, Key{Schedule: c.to}).Before
		if want := c.want; want != nil {
			if want.Sources == nil {
				want.Sources = []string{"urn:x"}
			}
			if want.Types == nil {
				want.Types = []string{"a.*"}
			}
		}
		if (got == nil) != (c.want == nil) || got != nil && fmt.Sprintf("%#v", *got) != fmt.Sprintf("%#v", *c.want) {
			t.Errorf("%s: before %+v, want %+v", name, got, c.want)
		}
	}
}

// A longer refresh hint makes the new bundle count from a later moment. The known keys go on meanwhile.
func TestBeforeOfAnotherHint(t *testing.T) {
	l := &line{t: t}
	l.build(0, typed("a.*"), Key{})
	l.opts.RefreshHint = time.Hour
	k := l.build(known, typed("a.*"), Key{})
	if l.wantBefore(k, "a.*"); !k.Since.Equal(now) {
		t.Errorf("since %s", k.Since)
	}
	l.wantBefore(l.build(3*time.Hour, typed("a.*"), Key{}))
}

// With timestamp keys, a bundle that no timestamp names proves nothing.
func TestBeforeNeedsProof(t *testing.T) {
	l := &line{t: t, opts: BuildOptions{TimestampKeys: true}}
	l.build(0, typed("a.*"), Key{})
	l.wantBefore(l.build(known, typed("a.*", "b"), Key{}))
}
