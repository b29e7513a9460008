package rehearsal

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/jitter"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
	"github.com/sealbus/sealbus/keys/trust/policy"
)

// run is a scenario while it is played.
type run struct {
	*Scenario
	ctx   context.Context
	clock timeline
	host  host
	rec   *Record

	root, stamp *keys.LocalSigner
	roots       *trust.Roots
	current     *trust.Bundle    // on the host
	rivals      *trust.Bundle    // which the latest draft follows
	stamped     *trust.Timestamp // the newest; nil = there is none

	revoked map[string]trust.Revocation // by bundles

	producers []*process
	consumers []*reader
}

// The times between two renewals.
const (
	renewTimestamp = time.Hour
	renewBundle    = 72 * time.Hour
)

// Run plays the scenario. An error is one of the scenario itself, such as a policy that is none.
func Run(ctx context.Context, s *Scenario) (*Record, error) {
	// The longest interval is the worst one.
	r := &run{Scenario: s, ctx: jitter.With(ctx, func() float64 { return 0 }), rec: &Record{Scenario: s},
		revoked: map[string]trust.Revocation{}}
	r.host = host{files: map[string][]file{}, outages: s.Outages}
	if err := r.setUp(); err != nil {
		return nil, fmt.Errorf("rehearsal: %w", err)
	}
	r.clock.run(s.End)
	slices.SortStableFunc(r.rec.Verdicts, func(a, b Verdict) int { return a.At.Compare(b.At) })
	return r.rec, nil
}

func (r *run) setUp() (err error) {
	cast := NewCast("")
	for _, k := range []struct {
		name string
		to   **keys.LocalSigner
	}{{"root", &r.root}, {"timestamp", &r.stamp}} {
		id, err := cast.Key("rehearsal", k.name)
		if err != nil {
			return err
		}
		*k.to = cast.signers[id]
	}
	if r.roots, err = trust.NewRoots(1, 1, r.root.Verifier()); err != nil {
		return err
	}
	if r.Timestamps {
		if r.roots, err = r.roots.WithTimestampKeys(r.stamp.Verifier()); err != nil {
			return err
		}
	}
	if len(r.Publications) == 0 {
		return errors.New("no bundle is ever published")
	}
	r.clock.now = r.Start
	d, err := r.draw(r.Publications[0])
	if err != nil {
		return err
	}
	if err := r.upload(d.bundle, d.signed); err != nil {
		return err
	}
	for _, list := range r.host.files {
		list[0].from = list[0].from.Add(-r.Cache) // the caches have it, too
	}
	if err := r.makeProducers(); err != nil {
		return err
	}
	if err := r.makeConsumers(); err != nil {
		return err
	}
	r.plan()
	return nil
}

// plan has everything happen at its time.
func (r *run) plan() {
	for _, p := range r.Publications[1:] {
		var d *draft
		r.clock.at(p.Built, func() {
			var err error
			d, err = r.draw(p)
			r.tolerate(err)
		})
		r.clock.at(p.Built.Add(p.Late), func() { r.tolerate(r.publish(d)) })
	}
	for _, v := range r.Revocations {
		r.clock.at(v.At, func() { r.tolerate(r.revoke(v.KeyID)) })
	}
	if r.Timestamps {
		for at := r.Start.Add(renewTimestamp); at.Before(r.End); at = at.Add(renewTimestamp) {
			r.clock.at(at, func() { r.tolerate(r.renewTimestamp()) })
		}
	}
	for at := r.Start.Add(renewBundle); at.Before(r.End) && !r.Timestamps; at = at.Add(renewBundle) {
		r.clock.at(at, func() { r.tolerate(r.renewBundle()) })
	}
	for _, o := range r.Outages {
		r.clock.at(o.From, func() {
			r.tell(OfBundles, "the host of the bundle stops answering for %s", o.For.Round(time.Second))
		})
	}
	for i, s := range r.Sends {
		r.clock.at(s.At, func() { r.send(i) })
	}
	for _, c := range r.consumers {
		for _, at := range c.Polls {
			r.clock.at(at, func() { c.poll() })
		}
	}
}

