package trust

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadtrust"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/internal/dsse"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
	"github.com/sealbus/sealbus/keys/trust/policy"
)

// toSign is what `trust sign --show` tells.
type toSign struct {
	File    string          `json:"file"`
	Kind    string          `json:"kind"` // bundle or roots
	Version int64           `json:"version"`
	Expires string          `json:"expires,omitempty"`
	Follows int64           `json:"follows,omitempty"` // the version of --previous
	Facts   []string        `json:"facts"`
	Changes []policy.Change `json:"changes"` // of a bundle, since --previous; all that it says without that

	SignedBy  []string `json:"signed_by,omitempty"` // verified under --roots
	Threshold int      `json:"threshold,omitempty"` // of --roots
	Missing   int      `json:"signatures_missing"`  // 0 also without --roots
	// NotVerified is what a reader might take for verified, and is not.
	NotVerified []string `json:"not_verified"`
}

// showFirst tells what is to be signed, before a key is opened, and reports whether to go on.
func (f *signFlags) showFirst(env *ui.Env, file string, doc []byte, pinned *trust.Roots) (goOn bool, err error) {
	switch {
	case !f.show && (f.previous != "" || f.yes):
		return false, ui.Usage("add --show", "--previous and --yes are for --show")
	case !f.show:
		return true, nil
	}
	s, err := f.describe(env, file, doc, pinned)
	if err != nil {
		return false, err
	}
	if len(f.root) == 0 {
		return false, env.Emit(s, s.print)
	}
	p := &ui.Printer{Style: env.Talk}
	s.print(p)
	env.Say(strings.TrimRight(p.String(), "\n"), 0)
	if f.yes {
		return true, nil
	}
	answer, err := env.Ask("type yes to sign this (it does not show): ")
	switch {
	case err != nil:
		return false, ui.Usage("add --yes once you have read it", "there is no terminal to ask on whether to sign: %w", err)
	case strings.TrimSpace(string(answer)) != "yes":
		return false, ui.Usage("run it again to sign", "not signed: the answer was not yes")
	}
	return true, nil
}

func (f *signFlags) describe(env *ui.Env, file string, doc []byte, pinned *trust.Roots) (*toSign, error) {
	var previous []byte
	if f.previous != "" {
		var err error
		if previous, err = env.ReadFile(f.previous, keydoc.MaxSigned); err != nil {
			return nil, err
		}
	}
	s := &toSign{File: file, Facts: []string{}, Changes: []policy.Change{}, NotVerified: []string{}}
	payload := doc
	e, err := dsse.Parse(doc)
	if err == nil {
		payload = e.Payload
	}
	switch {
	case err == nil && e.PayloadType == keydoc.BundleType:
		err = s.bundle(payload, f.previous, previous, pinned)
	case err == nil && e.PayloadType == keydoc.RootsType: // not all of the signatures need be there yet
		err = s.roots(payload, f.previous, previous)
	default:
		err = s.roots(doc, f.previous, previous)
	}
	if err != nil {
		return nil, loadtrust.Refused(file, err)
	}
	s.signatures(doc, pinned)
	return s, nil
}

// bundle describes a bundle.
func (s *toSign) bundle(payload []byte, name string, previous []byte, pinned *trust.Roots) error {
	b, err := trust.ParseBundle(payload)
	if err != nil {
		return err
	}
	s.Kind, s.Version, s.Expires = "bundle", b.Version(), ui.FormatTime(b.Expires())
	s.fact("issued %s, lives for %s, until %s", ui.FormatTime(b.Issued()),
		ui.FormatDuration(b.Expires().Sub(b.Issued())), s.Expires)
	s.fact("%s, %s", ui.Count(len(b.SigningKeys()), "signing key"), ui.Count(len(b.EncryptionKeys()), "encryption key"))
	if n := b.Timestamps(); n > 0 {
		s.fact("decides on the revocations of timestamps up to version %d: those that it does not take over end", n)
	}
	if n := len(b.RevokedSessions()); n > 0 {
		s.fact("revokes %s", ui.Count(n, "session key"))
	}
	s.unverified("whether the keys are those of their owners, and whether the reviewed policy file says the same")
	if previous == nil {
		s.unverified("what changes: there is no --previous to compare with, so all that it says is told")
		s.Changes = policy.Diff(policy.GrantsOf(&trust.Bundle{}), policy.GrantsOf(b))
		return nil
	}
	old, err := s.previousBundle(name, previous, pinned)
	if err != nil {
		return err
	}
	s.Follows = old.Version()
	if s.Version != old.Version()+1 {
		s.fact("NOTE: its version is not the one after version %d of %s", old.Version(), name)
	}
	s.Changes = append(s.Changes, policy.Diff(policy.GrantsOf(old), policy.GrantsOf(b))...)
	return nil
}

