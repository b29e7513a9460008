package trust_test

import (
	"maps"
	"strings"

	"github.com/sealbus/sealbus/internal/dsse"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/keystest"
	"github.com/sealbus/sealbus/keys/trust"
)

// next are roots of that version, of the old root keys and more.
func (b *bureau) next(version int64, limits trust.RootsLimits, stamp *trust.RootKey, roots ...*trust.RootKey) *trust.Roots {
	var list []*keys.Verifier
	for _, k := range append([]*trust.RootKey{b.root, b.other}, roots...) {
		list = append(list, k.Verifier())
	}
	r, err := trust.NewRoots(version, 2, list...)
	if err == nil && stamp != nil {
		r, err = r.WithTimestampKeys(stamp.Verifier())
	}
	if err == nil {
		r, err = r.WithLimits(limits)
	}
	b.check(err)
	return r
}

// by signs the text of roots, with each of the keys.
func (b *bureau) by(payload string, signers ...*trust.RootKey) string {
	e := &dsse.Envelope{PayloadType: keydoc.RootsType, Payload: []byte(payload)}
	for _, key := range signers {
		sig, err := key.Sign(b.Context(), dsse.PAE(nil, keydoc.RootsType, e.Payload))
		b.check(err)
		e.Signatures = append(e.Signatures, dsse.Signature{KeyID: key.Verifier().KeyID(), Sig: sig})
	}
	return string(e.Append(nil))
}

func (b *bureau) signRoots(r *trust.Roots) string { return b.by(string(r.Payload()), b.root, b.other) }

// stepRoots adds a step at that hour with the roots that follow.
func (b *bureau) stepRoots(hour float64, roots, expect string) {
	b.vector.Steps = append(b.vector.Steps, trustStep{Now: moment(hour), Roots: roots, Expect: expect})
}

// chained are the vectors of roots that follow.
func (b *bureau) chained() map[string]trustCase {
	cases := b.chainedSound()
	maps.Copy(cases, b.chainedRefused())
	maps.Copy(cases, b.chainedMisspelt())
	return cases
}

func (b *bureau) chainedSound() map[string]trustCase {
	one, two := b.bundle(1, 0, 90), b.bundle(2, 0, 90)
	first := b.sign(b.stamp(1, one, 1, b.keys[0].KeyID()))
	fresh := keystest.Root(b, "fresh")
	byFresh := func(ts *trust.Timestamp) string {
		return b.seal(keydoc.TimestampType, string(ts.Payload()), fresh)
	}
	named := func(ts *trust.Timestamp, roots int64) *trust.Timestamp {
		ts.RootsVersion = roots
		return ts
	}
	return map[string]trustCase{
		"ok-roots-next": {"newer roots, which the next timestamp names", func() {
			b.step(1, first, one, ok)
			b.stepRoots(2, b.signRoots(b.next(3, trust.RootsLimits{}, b.key, fresh)), ok)
			b.step(2, b.sign(named(b.stamp(2, one, 2), 3)), nil, ok)
		}},
		"ok-roots-late": {"a timestamp names newer roots, which follow later", func() {
			b.step(1, b.sign(named(b.stamp(1, one, 1), 3)), nil, ok)
			b.stepRoots(2, b.signRoots(b.next(3, trust.RootsLimits{}, b.key)), ok)
			b.step(2, b.sign(named(b.stamp(1, one, 1), 3)), one, ok)
		}},
		"ok-roots-limits": {"a bundle and a timestamp at the floors; the bundle ends with its roots", func() {
			limits := trust.RootsLimits{Expires: moment(5), MinBundle: 1, MinTimestamp: 1}
			b.stepRoots(1, b.signRoots(b.next(3, limits, b.key)), ok)
			b.step(1, first, one, ok)
		}},
		"ok-roots-expired-between": {"roots that have expired lead to those that follow", func() {
			b.stepRoots(1, b.signRoots(b.next(3, trust.RootsLimits{Expires: moment(0)}, b.key)), ok)
			b.stepRoots(1, b.signRoots(b.next(4, trust.RootsLimits{Expires: moment(9)}, b.key)), ok)
			b.step(1, first, one, ok)
		}},
		"ok-roots-forget-timestamp": {"roots without its key forget a timestamp of 2^53-1 and its revocations", func() {
			b.step(1, b.sign(b.stamp(1<<53-1, one, 1, b.keys[0].KeyID())), one, ok)
			b.stepRoots(2, b.signRoots(b.next(3, trust.RootsLimits{}, fresh)), ok)
			b.step(2, byFresh(b.stamp(1, one, 2)), one, ok)
		}},
		"ok-roots-forget-bundle": {"roots without its keys forget a bundle of 2^53-1", func() {
			forged := b.bundle(1<<53-1, 0, 90)
			b.step(1, b.sign(b.stamp(1, forged, 1)), forged, ok)
			r, err := trust.NewRoots(3, 1, keystest.Root(b, "new").Verifier())
			b.check(err)
			r, err = r.WithTimestampKeys(fresh.Verifier())
			b.check(err)
			b.stepRoots(2, b.by(string(r.Payload()), b.root, b.other, keystest.Root(b, "new")), ok)
			b.stepText(2, byFresh(b.stamp(1, two, 2)), b.seal(keydoc.BundleType, string(two.Payload()), keystest.Root(b, "new")), ok)
		}},
		"ok-roots-floor-held": {"a bundle in use that is below the floor of newer roots is not in use any more", func() {
			b.step(1, first, one, ok)
			b.stepRoots(2, b.signRoots(b.next(3, trust.RootsLimits{MinBundle: 2}, b.key)), ok)
			b.step(2, b.sign(b.stamp(2, two, 2)), two, ok)
		}},
	}
}

