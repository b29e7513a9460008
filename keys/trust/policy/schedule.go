package policy

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/sealbus/sealbus/internal/howlong"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// Fault is a moment of the policy file by which consumers would reject, for good, what was honestly signed,
// or by which producers would have no key to sign with.
type Fault struct {
	KeyID string
	Owner string // "producer orders" or "consumer billing"
	Field string // active, retired or expired; "" = the key is not listed any more
	// Earliest is the earliest moment that Field may have or, without a Field, at which the key may go. Zero =
	// no later moment helps; the error says what does.
	Earliest time.Time

	line int // of the key ID in the file; 0 = it is not there
	why  string
}

func (f *Fault) Error() string {
	text := fmt.Sprintf("key %s of %s: %s", f.KeyID, f.Owner, f.why)
	switch {
	case f.Earliest.IsZero():
	case f.Field == "":
		text += "; it may go from " + f.Earliest.Format(timeFormat) + " on"
	default:
		text += "; the earliest " + f.Field + " is " + f.Earliest.Format(timeFormat)
	}
	return (&fileError{line: f.line, err: fmt.Errorf("%s", text)}).Error()
}

// CheckSchedules gives the faults of the schedules, with the arguments that Build would get. Build refuses
// them, but for the keys of UnsafeSchedules. It computes, and asks nothing but its arguments. With N =
// opts.Now and K = 3 x refresh_hint + cache + 5 minutes, the time after which every consumer knows a bundle
// (trust.Bundle.KnownAt), or that of opts.Previous if it is longer:
//
//  1. A signing key that is new, or begins earlier than in opts.Previous: active >= N + K, and >= published
//     + K. A key may begin at once if its producer has no other key that signs now: waiting would save no
//     event.
//  2. A signing key that begins later than in opts.Previous must not have begun, and must not begin before
//     N + K: its events would be rejected.
//  3. A signing key that ends earlier than in opts.Previous: retired >= N + K, since signers hear of it so
//     late.
//  4. The keys of a producer leave no gap in which none of them signs, before the last one begins.
//  5. A signing key is not removed before it is retired or expired.
//  6. expired >= retired + in_flight + 5 minutes, which are for clocks that differ; no expired without
//     retired; and no signing key removed before that.
//
// Rules 1 to 4 hold if the policy has refresh_hint or cache, or with opts.TimestampKeys; rule 5 if it has any
// of the three members, and rule 6 if it has in_flight. Rules 1, 2, 3 and 5 need opts.Previous, because
// without it no consumer knows a key.
// Revoked keys have no faults.
func (p *Policy) CheckSchedules(public []*keys.Verifier, opts BuildOptions) []*Fault {
	now := keydoc.WholeSecond(opts.Now)
	r := &rules{
		policy: p, previous: opts.Previous, now: now,
		inFlightFor: p.InFlight + keydoc.TimestampSkew,
		known:       keydoc.KnownAfter(cmp.Or(p.RefreshHint, opts.RefreshHint), p.Cache),
		live:        p.RefreshHint > 0 || p.Cache > 0 || opts.TimestampKeys,
		postQuantum: map[string]bool{},
	}
	if b := opts.Previous; b != nil { // those who have it look for the next one at its pace
		r.known = max(r.known, keydoc.KnownAfter(b.RefreshHint(), b.Cache()))
	}
	for _, v := range public {
		r.postQuantum[v.KeyID()] = v.Algorithm().PostQuantum()
	}
	for _, o := range p.Producers {
		for i := range o.Keys {
			r.check("producer "+o.Name, o.Keys, &o.Keys[i])
		}
		r.gaps("producer "+o.Name, o.Keys)
	}
	for _, o := range p.Consumers {
		for i := range o.Keys {
			r.inFlight("consumer "+o.Name, &o.Keys[i])
		}
	}
	r.removed()
	r.faults = slices.DeleteFunc(r.faults, func(f *Fault) bool {
		return slices.Contains(opts.UnsafeSchedules, f.KeyID)
	})
	slices.SortStableFunc(r.faults, func(a, b *Fault) int {
		return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.KeyID, b.KeyID))
	})
	return r.faults
}

