package trust

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/keys"
)

// timed is an organisation whose roots name a timestamp key.
type timed struct {
	testing.TB
	root, key *RootKey
	roots     *Roots
}

func newTimed(t testing.TB) *timed {
	t.Helper()
	o := &timed{TB: t, root: mustRoot(t), key: mustRoot(t)}
	o.roots = o.rootsOf(1)
	return o
}

func (o *timed) check(err error) {
	o.Helper()
	if err != nil {
		o.Fatal(err)
	}
}

// nothing is the holding of a consumer that has the roots alone.
func (o *timed) nothing() *holding { return &holding{chain: chainOf(o.roots)} }

func (o *timed) rootsOf(version int64) *Roots {
	o.Helper()
	r, err := NewRoots(version, 1, o.root.Verifier())
	o.check(err)
	r, err = r.WithTimestampKeys(o.key.Verifier())
	o.check(err)
	return r
}

// bundle lives for 90 days from the epoch.
func (o *timed) bundle(version, timestamps int64, list ...*Key) *Bundle {
	o.Helper()
	b, err := NewBundle(BundleOptions{Version: version, Issued: day(0), Expires: day(90),
		RefreshHint: 5 * time.Minute, TimestampRequired: true, Timestamps: timestamps}, list...)
	o.check(err)
	return b
}

func (o *timed) signBundle(b *Bundle) []byte {
	o.Helper()
	signed, err := SignBundle(o.Context(), b, o.root)
	o.check(err)
	return signed
}

// timestamp follows previous and is issued at.
func (o *timed) timestamp(b *Bundle, previous *Timestamp, at time.Time, revoke ...string) *Timestamp {
	o.Helper()
	opts := TimestampOptions{Now: at, Revoke: map[string]Revocation{}}
	for _, id := range revoke {
		opts.Revoke[id] = Revocation{At: at, Reason: "stolen"}
	}
	ts, err := NewTimestamp(o.roots, b, previous, opts)
	o.check(err)
	return ts
}

func (o *timed) sign(ts *Timestamp) []byte {
	o.Helper()
	signed, err := SignTimestamp(o.Context(), ts, o.key)
	o.check(err)
	return signed
}

func fullTimestamp(o *timed) *Timestamp {
	ts := o.timestamp(o.bundle(3, 0), nil, day(1), thumbprintOf([]byte("k")), thumbprintOf([]byte("j")))
	ts.RevokedSessions = map[string]int64{thumbprintOf([]byte("s")): 1, thumbprintOf([]byte("t")): 1}
	return ts
}

func TestTimestampComesBack(t *testing.T) {
	o := newTimed(t)
	ts := fullTimestamp(o)
	if !jsontext.Value(ts.Payload()).IsCanonical() {
		t.Fatalf("%s is not canonical", ts.Payload())
	}
	back, err := OpenTimestamp(o.sign(ts), o.roots, day(1))
	o.check(err)
	if !bytes.Equal(back.Payload(), ts.Payload()) || back.Version != 1 || back.BundleVersion != 3 ||
		!back.Expires.Equal(day(2)) || !back.BundleSince.Equal(day(1)) || len(back.Revoked) != 2 {
		t.Errorf("%s came back as %s", ts.Payload(), back.Payload())
	}
}

