// Package policy reads and edits the reviewed policy file that a trust bundle is built from.
//
//	version: 1
//	refresh_hint: 5m                        # optional: how often consumers look for a newer bundle
//	cache: 1h                               # optional: how long a cache may serve an old bundle to them
//	in_flight: 30d                          # optional: how old an event may be that is still to be handled
//	producers:
//	  orders:
//	    sources: ["https://orders.example/*"]
//	    types: ["com.example.order.*"]
//	    accounts: ["111122223333"]          # absent = unchecked, empty = none
//	    keys:
//	      uS1F0O3Vc2lFS0sYJYrZb9s0bW1S3aXrLl9wJ3nJ0nU:
//	        active: 2026-01-01T00:00:00Z    # published, active, retired, expired: RFC 3339, UTC
//	        tainted: true                   # prefer another key; or {reason: moves to KMS}
//	        revoked: {at: 2026-02-01T00:00:00Z, reason: laptop stolen}
//	consumers:
//	  billing:
//	    keys: {...}                         # encryption keys
//
// A bundle is built only from this file and public keys, and only the file
// says what a submitted key may do. The schedule in an exported key is only compared with it (CheckKeyrings).
//
// # Threat model
//
// An attacker who submits a key wants it to be trusted for more than was reviewed. So keys that are submitted
// and not listed are refused, and so are keys that are listed and not submitted. An attacker who proposes a
// change of the file wants the reviewer to read something else than the program does. So these are refused,
// with line and column: unknown fields, duplicates, anchors, aliases, merge keys, tags, directives, a second
// document, every character that does not show (tabs, too), more than 100 spaces in a row, and a text that is
// not in the file letter by letter, because it has an escape ("\x2a" is a "*" that a reviewer does not see)
// or several lines. The repository in which the file is reviewed controls who may change it. The root keys
// control who may publish a bundle of it.
//
// # Stability
//
// YAML is confined to this package. The file format is stable at version 1.
package policy

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/sealbus/sealbus/internal/howlong"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// Policy is a parsed and checked policy file.
type Policy struct {
	RefreshHint time.Duration // see trust.BundleOptions; 0 = the file does not say
	Cache       time.Duration // see trust.BundleOptions; 0 = the file does not say
	// InFlight is how long after it was sealed an event may still be handled: the time in the queue and in the
	// dead-letter queue, until the redrive and the reopening. 0 = the file does not say.
	InFlight time.Duration

	Producers []Producer // in the order of the file
	Consumers []Consumer // in the order of the file
}

// Producer is the keys of one producer, with the sources and types that they may sign.
type Producer struct {
	Name     string
	Sources  []string // none = nothing is allowed
	Types    []string // none = nothing is allowed
	Accounts []string // nil = unchecked, empty = none
	Keys     []Key
}

// Consumer is the encryption keys of one consumer.
type Consumer struct {
	Name string
	Keys []Key
}

// Key is one key ID with its schedule.
type Key struct {
	ID       string
	Schedule keys.Schedule
	Revoked  *trust.Revocation // nil = not revoked
	Tainted  bool              // see trust.Key
	// TaintReason is for the reviewers; the bundle does not have it. "" = none is given.
	TaintReason string

	line int // of the key ID in the file
}

// fileError is a fault in a policy file, with its place.
type fileError struct {
	line   int // from 1; 0 = the whole file
	column int // in characters, from 1; 0 = the whole line
	err    error
}

func (e *fileError) Error() string {
	if e.line == 0 {
		return "policy: " + e.err.Error()
	}
	if e.column == 0 {
		return fmt.Sprintf("policy: line %d: %v", e.line, e.err)
	}
	return fmt.Sprintf("policy: line %d, column %d: %v", e.line, e.column, e.err)
}

func (e *fileError) Unwrap() error { return e.err }