type rules struct {
	policy      *Policy
	previous    *trust.Bundle // nil = no consumer knows a key
	now         time.Time
	known       time.Duration // after which every consumer has a bundle
	inFlightFor time.Duration // after which no event is in flight
	live        bool
	postQuantum map[string]bool // by key ID
	faults      []*Fault
}

// next is when every consumer knows the bundle that is built now.
func (r *rules) next() time.Time { return r.now.Add(r.known) }

func (r *rules) fault(owner string, k *Key, field string, earliest time.Time, format string, args ...any) {
	r.faults = append(r.faults, &Fault{KeyID: k.ID, Owner: owner, Field: field, Earliest: earliest, line: k.line,
		why: fmt.Sprintf(format, args...)})
}

// was is the key in the previous bundle; nil = no consumer accepts it there.
func (r *rules) was(owner, keyID string) *trust.Key {
	if r.previous == nil {
		return nil
	}
	k := r.previous.Key(keyID)
	if k == nil || k.Revoked != nil || ownerOf(k) != owner {
		return nil
	}
	return k
}

func ownerOf(k *trust.Key) string {
	if k.Recipient != nil {
		return "consumer " + k.Consumer
	}
	return "producer " + k.Producer
}

// check is rules 1, 2, 3 and 6 for a signing key.
func (r *rules) check(owner string, all []Key, k *Key) {
	if k.Revoked != nil {
		return
	}
	if r.live && r.previous != nil {
		if was := r.was(owner, k.ID); was != nil {
			r.moved(owner, k, was)
		} else if ends := endOf(k.Schedule); (ends.IsZero() || ends.After(r.now)) && r.otherSigns(owner, all, k) {
			r.early(owner, k, time.Time{})
		}
	}
	r.inFlight(owner, k)
}

// moved is rules 2 and 3, and rule 1 for a key that is not new.
func (r *rules) moved(owner string, k *Key, was *trust.Key) {
	from, wasFrom := beginOf(k.Schedule), beginOf(was.Schedule)
	switch {
	case from.Before(wasFrom) && wasFrom.After(r.now):
		r.early(owner, k, wasFrom)
	case from.After(wasFrom) && wasFrom.Before(r.next()):
		r.fault(owner, k, "active", time.Time{}, "it begins at %s, and %s in the previous bundle: events that were "+
			"sealed before would be rejected; leave it as it was", from.Format(timeFormat), orAtOnce(wasFrom))
	}
	ends, wasEnds := endOf(k.Schedule), endOf(was.Schedule)
	earliest := sooner(r.next(), wasEnds)
	if !ends.IsZero() && ends.Before(earliest) && wasFrom.Before(r.next()) {
		r.fault(owner, k, endField(k), earliest, "it ends at %s, and signers know that only from %s on: events "+
			"between would be rejected", ends.Format(timeFormat), r.next().Format(timeFormat))
	}
}

// early is rule 1. A key that begins earlier than it did may always begin when it did; zero = it is new.
func (r *rules) early(owner string, k *Key, wasFrom time.Time) {
	earliest := r.next()
	if k.Schedule.Published.After(r.now) {
		earliest = k.Schedule.Published.Add(r.known)
	}
	earliest = sooner(earliest, wasFrom)
	if k.Schedule.Active.Before(earliest) {
		r.fault(owner, k, "active", earliest, "it signs %s, and consumers know it only from %s on (3 x "+
			"refresh_hint + cache + 5m for clocks = %s): events between would be rejected", orAtOnce(k.Schedule.Active),
			earliest.Format(timeFormat), howlong.Short(r.known))
	}
}

// otherSigns reports whether another key of the same kind, which consumers know, signs now.
func (r *rules) otherSigns(owner string, all []Key, k *Key) bool {
	return slices.ContainsFunc(all, func(o Key) bool {
		was := r.was(owner, o.ID)
		return o.ID != k.ID && r.postQuantum[o.ID] == r.postQuantum[k.ID] && o.Revoked == nil && was != nil &&
			o.Schedule.SignsAt(r.now) && was.Schedule.SignsAt(r.now)
	})
}

