package policy

import (
	"crypto/sha256"
	"slices"
	"time"

	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// since is when the grant of k was first vouched for: zero = with the bundle that is built. A grant that the
// previous bundle covers carries on, so that a new bundle does not make the producers wait again.
func (o *BuildOptions) since(k *trust.Key) time.Time {
	if o.Previous == nil {
		return time.Time{}
	}
	was := o.Previous.Key(k.KeyID())
	if was == nil || was.Revoked != nil || !covers(was, k) {
		return time.Time{}
	}
	if o.Timestamp != nil {
		if _, withheld := o.Timestamp.Revoked[k.KeyID()]; withheld { // and overruled, or revoked now
			return time.Time{}
		}
	}
	if from := was.Since; !from.IsZero() {
		return from
	}
	if from := o.previousSince(); !from.After(o.Now) {
		return from
	}
	return time.Time{} // one of the clocks is wrong
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