// BuildOptions is what a bundle has and the policy does not.
type BuildOptions struct {
	Now     time.Time // when the bundle is issued; required
	Expires time.Time // required; after Now

	// Previous is the bundle that this one follows: the version is one higher and its revoked sessions stay
	// revoked. nil = this is version 1.
	Previous *trust.Bundle
	// MaxLifetime is the longest time from Now to Expires; 0 = trust.MaxBundleLifetime, or 400 days with
	// TimestampKeys.
	MaxLifetime     time.Duration
	RefreshHint     time.Duration     // see trust.BundleOptions; 0 or the same as the policy's, if that has one
	RevokedSessions []string          // thumbprints, in addition to those of Previous
	Recipients      []*keys.Recipient // the consumers' public keys: exactly those that the policy lists

	// TimestampKeys says that the roots name timestamp keys. A bundle that lives for more than 7 days then
	// counts only together with a timestamp.
	TimestampKeys bool
	// Timestamp is the newest timestamp, which the bundle takes over: the policy must revoke each key that it
	// revokes, or Overrule must name the key. nil = none.
	Timestamp *trust.Timestamp
	Overrule  []string // IDs that Timestamp revokes and that are to count again

	// Widen are the producers and consumers that may get more than they have in Previous, "all" = each of them.
	Widen []string
	// UnsafeSchedules are the IDs of keys of which events may be lost: see CheckSchedules.
	UnsafeSchedules []string
}

// Build makes the bundle of the policy and the submitted public keys, which must be exactly the keys that the
// policy lists. It refuses schedules that lose events, see CheckSchedules, and a *WideningError that
// opts.Widen does not name. The error names every key that does not fit.
func (p *Policy) Build(public []*keys.Verifier, opts BuildOptions) (*trust.Bundle, error) {
	if err := opts.check(); err != nil {
		return nil, err
	}
	submitted := map[string]*keys.Verifier{}
	for _, v := range public {
		submitted[v.KeyID()] = v
	}
	encryption := map[string]*keys.Recipient{}
	for _, r := range opts.Recipients {
		encryption[r.KeyID()] = r
	}
	if err := errors.Join(p.checkProducers(submitted), p.checkConsumers(encryption),
		p.checkTakenOver(&opts), p.checkRefreshHint(&opts)); err != nil {
		return nil, err
	}
	var faults []error
	for _, f := range p.CheckSchedules(public, opts) {
		faults = append(faults, f)
	}
	if err := errors.Join(append(faults, p.checkWidening(&opts))...); err != nil {
		return nil, err
	}
	list, head := p.bundleKeys(submitted, encryption), p.head(opts)
	for _, k := range list {
		opts.know(k, keydoc.KnownAfter(head.RefreshHint, head.Cache))
	}
	return trust.NewBundle(head, list...)
}

func (p *Policy) checkRefreshHint(o *BuildOptions) error {
	if p.RefreshHint > 0 && o.RefreshHint > 0 && p.RefreshHint != o.RefreshHint {
		return &fileError{err: fmt.Errorf("refresh_hint is %s here, and %s is asked for", howlong.Short(p.RefreshHint),
			howlong.Short(o.RefreshHint))}
	}
	return nil
}

func (o *BuildOptions) check() error {
	most := o.MaxLifetime
	switch {
	case most == 0 && o.TimestampKeys:
		most = keydoc.MaxVouchedFor
	case most == 0:
		most = trust.MaxBundleLifetime
	}
	switch {
	case o.Now.IsZero():
		return errors.New("policy: no time to issue the bundle at")
	case !o.Now.Before(o.Expires):
		return errors.New("policy: the bundle would be expired from the start")
	case o.Expires.Sub(o.Now) > most:
		return fmt.Errorf("policy: the bundle would live for %s, at most %s is allowed: a withheld revocation takes effect only when it expires",
			howlong.Text(o.Expires.Sub(o.Now)), most)
	}
	return nil
}

