package trust_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/internal/dsse"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/keystest"
	"github.com/sealbus/sealbus/keys/trust"
)

var update = flag.Bool("update", false, "write the vectors of timestamps")

const trustVectors = "../../vectors/trust"

// A trustVector is one file of vectors/trust: see vectors/README.md.
type trustVector struct {
	Name  string      `json:"name"`
	About string      `json:"about"`
	Roots string      `json:"roots"`
	Steps []trustStep `json:"steps"`
}

type trustStep struct {
	Now       time.Time `json:"now"`
	Roots     string    `json:"roots,omitempty"`
	Timestamp string    `json:"timestamp,omitempty"`
	Bundle    string    `json:"bundle,omitempty"`

	Expect          string   `json:"expect"`
	RootsVersion    int64    `json:"roots_version,omitempty"`
	Version         int64    `json:"version,omitempty"`
	Expires         string   `json:"expires,omitempty"`
	Revoked         []string `json:"revoked,omitempty"`
	RevokedSessions []string `json:"revoked_sessions,omitempty"`
}

// bureau makes the documents of the vectors. All of its keys come from labels.
type bureau struct {
	testing.TB
	root, other, key *trust.RootKey
	roots            *trust.Roots
	keys             []*trust.Key
	session          string
	vector           *trustVector
}

func newBureau(t testing.TB) *bureau {
	b := &bureau{TB: t, root: keystest.Root(t, "a"), other: keystest.Root(t, "b"), key: keystest.Root(t, "t")}
	for _, label := range []string{"k", "l"} {
		b.keys = append(b.keys, &trust.Key{Verifier: keystest.Signer(t, keys.Ed25519, "shop", label).Verifier(),
			Producer: "shop", Sources: []string{"urn:shop"}, Types: []string{"*"}})
	}
	b.session = keystest.Signer(t, keys.Ed25519, "shop", "session").Verifier().KeyID()
	b.roots = b.rootsOf(2)
	return b
}

func (b *bureau) rootsOf(version int64) *trust.Roots {
	r, err := trust.NewRoots(version, 2, b.root.Verifier(), b.other.Verifier())
	if err == nil {
		r, err = r.WithTimestampKeys(b.key.Verifier())
	}
	b.check(err)
	return r
}