// previousBundle verifies the previous bundle if there are roots.
func (s *toSign) previousBundle(name string, signed []byte, pinned *trust.Roots) (*trust.Bundle, error) {
	if pinned != nil {
		b, err := trust.OpenBundle(signed, pinned, &trust.Options{Now: longAgo, UnsafeNoTimestamp: true})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return b, nil
	}
	b, err := parseUnverified(signed)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	s.unverified("the signatures of " + name + ": --roots FILE verifies them")
	return b, nil
}

// roots describes a roots file.
func (s *toSign) roots(doc []byte, name string, previous []byte) error {
	r, err := trust.ParseRoots(doc)
	if err != nil {
		return err
	}
	s.Kind, s.Version = "roots", r.Version()
	s.fact("%d of %s must sign a bundle", r.Threshold(), ui.Count(len(r.Keys()), "root key"))
	if n := len(r.TimestampKeys()); n > 0 {
		s.fact("bundles count only with a timestamp, of one of %s", ui.Count(n, "timestamp key"))
	}
	s.limits(r.Limits())
	s.unverified("whether the keys are those of the people and services that they should be of")
	var old *trust.Roots
	if previous != nil {
		if old, err = trust.ParseRoots(previous); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		s.unverified("the signatures of " + name)
		s.Follows = old.Version()
		if s.Version != old.Version()+1 {
			s.fact("NOTE: its version is not the one after version %d of %s", old.Version(), name)
		}
		if r.Threshold() != old.Threshold() {
			s.fact("before, %d of %s had to sign", old.Threshold(), ui.Count(len(old.Keys()), "root key"))
		}
	} else {
		s.unverified("what changes: there is no --previous to compare with")
	}
	s.compareKeys("root key", old, r, (*trust.Roots).Keys)
	s.compareKeys("timestamp key", old, r, (*trust.Roots).TimestampKeys)
	return nil
}

// limits tells when roots expire, and which floors they set.
func (s *toSign) limits(l trust.RootsLimits) {
	if l.Expires.IsZero() {
		s.fact("the roots never expire")
	} else {
		s.Expires = ui.FormatTime(l.Expires)
		s.fact("the roots expire at %s", s.Expires)
	}
	if l.MinBundle > 0 {
		s.fact("bundles below version %d no longer count", l.MinBundle)
	}
	if l.MinTimestamp > 0 {
		s.fact("timestamps below version %d no longer count", l.MinTimestamp)
	}
}

// compareKeys tells which keys come, stay and go.
func (s *toSign) compareKeys(what string, old, is *trust.Roots, of func(*trust.Roots) []*keys.Verifier) {
	var had []string
	if old != nil {
		for _, k := range of(old) {
			had = append(had, k.KeyID())
		}
	}
	for _, k := range of(is) {
		switch {
		case old == nil:
			s.fact("%s %s", what, k.KeyID())
		case slices.Contains(had, k.KeyID()):
			s.fact("%s %s stays", what, k.KeyID())
		default:
			s.fact("%s %s is new", what, k.KeyID())
		}
		had = slices.DeleteFunc(had, func(id string) bool { return id == k.KeyID() })
	}
	for _, id := range had {
		s.fact("%s %s goes", what, id)
	}
}

// signatures tells who signed, as far as the roots can verify that.
func (s *toSign) signatures(doc []byte, pinned *trust.Roots) {
	if pinned == nil {
		s.unverified("the signatures that it has, and how many it needs: --roots FILE does that")
		return
	}
	s.SignedBy, s.Threshold = goodSigners(pinned, doc), pinned.Threshold()
	s.Missing = missingSignatures(pinned, doc)
	s.fact("signed by %d of the root keys of --roots, %d needed, %d still missing", len(s.SignedBy), s.Threshold,
		s.Missing)
}

func (s *toSign) fact(format string, args ...any) {
	s.Facts = append(s.Facts, fmt.Sprintf(format, args...))
}
func (s *toSign) unverified(what string) { s.NotVerified = append(s.NotVerified, what) }

func (s *toSign) print(p *ui.Printer) {
	kind := map[string]string{"bundle": "a trust bundle", "roots": "a roots file"}[s.Kind]
	follows := ""
	if s.Follows > 0 {
		follows = fmt.Sprintf(", follows version %d", s.Follows)
	}
	p.Hangingf(2, "%s  %s, version %d%s", p.Bold(ui.Clean(s.File)), kind, s.Version, follows)
	for _, fact := range s.Facts {
		p.Hangingf(4, "  %s", ui.Clean(fact))
	}
	switch {
	case s.Kind == "bundle" && len(s.Changes) > 0:
		p.Linef("what it says, + = it allows more:")
		printChanges(p, s.Changes)
	case s.Kind == "bundle":
		p.Linef("no key changes")
	}
	for _, what := range s.NotVerified {
		p.Hangingf(4, "%s %s", p.Red("NOT VERIFIED"), ui.Clean(what))
	}
}
