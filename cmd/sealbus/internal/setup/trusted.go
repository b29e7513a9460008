package setup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadhome"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadtrust"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/internal/privatefile"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
	"github.com/sealbus/sealbus/keys/trust/policy"
)

// bundleLife is long, because a timestamp of 7 days bounds it, and a home must not die of age on a laptop.
const bundleLife = keydoc.MaxVouchedFor

// newPolicy is a policy without producers and consumers. Programs look at files of this machine, so the hint
// may be short.
const newPolicy = `# The trust policy: which key may speak for which sources and types. People review each change of it, and
# then ` + "`sealbus trust build`" + ` makes the bundle. docs/trust.md has the fields.
version: 1
refresh_hint: 5s # how often consumers look for a newer bundle; in production minutes
producers: {}
consumers: {}
`

// authority is what signs the trust of the home, and the roots that say so.
type authority struct {
	root, stamp *trust.RootKey
	roots       *trust.Roots
}

// trusted has the keys listed in the policy, in a bundle, and in use.
func (s *site) trusted(ctx context.Context, f *initFlags, name string, a *authority, public []keys.PublicKey) error {
	doc, err := s.policy(f, name, public)
	if err != nil {
		return err
	}
	stamped, err := s.timestamp(a)
	if err != nil {
		return err
	}
	previous, err := s.bundle(a, stamped)
	if err != nil {
		return err
	}
	next, err := s.build(name, doc, previous)
	if err != nil {
		return err
	}
	s.warnShared(name, next)
	signed, err := trust.SignBundle(ctx, next, a.root)
	if err != nil {
		return err
	}
	ts, err := trust.NewTimestamp(a.roots, next, stamped, trust.TimestampOptions{Now: s.now,
		Lifetime: keydoc.MaxFreshness})
	if err != nil {
		return loadtrust.Refused(s.path(timestampFile), err)
	}
	stamp, err := trust.SignTimestamp(ctx, ts, a.stamp)
	if err != nil {
		return err
	}
	if err := s.publish(next, append(signed, '\n'), append(stamp, '\n')); err != nil {
		return err
	}
	return s.tidy(sha256.Sum256(next.Payload()), stamped)
}

// warnShared warns of a producer that may speak for a source of another one.
func (s *site) warnShared(name string, b *trust.Bundle) {
	for _, shared := range loadtrust.SharedSources(b) {
		if other := shared.Producers; other[0] == name || other[1] == name {
			s.env.Warnf("%s and %s may both sign events of %s: who has a key of one can send in the name of the other. "+
				"If it is not meant so, correct %s, and run `sealbus trust build`", other[0], other[1], shared.Source,
				s.path(policyFile))
		}
	}
}

// beside is where a bundle is that the timestamp names and that has not got its place yet.
func beside(digest [sha256.Size]byte) string {
	return "trust/" + keydoc.BundlesDir + hex.EncodeToString(digest[:])
}

