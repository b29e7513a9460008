package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/errtext"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadhome"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadkeys"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadtrust"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// rotationNotice is how long before the last key of a producer stops signing its successor should be there:
// to make it, review it, and let every consumer have the bundle.
const rotationNotice = 14 * 24 * time.Hour

// rootsNotice is how long before roots expire their holders should gather: the last quarter of a year.
const rootsNotice = 90 * 24 * time.Hour

// mostProducers is how many producers have findings of their own.
const mostProducers = 20

// trustFacts is the bundle that was verified.
type trustFacts struct {
	bundle *trust.Bundle
	byID   map[string]*trust.Key
}

// checkTrust looks at the bundle, and at whether each producer in it will still have a key in two weeks. An
// error is about the command line.
func (d *doctor) checkTrust(ctx context.Context) error {
	if d.f.Trust == "" {
		return nil
	}
	b, err := loadtrust.Open(ctx, d.env, &d.f.TrustFlags)
	var e *ui.Error
	if errors.As(err, &e) {
		switch {
		case e.Code == ui.ExitUsage && !e.Needed:
			return err
		case errtext.IsNetwork(e.Err):
			d.silent("bundle", e.Fix, "%s", errtext.Plain(e.Err))
		default:
			d.problem("bundle", e.Fix, "%s", errtext.Plain(e.Err))
		}
		return nil
	}
	d.trusted = &trustFacts{b, map[string]*trust.Key{}}
	for _, k := range b.SigningKeys() {
		d.trusted.byID[k.KeyID()] = k
	}
	d.checkFreshness(b)
	d.checkLife(b)
	if err := d.checkRoots(ctx); err != nil {
		return err
	}
	d.checkProducers(b)
	d.checkShared(b)
	return nil
}

// checkShared warns of sources that two producers may speak for. There is a finding for each pair.
func (d *doctor) checkShared(b *trust.Bundle) {
	told, more := map[[2]string]bool{}, false
	for _, s := range loadtrust.SharedSources(b) {
		if told[s.Producers] {
			continue
		}
		if len(told) == mostProducers {
			more = true
			break
		}
		told[s.Producers] = true
		d.warning("shared sources", "if it is not meant so, correct the sources and types of one of them in the trust policy",
			"%s and %s may both sign events of %s: who has a key of one can send in the name of the other",
			s.Producers[0], s.Producers[1], s.Source)
	}
	if more {
		d.warning("shared sources", "`sealbus trust show` lists all", "and there are others")
	}
}

func (d *doctor) checkFreshness(b *trust.Bundle) {
	if ts := b.Timestamp(); ts != nil {
		d.checkTimestamp(ts)
		return
	}
	left, life, hint := b.Expires().Sub(d.env.Now()), b.Expires().Sub(b.Issued()), b.RefreshHint()
	const fix = "build the next one with `sealbus trust build --previous FILE`, sign and publish it; it belongs on a schedule"
	about := fmt.Sprintf("version %d, signed by its roots, expires in %s", b.Version(),
		ui.FormatDuration(left))
	switch {
	case left < life/3:
		d.warning("bundle", fix, "%s: without a newer one, events can then no longer be judged", about)
	case hint == 0:
		d.ok("bundle", "%s", about)
	case hint >= left:
		d.warning("bundle", "build it with a shorter --refresh-hint",
			"%s, and consumers look for a newer one every %s only", about, ui.FormatDuration(hint))
	default:
		d.ok("bundle", "%s; consumers look for a newer one every %s", about, ui.FormatDuration(hint))
	}
}

// checkLife warns of a bundle that may be withheld for longer than a week: without timestamps no consumer
// learns of the next one, and of the revocations in it, before this one expires.
func (d *doctor) checkLife(b *trust.Bundle) {
	if life := b.Expires().Sub(b.Issued()); b.Timestamp() == nil && life > trust.MaxBundleLifetime {
		d.warning("bundle life", "build it with `sealbus trust build --expires 7d`, or name a timestamp key in the roots",
			"%s, and the roots name no timestamp key: for so long an attacker may withhold a revocation",
			ui.FormatDuration(life))
	}
}

// checkRoots warns of roots that a single thief takes over, or that never end, and before the newest roots
// expire. They do not say when they were made, so there is no third of their life to go by.
func (d *doctor) checkRoots(ctx context.Context) error {
	roots, err := loadtrust.ReadRoots(d.env, d.f.Roots)
	if err == nil {
		roots, err = loadtrust.Newest(ctx, d.env, d.f.Trust, roots)
	}
	if err != nil {
		return err // they were read a moment ago
	}
	d.checkWeakRoots(ctx, roots)
	end := roots.Limits().Expires
	if end.IsZero() {
		return nil
	}
	left := end.Sub(d.env.Now())
	if left < rootsNotice {
		d.warning("roots", "make the next ones with `sealbus trust root rotate`, and publish them as roots/"+
			strconv.FormatInt(roots.Version()+1, 10), "version %d expires in %s: nothing counts after that",
			roots.Version(), ui.FormatDuration(left))
		return nil
	}
	d.ok("roots", "version %d expires in %s", roots.Version(), ui.FormatDuration(left))
	return nil
}