func (r *run) tell(of Subject, format string, args ...any) {
	r.rec.Moments = append(r.rec.Moments, Moment{r.clock.now, of, fmt.Sprintf(format, args...)})
}

// tolerate tells of a publisher that failed. The rehearsal goes on, as consumers do.
func (r *run) tolerate(err error) {
	if err != nil {
		r.tell(OfBundles, "the publisher fails: %v", err)
	}
}

// draft is a bundle that was built and is not on the host yet.
type draft struct {
	follows, bundle *trust.Bundle
	signed          []byte
}

// draw builds the bundle of a publication.
func (r *run) draw(p Publication) (*draft, error) {
	d := &draft{follows: r.current}
	if p.Rival { // both publishers began with the same bundle
		d.follows = r.rivals
	}
	var err error
	if d.bundle, d.signed, err = r.build(p.Policy, d.follows); err != nil {
		return nil, err
	}
	if r.rivals = d.follows; d.follows != nil {
		r.tell(OfBundles, "bundle %d is built%s", d.bundle.Version(), r.changes(d.follows, d.bundle))
	}
	return d, nil
}

// publish puts the bundle on the host, if the one that it follows is still there: S3 compares (If-Match), and
// so does trust build.
func (r *run) publish(d *draft) error {
	if d == nil {
		return errors.New("there is no bundle to publish")
	}
	if d.follows != r.current {
		r.tell(OfBundles, "bundle %d is not uploaded: another publisher was first, and the host compares",
			d.bundle.Version())
		var err error
		if d.bundle, d.signed, err = r.build(r.reviewed(), r.current); err != nil {
			return err
		}
		r.tell(OfBundles, "bundle %d is built anew, of both changes", d.bundle.Version())
	}
	return r.upload(d.bundle, d.signed)
}

func cmpOr(p, other *policy.Policy) *policy.Policy {
	if p != nil {
		return p
	}
	return other
}

// build makes and signs the bundle that follows was. It is not refused for its schedule: what would come of
// it is the question. The faults that trust build finds are noted.
func (r *run) build(p *policy.Policy, was *trust.Bundle) (*trust.Bundle, []byte, error) {
	p = r.withRevoked(p)
	opts := policy.BuildOptions{
		Now: r.clock.now, Expires: r.clock.now.Add(trust.MaxBundleLifetime), Previous: was,
		TimestampKeys: r.Timestamps, Timestamp: r.stamped, Widen: []string{"all"},
	}
	if r.Timestamps {
		opts.Expires = r.clock.now.Add(90 * 24 * time.Hour)
	}
	var public []*keys.Verifier
	for _, o := range p.Producers {
		for _, k := range o.Keys {
			signer := r.Cast.signers[k.ID]
			if signer == nil {
				return nil, nil, fmt.Errorf("key %s is not in the cast", k.ID)
			}
			public = append(public, signer.Verifier())
		}
	}
	for _, f := range p.CheckSchedules(public, opts) {
		r.rec.faults = append(r.rec.faults, f)
		opts.UnsafeSchedules = append(opts.UnsafeSchedules, f.KeyID)
	}
	b, err := p.Build(public, opts)
	if err != nil {
		return nil, nil, err
	}
	signed, err := trust.SignBundle(r.ctx, b, r.root)
	return b, signed, err
}

// upload puts a bundle on the host, and a timestamp that names it.
func (r *run) upload(b *trust.Bundle, signed []byte) error {
	r.rec.uploads = append(r.rec.uploads, upload{r.clock.now, b})
	if r.current = b; b.Version() > 1 {
		r.tell(OfBundles, "bundle %d is on the host", b.Version())
	}
	r.host.put(r.clock.now, bundleFile, signed)
	if !r.Timestamps {
		return nil
	}
	digest := sha256.Sum256(b.Payload())
	r.host.put(r.clock.now, keydoc.BundlesDir+hex.EncodeToString(digest[:]), signed)
	return r.sign(nil)
}