// checkTakenOver refuses a policy that says nothing on a key which the timestamp revokes. Once the bundle is
// published, consumers no longer remember that revocation.
func (p *Policy) checkTakenOver(o *BuildOptions) error {
	ts := o.Timestamp
	if ts == nil {
		ts = &trust.Timestamp{}
	}
	var errs []error
	for _, id := range o.Overrule {
		_, isKey := ts.Revoked[id]
		if _, isSession := ts.RevokedSessions[id]; !isKey && !isSession {
			errs = append(errs, &fileError{err: fmt.Errorf("key %s is to be overruled, "+
				"and no timestamp that is taken over revokes it", id)})
		}
	}
	if ts.Version > maxTakenOver {
		errs = append(errs, &fileError{err: errors.New("too few timestamps can follow this one, which no honest " +
			"signer reaches: give the roots another timestamp key")})
	}
	for _, k := range p.allKeys() {
		r, ok := ts.Revoked[k.ID]
		if ok && k.Revoked == nil && !slices.Contains(o.Overrule, k.ID) {
			errs = append(errs, &fileError{line: k.line, err: fmt.Errorf("key %s is revoked by timestamp %d (%s): "+
				"revoke it here, too (trust revoke), or overrule that", k.ID, ts.Version, r.Reason)})
		}
	}
	return joinSorted(errs)
}

// maxTakenOver is the highest version of a timestamp that a bundle decides on. No later bundle can decide on
// a lower one, and versions end at 2^53-1: the thief of a timestamp key could leave none for its successor.
const maxTakenOver = 1 << 52

func (p *Policy) allKeys() (list []Key) {
	for _, o := range p.Producers {
		list = append(list, o.Keys...)
	}
	for _, o := range p.Consumers {
		list = append(list, o.Keys...)
	}
	return list
}

// sessions are the IDs that the timestamp revokes, are not overruled and are no keys of the policy.
func (p *Policy) sessions(o *BuildOptions) (list []string) {
	isKey := map[string]bool{}
	for _, k := range p.allKeys() {
		isKey[k.ID] = true
	}
	ids := slices.Collect(maps.Keys(o.Timestamp.RevokedSessions))
	for _, id := range slices.AppendSeq(ids, maps.Keys(o.Timestamp.Revoked)) {
		if !isKey[id] && !slices.Contains(o.Overrule, id) {
			list = append(list, id)
		}
	}
	return list
}

// checkProducers names the listed keys that were not submitted, and the submitted keys that are not listed.
func (p *Policy) checkProducers(submitted map[string]*keys.Verifier) error {
	var errs []error
	listed := map[string]bool{}
	for _, producer := range p.Producers {
		for _, k := range producer.Keys {
			listed[k.ID] = true
			if submitted[k.ID] == nil {
				errs = append(errs, missing(k, "producer "+producer.Name))
			}
		}
	}
	for id := range submitted {
		if !listed[id] {
			errs = append(errs, p.unlisted(id))
		}
	}
	return joinSorted(errs)
}

func (p *Policy) checkConsumers(submitted map[string]*keys.Recipient) error {
	var errs []error
	listed := map[string]bool{}
	for _, consumer := range p.Consumers {
		for _, k := range consumer.Keys {
			listed[k.ID] = true
			if submitted[k.ID] == nil {
				errs = append(errs, missing(k, "consumer "+consumer.Name))
			}
		}
	}
	for id := range submitted {
		if !listed[id] {
			errs = append(errs, p.unlisted(id))
		}
	}
	return joinSorted(errs)
}

// CheckKeyrings compares the policy with the owners and schedules of the keyrings, as far as public has them.
// A signing key must be listed under the producer that owns its keyring. The policy must accept it from the
// time at which the keyring signs with it until the next key takes over. Otherwise consumers would reject its
// events for good. An encryption key must be listed under the consumer that owns its keyring. The keyring
// must open with it for as long as the policy has producers encrypt to it. Keys that are revoked, or have
// expired at now, are not compared.
func (p *Policy) CheckKeyrings(public []keys.PublicKey, now time.Time) error {
	keyrings := map[string]*keys.PublicKey{}
	for i := range public {
		if public[i].Producer != "" {
			keyrings[public[i].KeyID()] = &public[i]
		}
	}
	errs := p.checkIdentities(public, now)
	for _, producer := range p.Producers {
		for _, k := range producer.Keys {
			keyring := keyrings[k.ID]
			if keyring == nil || k.Revoked != nil || k.Schedule.StateAt(now) == keys.StateExpired {
				continue
			}
			if keyring.Producer != producer.Name {
				errs = append(errs, &fileError{line: k.line,
					err: fmt.Errorf("key %s is listed under producer %s, "+
						"and its keyring is that of producer %s: consumers would reject its events", k.ID,
						producer.Name, keyring.Producer)})
			}
			if err := checkStart(k.Schedule, keyring.Schedule); err != nil {
				errs = append(errs, &fileError{line: k.line, err: fmt.Errorf("key %s: %w", k.ID, err)})
			}
			until, known := signsUntil(keyring, public)
			if err := k.checkEnds(until, known, now); err != nil {
				errs = append(errs, &fileError{line: k.line, err: err})
			}
		}
	}
	return joinSorted(errs)
}