// Each document has one defect. The last ones try to grant something.
func TestParseTimestampRefuses(t *testing.T) {
	o := newTimed(t)
	good := string(fullTimestamp(o).Payload())
	for name, c := range map[string]struct{ old, new string }{
		"version 0":              {`"version":1}`, `"version":0}`},
		"version 2^53":           {`"version":1}`, `"version":9007199254740992}`},
		"no version":             {`,"version":1}`, `}`},
		"roots_version 0":        {`"roots_version":1`, `"roots_version":0`},
		"bundle_version 0":       {`"bundle_version":3`, `"bundle_version":0`},
		"digest upper case":      {`"bundle_sha256":"`, `"bundle_sha256":"A`},
		"digest short":           {good[:len(`{"bundle_sha256":"0`)], `{"bundle_sha256":"`},
		"no digest":              {good[:strings.Index(good, `"bundle_since"`)], `{`},
		"no issued":              {`"issued":"2026-01-02T00:00:00Z",`, ``},
		"no expires":             {`"expires":"2026-01-03T00:00:00Z",`, ``},
		"no bundle_since":        {`"bundle_since":"2026-01-02T00:00:00Z",`, ``},
		"since after issued":     {`"bundle_since":"2026-01-02T00:00:00Z"`, `"bundle_since":"2026-01-02T00:00:01Z"`},
		"expires at issued":      {`"expires":"2026-01-03T00:00:00Z"`, `"expires":"2026-01-02T00:00:00Z"`},
		"7 days and a second":    {`"expires":"2026-01-03T00:00:00Z"`, `"expires":"2026-01-09T00:00:01Z"`},
		"fraction":               {`"issued":"2026-01-02T00:00:00Z"`, `"issued":"2026-01-02T00:00:00.5Z"`},
		"revoked without a time": {`"at":"2026-01-02T00:00:00Z",`, ``},
		"revoked no thumbprint":  {`"kid":"`, `"kid":"x`},
		"reason with a newline":  {`"reason":"stolen"`, `"reason":"sto\nlen"`},
		"unknown in revoked":     {`"reason":"stolen"`, `"reason":"stolen","x":1`},
		"empty revoked":          {good[strings.Index(good, `"revoked":`):strings.Index(good, `,"revoked_sessions"`)], `"revoked":[]`},
		"session no thumbprint":  {`"revoked_sessions":[{"kid":"`, `"revoked_sessions":[{"kid":"x`},
		"since 0":                {`"reason":"stolen","since":1`, `"reason":"stolen","since":0`},
		"since the next version": {`"reason":"stolen","since":1`, `"reason":"stolen","since":2`},
		"no since":               {`"reason":"stolen","since":1`, `"reason":"stolen"`},
		"session since 0":        {`"since":1}],"roots`, `"since":0}],"roots`},
		"session since the next": {`"since":1}],"roots`, `"since":2}],"roots`},
		"session without since":  {`,"since":1}],"roots`, `}],"roots`},
		"unknown in a session":   {`"since":1}],"roots`, `"since":1,"x":1}],"roots`},
		"session is a text":      {`"revoked_sessions":[`, `"revoked_sessions":["` + thumbprintOf([]byte("a")) + `",`},
		"space":                  {`{"bundle`, `{ "bundle`},
		"duplicate":              {`"version":1}`, `"version":1,"version":1}`},
		"trailing":               {`"version":1}`, `"version":1}x`},
		"grants keys":            {`"roots_version"`, `"keys":[],"roots_version"`},
		"grants sources":         {`"roots_version"`, `"sources":["*"],"roots_version"`},
	} {
		doc := strings.Replace(good, c.old, c.new, 1)
		if doc == good {
			t.Errorf("%s: nothing was changed", name)
		}
		_, err := ParseTimestamp([]byte(doc))
		wantWhy(t, name, err, WhyMalformed)
	}
	_, err := ParseTimestamp(bytes.Repeat([]byte(" "), keydoc.MaxTimestamp+1))
	wantWhy(t, "256 KiB", err, WhyTooLarge)
}

