package policy

import (
	"crypto/sha256"
	"slices"
	"time"

	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// know sets Since and Before of k, which say how much of its grant consumers know from the bundles before. A
// grant that the previous bundle covers carries on, so that a new bundle does not make the producers wait
// again. Of any other, they go on with the part that every consumer knows by now. after is the wait of
// KnownAt in the new bundle.
func (o *BuildOptions) know(k *trust.Key, after time.Duration) {
	was := o.was(k)
	if was == nil || was.Producer != k.Producer || was.Consumer != k.Consumer {
		return
	}
	from := was.Since
	if from.IsZero() {
		from = o.previousSince()
	}
	if from.After(o.Now) { // one of the clocks is wrong
		from = time.Time{}
	}
	if covers(was, k) {
		if k.Since = from; !from.IsZero() && !o.Now.Before(from.Add(after)) {
			return // all of it is known
		}
	}
	if k.Verifier == nil { // writers do not wait for this
		return
	}
	known := was.Before
	wasAfter := keydoc.KnownAfter(o.Previous.RefreshHint(), o.Previous.Cache())
	if !from.IsZero() && !o.Now.Before(from.Add(wasAfter)) {
		known = grantOf(was)
	}
	if known != nil {
		k.Before = meet(known, grantOf(k))
	}
}

func grantOf(k *trust.Key) *trust.Grant {
	return &trust.Grant{Schedule: k.Schedule, Sources: k.Sources, Types: k.Types, Accounts: k.Accounts}
}

// was is the entry of the key in the previous bundle, if consumers can go by it; nil = they cannot.
func (o *BuildOptions) was(k *trust.Key) *trust.Key {
	if o.Previous == nil {
		return nil
	}
	was := o.Previous.Key(k.KeyID())
	if was == nil || was.Revoked != nil {
		return nil
	}
	if o.Timestamp != nil {
		if _, withheld := o.Timestamp.Revoked[k.KeyID()]; withheld { // and overruled, or revoked now
			return nil
		}
	}
	return was
}

// previousSince is when the previous bundle was first vouched for; zero = nothing proves that it was.
func (o *BuildOptions) previousSince() time.Time {
	switch ts := o.Timestamp; {
	case !o.TimestampKeys:
		return o.Previous.Issued()
	case ts != nil && ts.BundleVersion == o.Previous.Version() &&
		ts.BundleSHA256 == sha256.Sum256(o.Previous.Payload()):
		return ts.BundleSince
	}
	return time.Time{}
}

// meet is what both grants allow; nil = nothing. A part of it would be safe, too: so what is above the limit
// of patterns is left out.
func meet(a, b *trust.Grant) *trust.Grant {
	s, t := a.Schedule, b.Schedule
	g := &trust.Grant{
		Schedule: keys.Schedule{Published: laterOf(s.Published, t.Published), Active: laterOf(s.Active, t.Active),
			Retired: earlierEnd(s.Retired, t.Retired), Expired: earlierEnd(s.Expired, t.Expired)},
		Sources: within(a.Sources, b.Sources, keys.MatchSource), Types: within(a.Types, b.Types, keys.MatchType),
	}
	switch {
	case a.Accounts == nil:
		g.Accounts = b.Accounts
	case b.Accounts == nil:
		g.Accounts = a.Accounts
	default:
		g.Accounts = within(a.Accounts, b.Accounts, never)
	}
	if len(g.Sources) == 0 || len(g.Types) == 0 || g.Accounts != nil && len(g.Accounts) == 0 ||
		g.Schedule.Check() != nil {
		return nil
	}
	return g
}

// within are the patterns of each list that a single pattern of the other allows. Two patterns have in common
// what the narrower one allows, or nothing.
func within(a, b []string, match func([]string, string) bool) []string {
	list := []string{} // not nil, which would allow every account
	for _, pattern := range b {
		if slices.Contains(a, pattern) || match(a, pattern) {
			list = append(list, pattern)
		}
	}
	for _, pattern := range a {
		if !slices.Contains(list, pattern) && match(b, pattern) {
			list = append(list, pattern)
		}
	}
	return list[:min(len(list), keydoc.MaxPatterns)]
}

func laterOf(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlierEnd(a, b time.Time) time.Time {
	if endsLater(a, b) {
		return b
	}
	return a
}

// covers reports whether consumers that know was accept all that is allowed by is, an entry of the same key.
func covers(was, is *trust.Key) bool {
	s, t := was.Schedule, is.Schedule
	return was.Producer == is.Producer && was.Consumer == is.Consumer &&
		!t.Published.Before(s.Published) && !t.Active.Before(s.Active) &&
		!endsLater(t.Retired, s.Retired) && !endsLater(t.Expired, s.Expired) && coversScope(was, is)
}

// endsLater compares two ends, of which zero is never.
func endsLater(end, was time.Time) bool { return !was.IsZero() && (end.IsZero() || end.After(was)) }

func coversScope(was, is *trust.Key) bool {
	return len(beyond(is.Sources, was.Sources, keys.MatchSource)) == 0 &&
		len(beyond(is.Types, was.Types, keys.MatchType)) == 0 &&
		(was.Accounts == nil || is.Accounts != nil && len(beyond(is.Accounts, was.Accounts, never)) == 0)
}

// beyond are the patterns that allow what no single pattern of within allows. A pattern matches the text of a
// narrower one.
func beyond(list, within []string, match func([]string, string) bool) (more []string) {
	for _, pattern := range list {
		if !slices.Contains(within, pattern) && !match(within, pattern) {
			more = append(more, pattern)
		}
	}
	return more
}

// never is the match of what has no patterns.
func never([]string, string) bool { return false }