// tidy removes what publish put beside the bundle, now and in a run that was ended in the middle. Files of
// others stay.
func (s *site) tidy(digest [sha256.Size]byte, stamped *trust.Timestamp) error {
	names := []string{beside(digest)}
	if stamped != nil {
		names = append(names, beside(stamped.BundleSHA256))
	}
	for _, name := range names {
		if err := os.Remove(s.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	_ = os.Remove(s.path("trust/bundles")) // unless something is in there
	return nil
}

// publish puts the bundle where those find it who know its digest from the timestamp, then the timestamp, and
// then the bundle in its place. So no moment has a timestamp without its bundle.
func (s *site) publish(b *trust.Bundle, signed, stamp []byte) error {
	if err := s.makeDir("trust/bundles", 0o755); err != nil {
		return err
	}
	for _, step := range []struct {
		name    string
		content []byte
	}{{beside(sha256.Sum256(b.Payload())), signed}, {timestampFile, stamp}, {bundleFile, signed}} {
		if err := privatefile.Swap(s.path(step.name), step.content); err != nil {
			return err
		}
		if err := s.after(step.name); err != nil {
			return err
		}
	}
	return nil
}

// policy lists the keys in the policy file.
func (s *site) policy(f *initFlags, name string, public []keys.PublicKey) ([]byte, error) {
	path, is, err := s.existing(policyFile)
	if err != nil {
		return nil, err
	}
	was := []byte(newPolicy)
	if is {
		if was, _, err = privatefile.ReadBounded(path, keydoc.MaxPolicy); err != nil {
			return nil, err
		}
	}
	doc, add := was, policy.AddProducerKey
	if f.consumer {
		add = policy.AddConsumerKey
	}
	for _, k := range public {
		if doc, _, err = add(doc, name, k.KeyID(), k.Schedule); err != nil {
			return nil, refusedPolicy(path, err)
		}
	}
	if !f.consumer {
		if doc, _, err = policy.SetScope(doc, name, f.sources, f.types); err != nil {
			return nil, refusedPolicy(path, err)
		}
	}
	if err := privatefile.Swap(path, doc); err != nil {
		return nil, err
	}
	return doc, s.after(policyFile)
}

func refusedPolicy(path string, err error) error {
	return &ui.Error{Code: ui.ExitRejected, Reason: "policy", Err: ui.InFile(path, err),
		Fix: "correct the policy file, and have the change reviewed"}
}

// bundle is the bundle of the home; nil = there is none yet. That it has expired does not matter. One that an
// earlier run had put beside it, and the timestamp names already, gets its place first.
func (s *site) bundle(a *authority, stamped *trust.Timestamp) (*trust.Bundle, error) {
	path, is, err := s.existing(bundleFile)
	if err != nil {
		return nil, err
	}
	if stamped != nil {
		unplaced, isUnplaced, err := s.existing(beside(stamped.BundleSHA256))
		if err != nil {
			return nil, err
		}
		if isUnplaced {
			path, is = unplaced, true
		}
	}
	switch {
	case !is && (!s.isNew || stamped != nil):
		return nil, ui.WrongFile("take it from a backup: a new one would begin at version 1", "%s is missing", path)
	case is && stamped == nil:
		return nil, ui.WrongFile("take it from a backup: a new one would lack its revocations", "%s is missing",
			s.path(timestampFile))
	case !is:
		return nil, nil
	}
	signed, err := s.env.ReadFile(path, keydoc.MaxSigned)
	if err != nil {
		return nil, err
	}
	b, err := trust.OpenBundle(signed, a.roots, &trust.Options{Now: func() time.Time { return time.Time{} },
		UnsafeNoTimestamp: true})
	if err != nil {
		return nil, loadtrust.Refused(path, err)
	}
	if path != s.path(bundleFile) {
		if sha256.Sum256(b.Payload()) != stamped.BundleSHA256 {
			return nil, ui.WrongFile("move it away", "%s is not the bundle that it is named after", path)
		}
		return b, privatefile.Swap(s.path(bundleFile), signed)
	}
	return b, nil
}

// timestamp is that of the home; nil = there is none yet.
func (s *site) timestamp(a *authority) (*trust.Timestamp, error) {
	path, is, err := s.existing(timestampFile)
	if err != nil || !is {
		return nil, err
	}
	signed, err := s.env.ReadFile(path, keydoc.MaxTimestamp)
	if err != nil {
		return nil, err
	}
	ts, err := trust.OpenPreviousTimestamp(signed, a.roots)
	if err != nil {
		return nil, loadtrust.Refused(path, err)
	}
	return ts, nil
}

// build makes the bundle of the policy and of all public keys of the home. Only name may get more than it
// had.
func (s *site) build(name string, doc []byte, previous *trust.Bundle) (*trust.Bundle, error) {
	p, err := policy.Parse(doc)
	if err != nil {
		return nil, refusedPolicy(s.path(policyFile), err)
	}
	opts := policy.BuildOptions{Now: s.now, Expires: s.now.Add(bundleLife), Previous: previous, TimestampKeys: true,
		Widen: []string{name}}
	var signing []*keys.Verifier
	public, err := loadhome.PublicKeys(s.env, s.path(publicDir))
	if err != nil {
		return nil, err
	}
	for _, k := range public {
		if k.Verifier != nil {
			signing = append(signing, k.Verifier)
		} else {
			opts.Recipients = append(opts.Recipients, k.Recipient)
		}
	}
	b, err := p.Build(signing, opts)
	if err != nil {
		return nil, refusedPolicy(s.path(policyFile), err)
	}
	return b, nil
}