// A list is sorted, has an ID once, and has an end.
func TestTimestampLists(t *testing.T) {
	o := newTimed(t)
	many := func(n int) *Timestamp {
		ts := o.timestamp(o.bundle(1, 0), nil, day(1))
		ts.Revoked, ts.RevokedSessions = map[string]Withdrawal{}, map[string]int64{}
		for i := range n {
			id := thumbprintOf(fmt.Append(nil, i))
			ts.Revoked[id] = Withdrawal{Revocation{At: day(1), Reason: "r"}, 1}
			ts.RevokedSessions[id] = 1
		}
		return ts
	}
	if _, err := SignTimestamp(t.Context(), many(keydoc.MaxWithdrawn), o.key); err != nil {
		t.Errorf("1,000: %v", err)
	}
	_, err := SignTimestamp(t.Context(), many(keydoc.MaxWithdrawn+1), o.key)
	wantWhy(t, "1,001", err, WhyMalformed)
	two := many(2)
	ids := slices.Sorted(maps.Keys(two.Revoked))
	good := string(two.Payload())
	keys, sessions := good[:strings.Index(good, `"revoked_s`)], good[strings.Index(good, `"revoked_s`):]
	swap, repeat := strings.NewReplacer(ids[0], ids[1], ids[1], ids[0]), strings.NewReplacer(ids[1], ids[0])
	for name, doc := range map[string]string{
		"sessions in another order": keys + swap.Replace(sessions), "a session twice": keys + repeat.Replace(sessions),
		"keys in another order": swap.Replace(keys) + sessions, "a key twice": repeat.Replace(keys) + sessions,
	} {
		if _, err := ParseTimestamp([]byte(doc)); doc == good {
			t.Errorf("%s: nothing was changed", name)
		} else {
			wantWhy(t, name, err, WhyMalformed)
		}
	}
	long := many(0)
	for i := range 300 {
		long.Revoked[thumbprintOf(fmt.Append(nil, i))] = Withdrawal{Revocation{At: day(1), Reason: strings.Repeat("x", 1000)}, 1}
	}
	_, err = SignTimestamp(t.Context(), long, o.key)
	wantWhy(t, "300 long reasons", err, WhyTooLarge)
}

func TestOpenTimestampRefuses(t *testing.T) {
	o := newTimed(t)
	ts := fullTimestamp(o)
	signed := o.sign(ts)
	byRoot, err := SignTimestamp(t.Context(), ts, o.root)
	o.check(err)
	plain, err := NewRoots(1, 1, o.root.Verifier())
	o.check(err)
	for name, c := range map[string]struct {
		signed []byte
		roots  *Roots
		now    time.Time
		want   BundleWhy
	}{
		"expired":              {signed, o.roots, day(2), WhyExpired},
		"from the future":      {signed, o.roots, day(1).Add(-timestampSkew - time.Second), WhyFuture},
		"by a root key":        {byRoot, o.roots, day(1), WhyThreshold},
		"of other roots":       {signed, newTimed(t).roots, day(1), WhyThreshold},
		"roots without":        {signed, plain, day(1), WhyThreshold},
		"no roots":             {signed, nil, day(1), WhyThreshold},
		"zero roots":           {signed, &Roots{}, day(1), WhyThreshold},
		"a bundle":             {o.signBundle(o.bundle(1, 0)), o.roots, day(1), WhyType},
		"a roots file":         {signRoots(t, o.roots, o.root), o.roots, day(1), WhyType},
		"not JSON":             {[]byte("x"), o.roots, day(1), WhyMalformed},
		"more than 256 KiB":    {append(bytes.Clone(signed), bytes.Repeat([]byte(" "), keydoc.MaxTimestamp)...), o.roots, day(1), WhyTooLarge},
		"bare, not an envelop": {ts.Payload(), o.roots, day(1), WhyMalformed},
	} {
		_, err := OpenTimestamp(c.signed, c.roots, c.now)
		wantWhy(t, name, err, c.want)
	}
	if _, err := OpenTimestamp(signed, o.roots, day(1).Add(-timestampSkew)); err != nil {
		t.Errorf("as far in the future as clocks may differ: %v", err)
	}
}

func TestRootsWithTimestampKeys(t *testing.T) {
	o := newTimed(t)
	back, err := ParseRoots(o.roots.Payload())
	if err != nil || !bytes.Equal(back.Payload(), o.roots.Payload()) || len(back.TimestampKeys()) != 1 {
		t.Fatalf("%s: %v", o.roots.Payload(), err)
	}
	if back, err = ParseRoots(signRoots(t, o.roots, o.root)); err != nil || len(back.TimestampKeys()) != 1 {
		t.Errorf("signed: %v", err)
	}
	var many []*keys.Verifier
	for range maxRoots + 1 {
		many = append(many, mustRoot(t).Verifier())
	}
	for name, list := range map[string][]*keys.Verifier{"a root key": {o.root.Verifier()}, "nil": {nil},
		"twice": {o.key.Verifier(), o.key.Verifier()}, "17": many} {
		_, err := o.roots.WithTimestampKeys(list...)
		wantWhy(t, name, err, WhyMalformed)
	}
	_, err = ParseRoots([]byte(strings.Replace(string(o.roots.Payload()),
		string(o.key.Verifier().JWK())+`],"version"`, `],"version"`, 1)))
	wantWhy(t, "empty", err, WhyMalformed)
	none, err := o.roots.WithTimestampKeys()
	if err != nil || none.needTimestamps() || !o.roots.needTimestamps() {
		t.Errorf("without any: %v", err)
	}
}