// checkWeakRoots warns of roots that one thief takes over, or that never end. In a home that is so on
// purpose.
func (d *doctor) checkWeakRoots(ctx context.Context, roots *trust.Roots) {
	var weak []string
	if roots.Threshold() == 1 {
		weak = append(weak, "one root key signs alone: a thief of it controls the trust")
	}
	if roots.Limits().Expires.IsZero() {
		weak = append(weak, "the roots never expire: a host that withholds the next ones does so for ever")
	}
	if len(weak) == 0 {
		return
	}
	about, fix := "", "make the next roots with `sealbus trust root rotate --expires 400d`"
	if roots.Threshold() == 1 {
		fix += ", with more root keys (--add) and a higher --threshold"
	}
	if loadhome.Judges(ctx) {
		about, fix = "for a laptop only: ", "set the trust of production up as docs/guide-platform.md says"
	}
	d.warning("roots", fix, "%s%s", about, strings.Join(weak, "; "))
}

// checkTimestamp warns before consumers run out of timestamps. `sealbus trust timestamp` looks at the bundle.
func (d *doctor) checkTimestamp(ts *trust.Timestamp) {
	left, life := ts.Expires.Sub(d.env.Now()), ts.Expires.Sub(ts.Issued)
	about := fmt.Sprintf("version %d, signed by its roots; timestamp %d expires in %s", ts.BundleVersion,
		ts.Version, ui.FormatDuration(left))
	if left < life/2 {
		d.warning("bundle", "renew it with `sealbus trust timestamp`; it belongs on an hourly schedule",
			"%s: without a newer one, events can then no longer be judged", about)
		return
	}
	d.ok("bundle", "%s", about)
}

// checkProducers has a finding for each producer whose keys run out, and one for all others.
func (d *doctor) checkProducers(b *trust.Bundle) {
	schedules := map[string][]*keys.Schedule{}
	for _, k := range b.SigningKeys() {
		list := schedules[k.Producer]
		if k.Revoked == nil {
			list = append(list, &k.Schedule)
		}
		schedules[k.Producer] = list
	}
	var told, fine, silent int // silent: not told, and none of its keys signs now
	for _, name := range ui.SortedKeys(schedules) {
		end, found := signsUntil(schedules[name], d.env.Now())
		switch {
		case !d.runsOut(end, found):
			fine++
		case told < mostProducers:
			told++
			d.tellRunsOut("producer keys", "producer "+name, end, found)
		case !found:
			silent++
		}
	}
	switch {
	case len(schedules) == 0:
		d.problem("producer keys", "add producers with `sealbus trust add`, and build it again",
			"the bundle has no keys: every event is refused")
	case fine == len(schedules):
		d.ok("producer keys", "%s can sign for %s and more", ui.Count(fine, "producer"),
			ui.FormatDuration(rotationNotice))
	case silent > 0:
		d.problem("producer keys", "`sealbus trust show` lists all",
			"and %s more; for %d of them no key signs now",
			ui.Count(len(schedules)-fine-told, "producer"), silent)
	case fine+told < len(schedules):
		d.warning("producer keys", "`sealbus trust show` lists all", "and %s more",
			ui.Count(len(schedules)-fine-told, "producer"))
	}
}

// signsUntil is until when some key signs, from now on and without a gap; zero = without end. It is not found
// if none signs now.
func signsUntil(schedules []*keys.Schedule, now time.Time) (end time.Time, found bool) {
	end = now
	for {
		next := end
		for _, s := range schedules {
			if !s.SignsAt(end) {
				continue
			}
			until := loadkeys.FirstSet(s.Retired, s.Expired)
			if until.IsZero() {
				return time.Time{}, true
			}
			if until.After(next) {
				next = until
			}
		}
		if next.Equal(end) {
			return end, end.After(now)
		}
		end = next
	}
}

func (d *doctor) runsOut(end time.Time, found bool) bool {
	return !found || !end.IsZero() && end.Sub(d.env.Now()) < rotationNotice
}

func (d *doctor) tellRunsOut(check, who string, end time.Time, found bool) {
	if !found {
		d.problem(check, "make a key that signs at once with `sealbus keys new`, then `sealbus trust add` and `sealbus trust build`",
			"%s has no key that signs now", who)
		return
	}
	d.warning(check, "make a key with `sealbus keys new --activate +2d`, then `sealbus trust add` and `sealbus trust build`",
		"%s: the last key retires in %s, and no other follows", who,
		ui.FormatDuration(end.Sub(d.env.Now())))
}