func (b *bureau) chainedRefused() map[string]trustCase {
	one, two := b.bundle(1, 0, 90), b.bundle(2, 0, 90)
	fresh, stranger := keystest.Root(b, "fresh"), keystest.Root(b, "x")
	three := string(b.next(3, trust.RootsLimits{}, b.key).Payload())
	own, err := trust.NewRoots(3, 2, b.other.Verifier(), fresh.Verifier(), stranger.Verifier())
	b.check(err)
	refused := func(signed, expect string) func() { return func() { b.stepRoots(1, signed, expect) } }
	limited := func(limits trust.RootsLimits, version int64, bundle *trust.Bundle, expect string) func() {
		return func() {
			b.stepRoots(1, b.signRoots(b.next(3, limits, b.key)), ok)
			b.step(1, b.sign(b.stamp(version, bundle, 1)), bundle, expect)
		}
	}
	return map[string]trustCase{
		"roots-skipped":    {"a version is left out", refused(b.signRoots(b.next(4, trust.RootsLimits{}, b.key)), "newer_roots")},
		"roots-same":       {"the version that is at hand", refused(b.signRoots(b.next(2, trust.RootsLimits{}, b.key)), "rollback")},
		"roots-lower":      {"a lower version", refused(b.signRoots(b.next(1, trust.RootsLimits{}, b.key)), "rollback")},
		"roots-old-short":  {"signed by enough new root keys, and one old", refused(b.by(string(own.Payload()), b.other, fresh, stranger), "threshold")},
		"roots-new-short":  {"signed by enough old root keys, and one new", refused(b.by(string(own.Payload()), b.root, b.other), "threshold")},
		"roots-twice":      {"signed by one root key twice", refused(b.by(three, b.root, b.root), "threshold")},
		"roots-stranger":   {"signed by one root key and a stranger", refused(b.by(three, b.root, stranger), "threshold")},
		"roots-stamp":      {"signed by one root key and a timestamp key", refused(b.by(three, b.root, b.key), "threshold")},
		"roots-type":       {"roots under the payload type of a bundle", refused(b.seal(keydoc.BundleType, three, b.root), "wrong_type")},
		"roots-expired":    {"a timestamp under roots that have expired", limited(trust.RootsLimits{Expires: moment(1)}, 1, one, "expired")},
		"roots-min-stamp":  {"a timestamp below the floor", limited(trust.RootsLimits{MinTimestamp: 2}, 1, one, "rollback")},
		"roots-min-bundle": {"a bundle below the floor", limited(trust.RootsLimits{MinBundle: 2}, 1, one, "rollback")},
		"roots-no-stamp": {"roots without timestamp keys refuse timestamps", func() {
			b.stepRoots(1, b.signRoots(b.next(3, trust.RootsLimits{}, nil)), ok)
			b.step(1, b.sign(b.stamp(1, one, 1)), nil, "threshold")
		}},
		"roots-keep": {"newer roots that still name its key keep a timestamp, and the bundle that it names", func() {
			b.step(1, b.sign(b.stamp(2, two, 1)), two, ok)
			b.stepRoots(2, b.signRoots(b.next(3, trust.RootsLimits{}, b.key, fresh)), ok)
			b.step(2, b.sign(b.stamp(1, two, 2)), nil, "rollback")
		}},
	}
}

func (b *bureau) chainedMisspelt() map[string]trustCase {
	limits := trust.RootsLimits{Expires: moment(9), MinBundle: 7, MinTimestamp: 8}
	good := string(b.next(3, limits, b.key).Payload())
	cases := map[string]trustCase{}
	for _, c := range [][4]string{
		{"roots-unknown", "an unknown member", `"threshold"`, `"quorum":1,"threshold"`},
		{"roots-white-space", "a space between members", `"threshold":2,`, `"threshold":2, `},
		{"roots-floor-0", "a floor of 0", `"min_bundle":7`, `"min_bundle":0`},
		{"roots-floor-2-53", "a floor of 2^53", `"min_timestamp":8`, `"min_timestamp":9007199254740992`},
		{"roots-expires-fraction", "expires with a fraction", `:00Z"`, `:00.5Z"`},
		{"roots-threshold-0", "threshold 0", `"threshold":2`, `"threshold":0`},
		{"roots-threshold-3", "a threshold above the number of keys", `"threshold":2`, `"threshold":3`},
	} {
		changed := strings.Replace(good, c[2], c[3], 1)
		if changed == good {
			b.Fatalf("%s is not in %s", c[2], good)
		}
		cases[c[0]] = trustCase{c[1], func() { b.stepRoots(1, b.by(changed, b.root, b.other), "malformed") }}
	}
	return cases
}