// checkIdentities is CheckKeyrings for the keys of consumers. If a key were listed under another consumer's
// name, producers would encrypt to a consumer that must not read the events.
func (p *Policy) checkIdentities(public []keys.PublicKey, now time.Time) (errs []error) {
	keyrings := map[string]*keys.PublicKey{}
	for i := range public {
		if public[i].Consumer != "" {
			keyrings[public[i].KeyID()] = &public[i]
		}
	}
	for _, consumer := range p.Consumers {
		for _, k := range consumer.Keys {
			keyring := keyrings[k.ID]
			if keyring == nil || k.Revoked != nil || k.Schedule.StateAt(now) == keys.StateExpired {
				continue
			}
			if keyring.Consumer != consumer.Name {
				errs = append(errs, &fileError{line: k.line,
					err: fmt.Errorf("key %s is listed under consumer %s, "+
						"and its keyring is that of consumer %s, which would read instead", k.ID,
						consumer.Name,
						keyring.Consumer)})
			}
			opens, until := keyring.Schedule.Expired, endOf(k.Schedule)
			if !opens.IsZero() && (until.IsZero() || until.After(opens)) {
				errs = append(errs, &fileError{line: k.line,
					err: fmt.Errorf("key %s: its keyring opens with it until %s only, "+
						"and what is encrypted to it later would be rejected (not_a_recipient): give it an earlier retired",
						k.ID, opens.UTC().Format(timeFormat))})
			}
		}
	}
	return errs
}

// checkStart refuses a schedule of the policy that begins later than the schedule by which the keyring signs.
// Consumers would reject the events that are sealed between the two (key_not_valid). An earlier beginning is
// harmless. checkEnds compares the ends.
func checkStart(listed, keyring keys.Schedule) error {
	from := "from the start"
	if !keyring.Active.IsZero() {
		from = "from " + keyring.Active.UTC().Format(timeFormat)
	}
	for _, bound := range []struct {
		name string
		at   time.Time
	}{{"active", listed.Active}, {"published", listed.Published}} {
		if bound.at.After(keyring.Active.UTC().Truncate(time.Second)) {
			return fmt.Errorf("%s %s is too late: its keyring signs with it %s, "+
				"and events between would be rejected (key_not_valid)",
				bound.name, bound.at.UTC().Format(timeFormat), from)
		}
	}
	return nil
}

// checkEnds refuses a key that ends before its keyring stops signing with it; see signsUntil.
func (k *Key) checkEnds(until time.Time, known bool, now time.Time) error {
	is := until.Format(timeFormat)
	if until.IsZero() {
		is = "for ever, as it does again when the next key ends"
	} else {
		is, known = "until "+is, until.After(now)
	}
	for _, end := range []struct {
		name string
		at   time.Time
	}{{"retired", k.Schedule.Retired}, {"expired", k.Schedule.Expired}} {
		if known && !end.at.IsZero() && (until.IsZero() || until.After(end.at)) {
			return fmt.Errorf("key %s: %s %s is too early: its keyring signs with it %s, "+
				"and events between would be rejected (key_not_valid)", k.ID, end.name,
				end.at.Format(timeFormat), is)
		}
	}
	return nil
}