// checkKeyring looks at the producer's side: which key signs, until when, and whether the bundle knows it.
func (d *doctor) checkKeyring() error {
	if d.f.Path == "" {
		return nil
	}
	ring, err := loadkeys.OpenKeyring(d.env, &d.f.KeyringFlags)
	var e *ui.Error
	if errors.As(err, &e) {
		if e.Code == ui.ExitUsage && !e.Needed {
			return err
		}
		d.unknown("keyring", e.Fix, "%s", errtext.Plain(e.Err))
		return nil
	}
	signers, err := ring.Signers(d.env.Now())
	if ring.Consumer() != "" {
		d.unknown("keyring", "name a producer's keyring",
			"%s is the keyring of consumer %s, which signs nothing", d.f.KeyringFlags.Path, ring.Consumer())
		return nil
	}
	if err != nil {
		d.tellRunsOut("keyring", "producer "+ring.Producer(), time.Time{}, false)
		return nil
	}
	for _, s := range signers {
		d.checkRunsOut(ring, s.Verifier())
		d.checkKnown(ring, s.Verifier().KeyID())
	}
	return nil
}

// checkRunsOut looks at the key that signs now and those that follow it, which are those of its kind.
func (d *doctor) checkRunsOut(ring *keys.Keyring, signing *keys.Verifier) {
	var schedules []*keys.Schedule
	list, id := ring.PublicKeys(), signing.KeyID()
	for i := range list {
		if list[i].Verifier.Algorithm().PostQuantum() == signing.Algorithm().PostQuantum() {
			schedules = append(schedules, &list[i].Schedule)
		}
	}
	end, found := signsUntil(schedules, d.env.Now())
	if d.runsOut(end, found) {
		d.tellRunsOut("keyring", "producer "+ring.Producer()+", key "+ui.ShortID(id)+" signs", end, found)
		return
	}
	until := "without end"
	if !end.IsZero() {
		until = "for " + ui.FormatDuration(end.Sub(d.env.Now()))
	}
	d.ok("keyring", "producer %s, key %s signs; the keyring has keys to sign with %s", ring.Producer(),
		ui.ShortID(id), until)
}

// checkKnown: what the keyring signs now, consumers must accept.
func (d *doctor) checkKnown(ring *keys.Keyring, id string) {
	if d.trusted == nil {
		return
	}
	const check = "keyring and bundle"
	k, known := d.trusted.byID[id]
	switch {
	case !known:
		d.problem(check,
			"`sealbus keys export`, `sealbus trust add`, `sealbus trust build`, and publish the bundle",
			"the bundle does not know key %s, which signs now: its events are refused as unknown_key",
			ui.ShortID(id))
	case k.Producer != ring.Producer():
		d.problem(check, "correct the policy: a key belongs to one producer",
			"the bundle has key %s for producer %s, not %s", ui.ShortID(id), k.Producer, ring.Producer())
	case k.Revoked != nil:
		d.problem(check, "make a key with `sealbus keys new`, and have it added to the policy",
			"key %s, which signs now, is revoked", ui.ShortID(id))
	case !k.Schedule.SignsAt(d.env.Now()):
		d.problem(check, "give the key the same schedule in the policy as in the keyring",
			"key %s signs now, but in the bundle it is %s: its events are refused as key_not_valid",
			ui.ShortID(id), k.StateAt(d.env.Now()))
	case k.Tainted:
		d.warning(check, "make a key with `sealbus keys new`, and have it added to the policy",
			"key %s, which signs now, is tainted", ui.ShortID(id))
	default:
		d.checkRecordedScope(check, ring, k)
	}
}

// checkRecordedScope compares what the keyring says it may sign for with what the bundle allows.
func (d *doctor) checkRecordedScope(check string, ring *keys.Keyring, k *trust.Key) {
	sources, types := ring.Scope()
	missing := missingPatterns(sources, k.Sources)
	missing = append(missing, missingPatterns(types, k.Types)...)
	if len(missing) > 0 {
		d.warning(check, "add them to the producer in the policy, or leave them out of the keyring",
			"the keyring records %s, which the bundle does not list for key %s", strings.Join(missing, ", "),
			ui.ShortID(k.KeyID()))
		return
	}
	if wait := d.trusted.bundle.KnownAt(k).Sub(d.env.Now()); wait > 0 && k.Before != nil {
		d.ok(check, "the bundle accepts key %s now; all consumers know what is new in %s, and a producer with Trust waits with that",
			ui.ShortID(k.KeyID()), ui.FormatDuration(wait))
		return
	} else if wait > 0 {
		d.ok(check, "the bundle accepts key %s now; all consumers know it in %s, and a producer with Trust waits",
			ui.ShortID(k.KeyID()), ui.FormatDuration(wait))
		return
	}
	d.ok(check, "the bundle accepts key %s now", ui.ShortID(k.KeyID()))
}

func missingPatterns(wanted, listed []string) []string {
	var missing []string
	for _, w := range wanted {
		if !slices.Contains(listed, w) && !slices.Contains(listed, "*") && !covered(w, listed) {
			missing = append(missing, w)
		}
	}
	return missing
}

// covered reports whether a wider pattern with a * at its end is listed.
func covered(pattern string, listed []string) bool {
	return slices.ContainsFunc(listed, func(l string) bool {
		prefix, wide := strings.CutSuffix(l, "*")
		return wide && strings.HasPrefix(pattern, prefix)
	})
}