func (b *bureau) check(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func moment(hours float64) time.Time { return start.Add(time.Duration(hours * float64(time.Hour))) }

// bundle lives for days.
func (b *bureau) bundle(version, timestamps int64, days int) *trust.Bundle {
	bundle, err := trust.NewBundle(trust.BundleOptions{Version: version, Timestamps: timestamps, Issued: start,
		Expires: start.AddDate(0, 0, days), TimestampRequired: days > 7}, b.keys...)
	b.check(err)
	return bundle
}

func (b *bureau) signBundle(bundle *trust.Bundle) string {
	if bundle == nil {
		return ""
	}
	signed, err := trust.SignBundle(b.Context(), bundle, b.root, b.other)
	b.check(err)
	return string(signed)
}

// stamp is the timestamp of that version of the bundle, issued at that hour for a day.
func (b *bureau) stamp(version int64, bundle *trust.Bundle, hour float64, revoke ...string) *trust.Timestamp {
	ts, err := trust.NewTimestamp(b.roots, bundle, nil, trust.TimestampOptions{Now: moment(hour)})
	b.check(err)
	ts.Version, ts.Revoked = version, map[string]trust.Withdrawal{}
	for _, id := range revoke {
		ts.Revoked[id] = trust.Withdrawal{Revocation: trust.Revocation{At: moment(hour), Reason: "stolen"},
			Since: version}
	}
	return ts
}

// renewal is the stamp of what revokes the key since an older version.
func (b *bureau) renewal(version int64, bundle *trust.Bundle, hour float64, id string, since int64) *trust.Timestamp {
	ts := b.stamp(version, bundle, hour, id)
	ts.Revoked[id] = trust.Withdrawal{Revocation: ts.Revoked[id].Revocation, Since: since}
	return ts
}

// seal signs the text of a payload with the keys, whatever it says.
func (b *bureau) seal(payloadType, payload string, by ...*trust.RootKey) string {
	e := &dsse.Envelope{PayloadType: payloadType, Payload: []byte(payload)}
	for _, key := range by {
		sig, err := key.Sign(b.Context(), dsse.PAE(nil, payloadType, e.Payload))
		b.check(err)
		e.Signatures = append(e.Signatures, dsse.Signature{KeyID: key.Verifier().KeyID(), Sig: sig})
	}
	return string(e.Append(nil))
}

func (b *bureau) sign(ts *trust.Timestamp) string {
	return b.seal(keydoc.TimestampType, string(ts.Payload()), b.key)
}

// step adds a step at that hour, which must end so; ok = without a refusal.
func (b *bureau) step(hour float64, timestamp string, bundle *trust.Bundle, expect string) {
	b.stepText(hour, timestamp, b.signBundle(bundle), expect)
}

func (b *bureau) stepText(hour float64, timestamp, bundle, expect string) {
	b.vector.Steps = append(b.vector.Steps, trustStep{Now: moment(hour), Timestamp: timestamp, Bundle: bundle,
		Expect: expect})
}

const ok = "ok"

type trustCase struct {
	about string
	make  func()
}

// sound are the vectors without a defect.
func (b *bureau) sound() map[string]trustCase {
	one, two := b.bundle(1, 0, 90), b.bundle(2, 0, 90)
	k, l := b.keys[0].KeyID(), b.keys[1].KeyID()
	first := b.sign(b.stamp(1, one, 1))
	return map[string]trustCase{
		"ok-first": {"a timestamp and the bundle that it names", func() { b.step(1, first, one, ok) }},
		"ok-seven-days": {"a bundle of 7 days needs no member timestamp", func() {
			short := b.bundle(1, 0, 7)
			b.step(1, b.sign(b.stamp(1, short, 1)), short, ok)
		}},
		"ok-400-days": {"a bundle of 400 days", func() {
			long := b.bundle(1, 0, 400)
			b.step(1, b.sign(b.stamp(1, long, 1)), long, ok)
		}},
		"ok-issued-skew": {"issued 300 s later than now", func() { b.step(1-1.0/12, first, one, ok) }},
		"ok-renewed": {"a renewal prolongs the life of the bundle", func() {
			b.step(1, first, one, ok)
			b.step(2, b.sign(b.stamp(2, one, 2)), nil, ok)
		}},
		"ok-same-again": {"the same timestamp once more", func() {
			b.step(1, first, one, ok)
			b.step(2, first, one, ok)
		}},
		"ok-revoked": {"a key is revoked, and so is a session key under either member", func() {
			ts := b.stamp(1, one, 1, k, keystest.Root(b, "no key of the bundle").Verifier().KeyID())
			ts.RevokedSessions = map[string]int64{b.session: 1}
			b.step(1, b.sign(ts), one, ok)
		}},
		"ok-revoked-before-the-bundle": {"revocations count at once; the old bundle lives until the old timestamp ends", func() {
			b.step(1, first, one, ok)
			b.step(2, b.sign(b.stamp(2, two, 2, k)), nil, ok)
			b.step(3, b.sign(b.stamp(3, two, 3, k)), two, ok)
		}},
		"ok-omitted": {"a later timestamp omits a revocation, which counts on", func() {
			b.step(1, b.sign(b.stamp(1, one, 1, k)), one, ok)
			b.step(2, b.sign(b.stamp(2, one, 2, l)), nil, ok)
		}},
		"ok-overruled": {"a bundle decides on the revocations of timestamps up to 2, not on that of 3", func() {
			b.step(1, b.sign(b.stamp(2, one, 1, k)), one, ok)
			b.step(2, b.sign(b.stamp(3, one, 2, l)), nil, ok)
			deciding := b.bundle(2, 2, 90)
			b.step(3, b.sign(b.stamp(4, deciding, 3)), deciding, ok)
		}},
		"ok-renewed-while-signed": {"renewals while the root holders sign do not keep a bundle from deciding", func() {
			b.step(1, b.sign(b.stamp(2, one, 1, k)), one, ok)
			b.step(2, b.sign(b.renewal(3, one, 2, k, 2)), nil, ok)
			deciding := b.bundle(2, 2, 90)
			b.step(3, b.sign(b.renewal(4, deciding, 3, k, 2)), deciding, ok)
			b.step(4, b.sign(b.renewal(5, deciding, 4, k, 2)), nil, ok)
		}},
		"ok-since-lowered": {"a later timestamp lowers since, and the bundle did not decide on the higher one", func() {
			b.step(1, b.sign(b.stamp(3, one, 1, k)), one, ok)
			b.step(2, b.sign(b.renewal(4, one, 2, k, 1)), nil, ok)
			deciding := b.bundle(2, 2, 90)
			b.step(3, b.sign(b.renewal(5, deciding, 3, k, 1)), deciding, ok)
		}},
		"ok-since-raised": {"a key that is revoked once more is revoked since then", func() {
			b.step(1, b.sign(b.stamp(1, one, 1, k)), one, ok)
			b.step(2, b.sign(b.stamp(3, one, 2, k)), nil, ok)
			deciding := b.bundle(2, 2, 90)
			b.step(3, b.sign(b.stamp(4, deciding, 3)), deciding, ok)
		}},
	}
}

// odd are timestamps of an unusual content that counts.
func (b *bureau) odd() map[string]trustCase {
	one, k := b.bundle(1, 0, 90), b.keys[0].KeyID()
	return map[string]trustCase{
		"ok-key-among-sessions": {"the ID of a key among the session keys does not revoke the key", func() {
			ts := b.stamp(1, one, 1)
			ts.RevokedSessions = map[string]int64{k: 1}
			b.step(1, b.sign(ts), one, ok)
		}},
		"ok-reason": {"a reason with a character that is a control character outside of ASCII", func() {
			ts := b.stamp(1, one, 1)
			ts.Revoked[k] = trust.Withdrawal{Since: 1,
				Revocation: trust.Revocation{At: moment(1), Reason: "next line \u0085, \"é\""}}
			b.step(1, b.sign(ts), one, ok)
		}},
		"ok-revoked-earlier": {"of two moments of one revocation the earlier one stays", func() {
			b.step(2, b.sign(b.stamp(1, one, 2, k)), one, ok)
			b.step(3, b.sign(b.stamp(2, one, 3, k)), nil, ok)
		}},
		"ok-roots-older": {"the timestamp names older roots", func() {
			ts := b.stamp(1, one, 1)
			ts.RootsVersion = 1
			b.step(1, b.sign(ts), one, ok)
		}},
	}
}

// misspelt are timestamps that are not in their one form. Each follows a good first step.
func (b *bureau) misspelt() map[string]trustCase {
	one := b.bundle(1, 0, 90)
	first := b.sign(b.stamp(1, one, 1))
	good := string(b.stamp(2, one, 2, b.keys[0].KeyID()).Payload())
	cases := map[string]trustCase{}
	for _, c := range [][4]string{
		{"unknown-member", "an unknown member, which may grant something", `"roots_v`, `"keys":[],"roots_v`},
		{"unknown-in-revoked", "an unknown member of a revocation", `"stolen"`, `"stolen","sources":["*"]`},
		{"white-space", "a space between members", `{"bundle_sha256"`, `{ "bundle_sha256"`},
		{"order", "two members in another order", `"roots_version":2,"version":2`, `"version":2,"roots_version":2`},
		{"reason-replacement", "a reason with U+FFFD", `stolen`, "sto\ufffdlen"},
		{"reason-tab", "a reason with a tab", `stolen`, `sto\tlen`},
		{"version-0", "version 0", `"version":2}`, `"version":0}`},
		{"version-2-53", "version 2^53", `"version":2}`, `"version":9007199254740992}`},
		{"eight-days", "a timestamp that lives for 7 days and a second", `"expires":"2026-11-22T14:00:00Z"`,
			`"expires":"2026-11-28T14:00:01Z"`},
		{"since-later", "bundle_since after issued", `"bundle_since":"2026-11-21T14:00:00Z"`,
			`"bundle_since":"2026-11-21T14:00:01Z"`},
		{"digest-upper-case", "the digest in upper case", good[18:40], strings.ToUpper(good[18:40])},
		{"revoked-since-0", "a key that is revoked since version 0", `"since":2`, `"since":0`},
		{"revoked-since-later", "a key that is revoked since a later version", `"since":2`, `"since":3`},
		{"revoked-no-since", "a revocation without since", `,"since":2`, ``},
		{"session-without-since", "a revoked session without since", `"roots_v`,
			`"revoked_sessions":[{"kid":"` + b.session + `"}],"roots_v`},
		{"revoked-no-id", "a revoked key ID that is no thumbprint", `"kid":"`, `"kid":"x`},
	} {
		changed := strings.Replace(good, c[2], c[3], 1)
		if changed == good {
			b.Fatalf("%s is not in %s", c[2], good)
		}
		cases[c[0]] = trustCase{c[1], func() {
			b.step(1, first, one, ok)
			b.step(2, b.seal(keydoc.TimestampType, changed, b.key), nil, "malformed")
		}}
	}
	return cases
}

// refused are timestamps that are refused for another reason than their form.
func (b *bureau) refused() map[string]trustCase {
	one, two := b.bundle(1, 0, 90), b.bundle(2, 0, 90)
	first := b.sign(b.stamp(1, one, 1))
	payload := string(b.stamp(1, one, 1).Payload())
	sealed := func(payloadType string, key *trust.RootKey, expect string) func() {
		return func() { b.step(1, b.seal(payloadType, payload, key), one, expect) }
	}
	second := func(ts *trust.Timestamp, bundle *trust.Bundle, expect string) func() {
		return func() {
			b.step(1, b.sign(b.stamp(3, two, 1)), two, ok)
			b.step(2, b.sign(ts), bundle, expect)
		}
	}
	foreign, err := trust.NewBundle(trust.BundleOptions{Version: 2, Issued: start,
		Expires: start.AddDate(0, 0, 7)})
	b.check(err)
	olderRoots := b.stamp(4, two, 2)
	olderRoots.RootsVersion = 1
	return map[string]trustCase{
		"by-a-root-key": {"signed by a root key", sealed(keydoc.TimestampType, b.root, "threshold")},
		"by-a-stranger": {"signed by an unknown key",
			sealed(keydoc.TimestampType, keystest.Root(b, "x"), "threshold")},
		"as-a-bundle": {"a timestamp under the payload type of a bundle",
			sealed(keydoc.BundleType, b.key, "wrong_type")},
		"expired": {"now is expires", func() { b.step(25, first, one, "expired") }},
		"from-future": {"issued 301 s later than now",
			func() { b.step(1-301.0/3600, first, one, "from_future") }},
		"clock-set-back": {"a clock that was set back revives nothing", func() {
			b.step(1, first, one, ok)
			b.step(40, b.sign(b.stamp(2, two, 40)), nil, ok)
			b.step(5, first, one, "expired")
		}},
		"clock-set-right": {"a signer and a consumer of which the clock was ahead, and has been set right", func() {
			b.step(1, first, one, ok)
			b.step(400, b.sign(b.stamp(2, one, 400)), nil, ok)
			b.step(5, b.sign(b.stamp(3, one, 5, b.keys[0].KeyID())), nil, ok)
		}},
		"clock-set-right-withheld": {"a bundle that another follows dies 7 days after the clock was set right", func() {
			b.step(1, first, one, ok)
			b.step(400, b.sign(b.stamp(2, one, 400)), nil, ok)
			b.step(5, b.sign(b.stamp(3, two, 5)), nil, ok)
		}},
		"clock-behind": {"a newer timestamp, issued a little before the held one, by a clock that is behind both", func() {
			b.step(1, first, one, ok)
			b.step(6, b.sign(b.stamp(2, one, 6)), nil, ok)
			b.step(2, b.sign(b.stamp(3, one, 5, b.keys[0].KeyID())), nil, ok)
		}},
		"clock-set-back-dead": {"a bundle that is dead stays so, although a newer timestamp has the clock go back", func() {
			b.step(1, first, one, ok)
			b.step(40, b.sign(b.stamp(2, two, 40)), nil, ok)
			b.step(5, b.sign(b.stamp(3, two, 5)), nil, ok)
		}},
		"rollback": {"a lower version", second(b.stamp(2, two, 2), nil, "rollback")},
		"rollback-revokes": {"a lower version, of which the revocations count",
			second(b.stamp(2, two, 2, b.keys[0].KeyID()), nil, "rollback")},
		"equivocate-revokes": {"another content of a version, of which the revocations count",
			second(b.stamp(3, two, 2, b.keys[0].KeyID()), nil, "equivocate")},
		"expired-revokes": {"a timestamp that has expired, of which nothing counts",
			second(b.stamp(4, two, -23, b.keys[0].KeyID()), nil, "expired")},
		"rollback-forged": {"a version that no bundle can decide on counts as that which is held", func() {
			b.step(1, b.sign(b.stamp(3, two, 1)), two, ok)
			forged := b.sign(b.stamp(1<<53-1, one, 2, b.keys[0].KeyID()))
			b.step(2, forged, nil, "rollback")
			deciding := b.bundle(3, 3, 90)
			b.step(3, b.sign(b.stamp(4, deciding, 3)), deciding, ok)
			b.step(26, forged, nil, "expired")
		}},
		"rollback-decided": {"an older timestamp, on whose revocation the bundle in use decided", func() {
			b.step(1, b.sign(b.stamp(2, one, 1, b.keys[0].KeyID())), one, ok)
			deciding := b.bundle(2, 2, 90)
			b.step(2, b.sign(b.stamp(4, deciding, 2)), deciding, ok)
			b.step(3, b.sign(b.renewal(3, one, 2, b.keys[0].KeyID(), 2)), nil, "rollback")
		}},
		"rollback-bundle": {"a lower version of the bundle", second(b.stamp(4, one, 2), one, "rollback")},
		"rollback-roots":  {"a lower version of the roots", second(olderRoots, nil, "rollback")},
		"equivocate":      {"another content of a version", second(b.stamp(3, two, 2), nil, "equivocate")},
		"equivocate-bundle": {"another content of a version of the bundle",
			second(b.stamp(4, foreign, 2), foreign, "equivocate")},
	}
}

// marked are bundles with the members that say how a key came to be known, and that it is to go.
func (b *bureau) marked() map[string]trustCase {
	since, err := trust.NewBundle(trust.BundleOptions{Version: 1, Issued: start, Expires: start.AddDate(0, 0, 90),
		TimestampRequired: true, RefreshHint: time.Minute, Cache: 7 * 24 * time.Hour},
		&trust.Key{Verifier: b.keys[0].Verifier, Producer: "shop", Sources: []string{"urn:shop"},
			Types: []string{"*"}, Since: start, Tainted: true})
	b.check(err)
	return b.altered(since, [][5]string{
		{"ok-marked", "a key that is known since the bundle was issued, and is tainted; a cache of 7 days", "", "", ok},
		{"bundle-cache-0", "a cache of no time", `"cache":604800`, `"cache":0`, "malformed"},
		{"bundle-cache-longer", "a cache of 7 days and a second", `"cache":604800`, `"cache":604801`, "malformed"},
		{"bundle-since-later", "a key that is known since a moment after the bundle was issued",
			`"since":"2026-11-21T12:00:00Z"`, `"since":"2026-11-21T12:00:01Z"`, "malformed"},
		{"bundle-tainted-false", "a key that says that it is not tainted", `"tainted":true`, `"tainted":false`,
			"malformed"},
	})
}

// widened are bundles with a key of which consumers know a part of the grant already.
func (b *bureau) widened() map[string]trustCase {
	before, err := trust.NewBundle(trust.BundleOptions{Version: 1, Issued: start, Expires: start.AddDate(0, 0, 90),
		TimestampRequired: true},
		&trust.Key{Verifier: b.keys[0].Verifier, Producer: "shop", Sources: []string{"urn:shop"},
			Types: []string{"*"}, Before: &trust.Grant{
				Schedule: keys.Schedule{Published: start, Active: start, Retired: start.AddDate(0, 1, 0),
					Expired: start.AddDate(0, 2, 0)},
				Sources: []string{"urn:shop"}, Types: []string{"a", "b.*"}, Accounts: []string{"111122223333"}}})
	b.check(err)
	return b.altered(before, [][5]string{
		{"ok-before", "a key of which a part of the grant was known before", "", "", ok},
		{"ok-before-nothing", "a part that allows nothing", `,"sources":["urn:shop"],"types":["a","b.*"]}`, `}`, ok},
		{"bundle-before-unknown-member", "another member in the part that was known before", `"types":["a","b.*"]`,
			`"types":["a","b.*"],"w":1`, "malformed"},
		{"bundle-before-fraction", "a part of a second in the part that was known before",
			`"active":"2026-11-21T12:00:00Z"`, `"active":"2026-11-21T12:00:00.5Z"`, "malformed"},
		{"bundle-before-ends-first", "a part that was known before and would end before it begins",
			`"retired":"2026-12-21T12:00:00Z"`, `"retired":"2026-11-21T11:59:59Z"`, "malformed"},
		{"bundle-before-types-text", "types that are no list in the part that was known before",
			`"types":["a","b.*"]`, `"types":"a"`, "malformed"},
	})
}

// altered are cases of a bundle in which one text is replaced: name, about, old, new, expect.
func (b *bureau) altered(bundle *trust.Bundle, list [][5]string) map[string]trustCase {
	good, cases := string(bundle.Payload()), map[string]trustCase{}
	for _, c := range list {
		payload := strings.Replace(good, c[2], c[3], 1)
		if c[2] != "" && payload == good {
			b.Fatalf("%s is not in %s", c[2], good)
		}
		ts := b.stamp(1, bundle, 1)
		ts.BundleSHA256 = sha256.Sum256([]byte(payload))
		cases[c[0]] = trustCase{c[1], func() {
			b.stepText(1, b.sign(ts), b.seal(keydoc.BundleType, payload, b.root, b.other), c[4])
		}}
	}
	return cases
}

// refusedBundles are bundles that do not come into use.
func (b *bureau) refusedBundles() map[string]trustCase {
	one, two := b.bundle(1, 0, 90), b.bundle(2, 0, 90)
	first := b.sign(b.stamp(1, one, 1))
	longer, err := trust.NewBundle(trust.BundleOptions{Version: 1, Issued: start,
		Expires: start.AddDate(0, 0, 7).Add(time.Second)})
	b.check(err)
	longest, err := trust.NewBundle(trust.BundleOptions{Version: 1, Issued: start, TimestampRequired: true,
		Expires: start.AddDate(0, 0, 400).Add(time.Second)})
	b.check(err)
	two3, two5, three := b.bundle(2, 3, 90), b.bundle(2, 5, 90), b.bundle(3, 4, 90)
	named := func(version int64, bundle *trust.Bundle, expect string) func() {
		return func() { b.step(1, b.sign(b.stamp(version, bundle, 1)), bundle, expect) }
	}
	return map[string]trustCase{
		"no-timestamp": {"there is no timestamp", func() { b.step(1, "", one, "no_timestamp") }},
		"other-bundle": {"another bundle than the timestamp names",
			func() { b.step(1, first, two, "other_bundle") }},
		"newer-roots": {"the timestamp names newer roots, and its revocations count", func() {
			b.step(1, first, one, ok)
			ts := b.stamp(2, one, 2, b.keys[0].KeyID())
			ts.RootsVersion = 3
			b.step(2, b.sign(ts), one, "newer_roots")
		}},
		"bundle-expired": {"now is the bundle's expires", func() {
			short := b.bundle(1, 0, 7)
			b.step(168, b.sign(b.stamp(1, short, 167)), short, "expired")
		}},
		"bundle-longer": {"a bundle of 7 days and a second without the member timestamp",
			named(1, longer, "lifetime")},
		"bundle-longest": {"a bundle of 400 days and a second", named(1, longest, "lifetime")},
		"bundle-one-root": {"a bundle that one of two root keys signed", func() {
			b.stepText(1, first, b.seal(keydoc.BundleType, string(one.Payload()), b.root), "threshold")
		}},
		"bundle-decided": {"a bundle that decided on the timestamp which names it", named(3, two3, "rollback")},
		"bundle-decided-less": {"a bundle that decided on less than the one before", func() {
			b.step(1, b.sign(b.stamp(6, two5, 1)), two5, ok)
			b.step(2, b.sign(b.stamp(7, three, 2)), three, "rollback")
		}},
	}
}

// finish fills in what the implementation in Go holds after each step.
func (v *trustVector) finish(t *testing.T, roots *trust.Roots) {
	t.Helper()
	var h trust.Holding
	text := func(s string) []byte {
		if s == "" {
			return nil
		}
		return []byte(s)
	}
	for i := range v.Steps {
		s := &v.Steps[i]
		var err error
		if s.Roots != "" {
			s.RootsVersion, err = h.StepRoots(roots, text(s.Roots))
		} else {
			err = h.Step(roots, text(s.Timestamp), text(s.Bundle), 0, s.Now)
		}
		why := string(whyOf(err))
		if err == nil {
			why = ok
		}
		if why != s.Expect {
			t.Errorf("%s, step %d: %v, want %s", v.Name, i, err, s.Expect)
		}
		s.Version, s.Expires, s.Revoked, s.RevokedSessions = 0, "", nil, nil
		b := h.View()
		if b == nil {
			continue
		}
		s.Version, s.Expires, s.RevokedSessions = b.Version(), b.Expires().Format(time.RFC3339), b.RevokedSessions()
		for _, k := range b.SigningKeys() {
			if k.Revoked != nil {
				s.Revoked = append(s.Revoked, k.KeyID())
			}
		}
	}
}

// TestTrustVectors compares the files of vectors/trust with the cases, and the cases with this
// implementation.
func TestTrustVectors(t *testing.T) {
	b := newBureau(t)
	cases := b.sound()
	for _, more := range []map[string]trustCase{b.odd(), b.misspelt(), b.refused(), b.marked(), b.widened(),
		b.refusedBundles(), b.chained()} {
		maps.Copy(cases, more)
	}
	var names []string
	for name, c := range cases {
		names = append(names, name+".json")
		b.vector = &trustVector{Name: name, About: c.about, Roots: string(b.roots.Payload())}
		c.make()
		b.vector.finish(t, b.roots)
		var buf bytes.Buffer
		e := json.NewEncoder(&buf)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		b.check(e.Encode(b.vector))
		path := filepath.Join(trustVectors, name+".json")
		if *update {
			b.check(os.MkdirAll(trustVectors, 0o755))
			b.check(os.WriteFile(path, buf.Bytes(), 0o644))
			continue
		}
		if there, err := os.ReadFile(path); err != nil || !bytes.Equal(there, buf.Bytes()) {
			t.Errorf("%s differs from its case (%v): run go test with -update and look at the change", path, err)
		}
	}
	slices.Sort(names)
	there, err := filepath.Glob(filepath.Join(trustVectors, "*.json"))
	b.check(err)
	for i, path := range there {
		there[i] = filepath.Base(path)
	}
	if !slices.Equal(there, names) {
		t.Errorf("the files are %v, the cases %v", there, names)
	}
}