// A bundle that needs a timestamp comes back, and says so in one way only.
func TestBundleThatNeedsATimestamp(t *testing.T) {
	good := string(newTimed(t).bundle(3, 5).Payload())
	b, err := ParseBundle([]byte(good))
	if err != nil || b.Timestamps() != 5 || string(b.Payload()) != good {
		t.Fatalf("%s: %v", good, err)
	}
	for name, c := range map[string]struct{ old, new string }{
		"another value": {`"required"`, `"optional"`}, "not a text": {`"required"`, `true`},
		"timestamps 0": {`"timestamps":5`, `"timestamps":0`}, "timestamps -1": {`"timestamps":5`, `"timestamps":-1`},
		"timestamps 2^53": {`"timestamps":5`, `"timestamps":9007199254740992`},
	} {
		wantWhy(t, name, parseErr(strings.Replace(good, c.old, c.new, 1)), WhyMalformed)
	}
	if _, err := NewBundle(BundleOptions{Timestamps: -1}); err == nil {
		t.Error("timestamps -1")
	}
}

func TestOpenBundleWithTimestamp(t *testing.T) {
	o := newTimed(t)
	stolen, session := testKey(t, keys.Ed25519, func(k *Key) { k.Aliases = []string{"old"} }), thumbprintOf([]byte("s"))
	b := o.bundle(3, 0, stolen, testKey(t, keys.ES256, nil))
	ts := o.timestamp(b, nil, day(1), stolen.KeyID(), session)
	open := func(b *Bundle, roots *Roots, opts Options, now time.Time) (*Bundle, error) {
		opts.Now = func() time.Time { return now }
		return OpenBundle(o.signBundle(b), roots, &opts)
	}
	got, err := open(b, o.roots, Options{Timestamp: o.sign(ts)}, day(1.5))
	o.check(err)
	if !got.Expires().Equal(day(2)) || got.Key(stolen.KeyID()).Revoked == nil || got.Lookup("old")[0].Revoked == nil ||
		got.Lookup(stolen.KeyID())[0].Revoked == nil || !got.SessionRevoked(session) || len(got.SigningKeys()) != 2 {
		t.Errorf("the revocations or the expiry are not in the bundle: %s", got.Payload())
	}
	if stolen := b.Key(stolen.KeyID()); stolen.Revoked != nil || b.SessionRevoked(session) {
		t.Error("the bundle itself was changed")
	}
	short, err := NewBundle(BundleOptions{Version: 1, Issued: day(0), Expires: day(7)})
	o.check(err)
	long, err := NewBundle(BundleOptions{Version: 1, Issued: day(0), Expires: day(7).Add(time.Second)})
	o.check(err)
	longest, err := NewBundle(BundleOptions{Version: 1, Issued: day(0), Expires: day(400).Add(time.Second),
		TimestampRequired: true})
	o.check(err)
	plain, err := o.roots.WithTimestampKeys()
	o.check(err)
	newer := *ts
	newer.RootsVersion = 2
	for name, c := range map[string]struct {
		b     *Bundle
		roots *Roots
		ts    *Timestamp
		now   time.Time
		want  BundleWhy
	}{
		"without":                       {b, o.roots, nil, day(1), WhyNoTimestamp},
		"without, short":                {short, o.roots, nil, day(1), WhyNoTimestamp},
		"roots without":                 {b, plain, nil, day(1), WhyNoTimestamp},
		"of another bundle":             {o.bundle(3, 0), o.roots, ts, day(1), WhyOtherBundle},
		"of an older bundle":            {o.bundle(4, 0), o.roots, ts, day(1), WhyOtherBundle},
		"expired timestamp":             {b, o.roots, ts, day(2), WhyExpired},
		"expired bundle":                {b, o.roots, ts, day(90), WhyExpired},
		"future":                        {b, o.roots, ts, day(0.5), WhyFuture},
		"newer roots":                   {b, o.roots, &newer, day(1), WhyNewerRoots},
		"7 days and a second, no need":  {long, o.roots, ts, day(1), WhyLifetime},
		"400 days and a second":         {longest, o.roots, ts, day(1), WhyLifetime},
		"a bundle that is decided on 1": {o.bundle(3, 1, stolen), o.roots, ts, day(1), WhyOtherBundle},
	} {
		opts := Options{}
		if c.ts != nil {
			opts.Timestamp = o.sign(c.ts)
		}
		_, err := open(c.b, c.roots, opts, c.now)
		wantWhy(t, name, err, c.want)
	}
	if _, err := open(b, o.roots, Options{UnsafeNoTimestamp: true}, day(1)); err != nil {
		t.Errorf("for a tool: %v", err)
	}
	_, err = open(b, o.roots, Options{Timestamp: o.sign(ts), MinVersion: 4}, day(1))
	wantWhy(t, "MinVersion", err, WhyRollback)
}