// sign signs and uploads a timestamp of the bundle on the host.
func (r *run) sign(revoke map[string]trust.Revocation) error {
	ts, err := trust.NewTimestamp(r.roots, r.current, r.stamped,
		trust.TimestampOptions{Now: r.clock.now, Revoke: revoke})
	if err != nil {
		return err
	}
	signed, err := trust.SignTimestamp(r.ctx, ts, r.stamp)
	if err != nil {
		return err
	}
	r.stamped = ts
	r.host.put(r.clock.now, keydoc.TimestampFile, signed)
	return nil
}

func (r *run) renewTimestamp() error {
	if r.stamped.Issued.Equal(r.clock.now) {
		return nil
	}
	return r.sign(nil)
}

// reviewed is the newest policy, with all changes that anyone made.
func (r *run) reviewed() *policy.Policy {
	i := len(r.Publications) - 1
	for i > 0 && r.Publications[i].Built.After(r.clock.now) {
		i--
	}
	return cmpOr(r.Publications[i].Merged, r.Publications[i].Policy)
}

// renewBundle builds the newest policy once more, before its bundle expires.
func (r *run) renewBundle() error {
	b, signed, err := r.build(r.reviewed(), r.current)
	if err != nil {
		return err
	}
	return r.upload(b, signed)
}

// revoke revokes a key by a timestamp, and without timestamp keys by the next bundle.
func (r *run) revoke(id string) error {
	r.tell(OfBundles, "key %s is revoked", r.Cast.Label(id))
	why := trust.Revocation{At: r.clock.now, Reason: "rehearsal"}
	if r.Timestamps {
		return r.sign(map[string]trust.Revocation{id: why})
	}
	r.revoked[id] = why
	return r.renewBundle()
}

// withRevoked is the policy with the keys that were revoked meanwhile.
func (r *run) withRevoked(p *policy.Policy) *policy.Policy {
	c := &policy.Policy{RefreshHint: r.Refresh, Cache: r.Cache, InFlight: r.InFlight,
		Producers: slices.Clone(p.Producers)}
	for i := range c.Producers {
		list := slices.Clone(c.Producers[i].Keys)
		for j := range list {
			if why, yes := r.revoked[list[j].ID]; yes {
				list[j].Revoked = &why
			}
			if r.stamped != nil { // the bundle takes it over
				if why, yes := r.stamped.Revoked[list[j].ID]; yes {
					list[j].Revoked = &why.Revocation
				}
			}
		}
		c.Producers[i].Keys = list
	}
	return c
}

// changes says what a bundle has that the one before has not.
func (r *run) changes(was, is *trust.Bundle) string {
	text := ""
	add := func(format string, args ...any) {
		if text != "" {
			text += ","
		}
		text += " " + fmt.Sprintf(format, args...)
	}
	for _, k := range is.SigningKeys() {
		switch old := was.Key(k.KeyID()); {
		case old == nil:
			add("with key %s", r.Cast.Label(k.KeyID()))
		case !slices.Equal(old.Types, k.Types) || !slices.Equal(old.Sources, k.Sources):
			add("with another scope of key %s", r.Cast.Label(k.KeyID()))
		case old.Schedule != k.Schedule:
			add("with other dates of key %s", r.Cast.Label(k.KeyID()))
		}
	}
	for _, k := range was.SigningKeys() {
		if is.Key(k.KeyID()) == nil {
			add("without key %s", r.Cast.Label(k.KeyID()))
		}
	}
	return text
}

// isRevoked reports whether a consumer has to refuse the key, by now.
func (r *run) isRevoked(id string) bool {
	if r.stamped != nil {
		if _, yes := r.stamped.Revoked[id]; yes {
			return true
		}
	}
	k := r.current.Key(id)
	return k != nil && k.Revoked != nil
}

// outcomeOf is what a verdict means.
func (r *run) outcomeOf(c *reader, keyID string, reason envelope.Reason) Outcome {
	switch {
	case reason == "":
		return Accepted
	case r.isRevoked(keyID):
		return Revoked
	case !c.Withheld.IsZero() && !r.clock.now.Before(c.Withheld):
		return Withheld
	case reason.Class() == envelope.Transient:
		return UsedUp
	}
	return Rejected
}