// gaps is rule 4, for the classical keys and for those of ML-DSA, which sign side by side.
func (r *rules) gaps(owner string, all []Key) {
	for _, postQuantum := range []bool{false, true} {
		var list []*Key
		for i := range all {
			k := &all[i]
			if ends := endOf(k.Schedule); r.live && k.Revoked == nil && r.postQuantum[k.ID] == postQuantum &&
				(ends.IsZero() || ends.After(r.now)) {
				list = append(list, k)
			}
		}
		slices.SortStableFunc(list, func(a, b *Key) int {
			return beginOf(a.Schedule).Compare(beginOf(b.Schedule))
		})
		var last *Key // of those so far, the one that ends last
		for _, k := range list {
			from := beginOf(k.Schedule)
			if last != nil && endOf(last.Schedule).Before(from) {
				r.fault(owner, last, endField(last), from, "it ends at %s, and the next key signs from %s on: "+
					"between, no key signs", endOf(last.Schedule).Format(timeFormat), from.Format(timeFormat))
			}
			ends := endOf(k.Schedule)
			if ends.IsZero() {
				break
			}
			if last == nil || endOf(last.Schedule).Before(ends) {
				last = k
			}
		}
	}
}

// inFlight is rule 6 for a key that is listed.
func (r *rules) inFlight(owner string, k *Key) {
	retired, expired := k.Schedule.Retired, k.Schedule.Expired
	was := r.was(owner, k.ID)
	over := !expired.After(r.now) && (was == nil || was.Schedule.Expired.Equal(expired))
	if r.policy.InFlight == 0 || k.Revoked != nil || expired.IsZero() || over {
		return
	}
	if retired.IsZero() {
		r.fault(owner, k, "expired", time.Time{}, "it is used until it expires at %s, and what is in flight then "+
			"would be rejected: add retired, %s at the latest", expired.Format(timeFormat),
			expired.Add(-r.inFlightFor).Format(timeFormat))
		return
	}
	used := retired
	if was != nil && was.Recipient != nil && r.live { // producers hear of an earlier end late
		if ended := sooner(r.next(), endOf(was.Schedule)); ended.After(used) {
			used = ended
		}
	}
	if earliest := used.Add(r.inFlightFor); expired.Before(earliest) {
		r.fault(owner, k, "expired", earliest, "it expires at %s, and is used until %s: what is in flight for %s "+
			"(in_flight, and 5m for clocks) would be rejected", expired.Format(timeFormat), used.Format(timeFormat),
			howlong.Short(r.policy.InFlight))
	}
}

// removed is rules 5 and 6 for signing keys that are not listed any more.
func (r *rules) removed() {
	if p := r.policy; r.previous == nil || p.RefreshHint == 0 && p.Cache == 0 && p.InFlight == 0 {
		return
	}
	for _, was := range r.previous.SigningKeys() {
		owner := ownerOf(was)
		if now, _ := r.policy.find(was.KeyID()); now == owner || was.Revoked != nil ||
			!beginOf(was.Schedule).Before(r.next()) {
			continue
		}
		gone := was.Schedule.Expired
		if retired := was.Schedule.Retired; !retired.IsZero() {
			gone = sooner(retired.Add(r.inFlightFor), gone)
		}
		k := &Key{ID: was.KeyID()}
		switch {
		case gone.IsZero():
			r.fault(owner, k, "", gone, "it signs for ever in the previous bundle, and is not listed any more: "+
				"give it retired and expired first, or revoke it")
		case gone.After(r.now):
			r.fault(owner, k, "", gone, "it is not listed any more, and its events may be in flight")
		}
	}
}

// beginOf is from when a key of that schedule is accepted; zero = from the start.
func beginOf(s keys.Schedule) time.Time {
	if s.Active.Before(s.Published) {
		return s.Published
	}
	return s.Active
}

// sooner is the earlier of two ends, of which zero is never.
func sooner(a, b time.Time) time.Time {
	if b.IsZero() || !a.IsZero() && a.Before(b) {
		return a
	}
	return b
}

func endField(k *Key) string {
	if k.Schedule.Retired.IsZero() {
		return "expired"
	}
	return "retired"
}

func orAtOnce(t time.Time) string {
	if t.IsZero() {
		return "at once"
	}
	return "from " + t.Format(timeFormat)
}