func TestNewTimestampCarriesRevocationsOver(t *testing.T) {
	o := newTimed(t)
	k, j := thumbprintOf([]byte("k")), thumbprintOf([]byte("j"))
	first := o.timestamp(o.bundle(1, 0), nil, day(1), k)
	b := o.bundle(1, 0)
	second := o.timestamp(b, first, day(2), j, k)
	if second.Version != 2 || len(second.Revoked) != 2 || !second.Revoked[k].At.Equal(day(1)) ||
		!second.BundleSince.Equal(day(1)) {
		t.Errorf("not carried over: %s", second.Payload())
	}
	if second.Revoked[k].Since != 2 || o.timestamp(b, second, day(3)).Revoked[j].Since != 2 {
		t.Error("revoked once more is since then, and a renewal changes nothing")
	}
	decided := o.timestamp(o.bundle(2, 1), second, day(3))
	if len(decided.Revoked) != 2 || !decided.BundleSince.Equal(day(3)) {
		t.Errorf("the bundle decided on 1 only: %s", decided.Payload())
	}
	renewed := o.timestamp(b, o.timestamp(b, first, day(2)), day(2))
	if ts := o.timestamp(o.bundle(2, 1), renewed, day(3)); len(ts.Revoked) != 0 || ts.Version != 4 {
		t.Errorf("the bundle decided on 1, which was renewed twice: %s", ts.Payload())
	}
	if third := o.timestamp(o.bundle(2, 2), second, day(3)); third.Version != 3 || len(third.Revoked) != 0 {
		t.Errorf("the bundle decided on 2: %s", third.Payload())
	}
	if restarted := o.timestamp(o.bundle(2, 7), nil, day(3)); restarted.Version != 8 {
		t.Errorf("version %d is not above what the bundle decided on", restarted.Version)
	}
	older := func(b *Bundle, previous *Timestamp) error {
		_, err := NewTimestamp(o.roots, b, previous, TimestampOptions{Now: day(3)})
		return err
	}
	wantWhy(t, "an older bundle", older(b, decided), WhyRollback)
	wantWhy(t, "the same version, another content", older(o.bundle(2, 3), decided), WhyEquivocate)
	last := *second
	last.Version = maxBundleVersion
	wantWhy(t, "no version is left", older(b, &last), WhyMalformed)
	if sha256.Sum256(b.Payload()) != second.BundleSHA256 {
		t.Error("the digest is not that of the payload")
	}
}

func FuzzTimestamp(f *testing.F) {
	o := newTimed(f)
	f.Add(fullTimestamp(o).Payload())
	f.Add(o.timestamp(o.bundle(1, 0), nil, day(1)).Payload())
	f.Fuzz(func(t *testing.T, payload []byte) {
		ts, err := ParseTimestamp(payload)
		if err == nil && !bytes.Equal(ts.Payload(), payload) {
			t.Errorf("%q is written as %q", payload, ts.Payload())
		}
		if err != nil && whyOf(err) != WhyMalformed {
			t.Errorf("%v has no Why", err)
		}
	})
}