// signsUntil is when the keyring stops signing with the key, as far as public shows it: when the key ends, or
// when another key of its kind that does not end earlier takes over (keys.Keyring.Signers). Zero = it never
// stops. The time is not known if public has neither an end of the key nor a key that takes over.
func signsUntil(key *keys.PublicKey, public []keys.PublicKey) (until time.Time, known bool) {
	until = endOf(key.Schedule)
	known = !until.IsZero()
	for again := true; again; {
		again = false
		for _, next := range public {
			at := next.Schedule.Active
			if next.Verifier == nil || next.Producer != key.Producer || !at.After(key.Schedule.Active) ||
				next.Verifier.Algorithm().PostQuantum() != key.Verifier.Algorithm().PostQuantum() {
				continue
			}
			known = true
			end := endOf(next.Schedule)
			covers := end.IsZero() || !until.IsZero() && !end.Before(until)
			if covers && (until.IsZero() || at.Before(until)) {
				until, again = at, true
			}
		}
	}
	return until, known
}

// endOf is when a key of that schedule goes out of use; zero = never.
func endOf(s keys.Schedule) time.Time {
	if s.Retired.IsZero() || !s.Expired.IsZero() && s.Expired.Before(s.Retired) {
		return s.Expired
	}
	return s.Retired
}

func missing(k Key, of string) error {
	return &fileError{line: k.line,
		err: fmt.Errorf("key %s of %s is listed but was not submitted: give its public JWK, or take it out of the policy", k.ID, of)}
}

func (p *Policy) unlisted(id string) error {
	if owner, line := p.find(id); owner != "" {
		return &fileError{line: line,
			err: fmt.Errorf("key %s is listed under %s, whose keys are for another use", id, owner)}
	}
	return &fileError{err: fmt.Errorf("key %s was submitted but is not listed: have it reviewed and added under its producer (trust add), or do not submit it", id)}
}

func (p *Policy) find(id string) (owner string, line int) {
	for _, producer := range p.Producers {
		for _, k := range producer.Keys {
			if k.ID == id {
				return "producer " + producer.Name, k.line
			}
		}
	}
	for _, consumer := range p.Consumers {
		for _, k := range consumer.Keys {
			if k.ID == id {
				return "consumer " + consumer.Name, k.line
			}
		}
	}
	return "", 0
}

// joinSorted joins errors in the order of their text, so that the same input gives the same message.
func joinSorted(errs []error) error {
	slices.SortFunc(errs, func(a, b error) int {
		if a.Error() < b.Error() {
			return -1
		}
		return 1
	})
	return errors.Join(errs...)
}

func (p *Policy) head(o BuildOptions) trust.BundleOptions {
	head := trust.BundleOptions{
		Version: 1, Issued: o.Now, Expires: o.Expires,
		RefreshHint: cmp.Or(p.RefreshHint, o.RefreshHint), Cache: p.Cache,
		RevokedSessions: slices.Clone(o.RevokedSessions),
	}
	if o.Previous != nil {
		head.Version = o.Previous.Version() + 1
		head.RevokedSessions = append(head.RevokedSessions, o.Previous.RevokedSessions()...)
		head.Timestamps = o.Previous.Timestamps()
	}
	if o.Timestamp != nil {
		head.RevokedSessions = append(head.RevokedSessions, p.sessions(&o)...)
		head.Timestamps = max(head.Timestamps, o.Timestamp.Version)
	}
	head.TimestampRequired = o.TimestampKeys && o.Expires.Sub(o.Now) > trust.MaxBundleLifetime
	slices.Sort(head.RevokedSessions)
	head.RevokedSessions = slices.Compact(head.RevokedSessions)
	return head
}

func (p *Policy) bundleKeys(submitted map[string]*keys.Verifier,
	encryption map[string]*keys.Recipient) []*trust.Key {
	var list []*trust.Key
	for _, producer := range p.Producers {
		for _, k := range producer.Keys {
			list = append(list, &trust.Key{
				Verifier: submitted[k.ID], Producer: producer.Name,
				Sources: producer.Sources, Types: producer.Types, Accounts: producer.Accounts,
				Schedule: k.Schedule, Revoked: k.Revoked, Tainted: k.Tainted,
			})
		}
	}
	for _, consumer := range p.Consumers {
		for _, k := range consumer.Keys {
			list = append(list, &trust.Key{
				Recipient: encryption[k.ID], Consumer: consumer.Name, Schedule: k.Schedule,
				Revoked: k.Revoked, Tainted: k.Tainted,
			})
		}
	}
	return list
}
