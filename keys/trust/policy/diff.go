package policy

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sealbus/sealbus/internal/howlong"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// Grants are what a bundle or a policy file allows, in a form in which both can be compared.
type Grants struct {
	keys                  map[string]*trust.Key // by key ID; those of a policy file have no public key
	refreshHint, cache    time.Duration
	inFlight              time.Duration // of a policy file
	reasons               map[string]string
	isPolicy, hasSettings bool

	issued   time.Time // of a bundle
	sessions []string  // that a bundle revokes, sorted
}

// GrantsOf are the grants of the bundle.
func GrantsOf(b *trust.Bundle) *Grants {
	g := &Grants{keys: map[string]*trust.Key{}, refreshHint: b.RefreshHint(), cache: b.Cache(), hasSettings: true,
		issued: b.Issued(), sessions: b.RevokedSessions()}
	for _, k := range slices.Concat(b.SigningKeys(), b.EncryptionKeys()) {
		g.keys[k.KeyID()] = k
	}
	return g
}

// Grants are the grants of the policy. A producer or consumer without keys has none.
func (p *Policy) Grants() *Grants {
	g := &Grants{keys: map[string]*trust.Key{}, refreshHint: p.RefreshHint, cache: p.Cache, inFlight: p.InFlight,
		reasons: map[string]string{}, isPolicy: true, hasSettings: p.RefreshHint > 0 || p.Cache > 0}
	for _, o := range p.Producers {
		for _, k := range o.Keys {
			g.keys[k.ID] = &trust.Key{Producer: o.Name, Sources: o.Sources, Types: o.Types, Accounts: o.Accounts,
				Schedule: k.Schedule, Revoked: k.Revoked, Tainted: k.Tainted}
			g.reasons[k.ID] = k.TaintReason
		}
	}
	for _, o := range p.Consumers {
		for _, k := range o.Keys {
			g.keys[k.ID] = &trust.Key{Consumer: o.Name, Schedule: k.Schedule, Revoked: k.Revoked, Tainted: k.Tainted}
			g.reasons[k.ID] = k.TaintReason
		}
	}
	return g
}

// Change is one difference of two Grants.
type Change struct {
	Kind     string `json:"kind"`     // such as "types" or "revoked"; see docs/trust.md
	Widening bool   `json:"widening"` // it allows what was not allowed
	Producer string `json:"producer,omitempty"`
	Consumer string `json:"consumer,omitempty"`
	KeyID    string `json:"kid,omitempty"` // "" = it is not of one key
	Text     string `json:"text"`          // a sentence without a full stop
}

// Diff tells in sentences what changed, the widenings first. A new key of a name that had one is no widening
// if one of the earlier keys of that name was allowed all that the new one is: that is rotation. A key that
// was of another name is a widening. Version, issued and expires are no grants.
func Diff(was, is *Grants) []Change {
	d := newDiffer(was, is)
	for _, id := range slices.Sorted(maps.Keys(is.keys)) {
		d.id, d.key = id, is.keys[id]
		if old := was.keys[id]; old != nil && sameOwner(old, d.key) {
			d.changed(old)
		} else {
			d.added()
		}
	}
	for _, id := range slices.Sorted(maps.Keys(was.keys)) {
		d.id, d.key = id, was.keys[id]
		if now := is.keys[id]; now == nil || !sameOwner(now, d.key) {
			d.removed()
		}
	}
	d.settings()
	d.sessions()
	slices.SortStableFunc(d.list, func(a, b Change) int {
		if a.Widening != b.Widening {
			if a.Widening {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(a.Producer, b.Producer), cmp.Compare(a.Consumer, b.Consumer),
			cmp.Compare(a.KeyID, b.KeyID))
	})
	return d.list
}

func sameOwner(a, b *trust.Key) bool { return a.Producer == b.Producer && a.Consumer == b.Consumer }

// differ compares key by key.
type differ struct {
	was, is *Grants
	id      string
	key     *trust.Key // of that ID
	list    []Change
	told    map[Change]bool            // those of list
	owned   map[[2]string][]*trust.Key // of was, by owner
	left    map[[2]string]bool         // owners of is
}

func newDiffer(was, is *Grants) *differ {
	d := &differ{was: was, is: is, told: map[Change]bool{}, owned: map[[2]string][]*trust.Key{}, left: map[[2]string]bool{}}
	for _, id := range slices.Sorted(maps.Keys(was.keys)) {
		k := was.keys[id]
		d.owned[[2]string{k.Producer, k.Consumer}] = append(d.owned[[2]string{k.Producer, k.Consumer}], k)
	}
	for _, k := range is.keys {
		d.left[[2]string{k.Producer, k.Consumer}] = true
	}
	return d
}

// note adds a change of one key, or of its owner. A change that all keys of a producer share is told once.
func (d *differ) note(kind string, widening, ofKey bool, format string, args ...any) {
	c := Change{Kind: kind, Widening: widening, Producer: d.key.Producer, Consumer: d.key.Consumer,
		Text: fmt.Sprintf(format, args...)}
	if ofKey {
		c.KeyID = d.id
	}
	if !d.told[c] {
		d.told[c] = true
		d.list = append(d.list, c)
	}
}

func (d *differ) owner() string { return d.key.Producer + d.key.Consumer }

// earlier are the keys that the owner of the key had.
func (d *differ) earlier() []*trust.Key { return d.owned[[2]string{d.key.Producer, d.key.Consumer}] }

// added tells of a new key.
func (d *differ) added() {
	earlier, k := d.earlier(), d.key
	switch {
	case len(earlier) == 0 && k.Consumer != "":
		d.note("consumer", true, false, "%s may now read what is encrypted to it", k.Consumer)
	case len(earlier) == 0:
		text := fmt.Sprintf("%s is new: it may say %s for %s", k.Producer, words(k.Types), words(k.Sources))
		if k.Accounts != nil {
			text += ", from account " + words(k.Accounts)
		}
		d.note("producer", true, false, "%s", text)
	case k.Producer != "" && !slices.ContainsFunc(earlier, func(o *trust.Key) bool { return coversScope(o, k) }):
		union := &trust.Key{Accounts: []string{}}
		for _, o := range earlier {
			union.Sources, union.Types = append(union.Sources, o.Sources...), append(union.Types, o.Types...)
			if o.Accounts == nil || union.Accounts == nil {
				union.Accounts = nil
			} else {
				union.Accounts = append(union.Accounts, o.Accounts...)
			}
		}
		before := len(d.list)
		if d.scope(union, true); len(d.list) == before && coversScope(union, k) {
			d.note("key", true, true, "new key %s of %s may do more than each of its earlier keys", d.id, k.Producer)
		}
	}
	if was := d.was.keys[d.id]; was != nil {
		text := fmt.Sprintf("key %s was of %s: those who have it are now taken for %s", d.id, was.Producer+was.Consumer,
			d.owner())
		if was.Revoked != nil {
			text += " (it was revoked: " + was.Revoked.Reason + ")"
		}
		d.note("key", true, true, "%s", text)
	}
	d.note("key", false, true, "key %s of %s is new%s", d.id, d.owner(), d.scheduleText())
	d.aliases(nil)
	d.since(&trust.Key{})
	if k.Revoked != nil {
		d.note("revoked", false, true, "key %s of %s is revoked: %s", d.id, d.owner(), k.Revoked.Reason)
	}
	if k.Tainted {
		d.tainted()
	}
}

func (d *differ) scheduleText() (text string) {
	for _, m := range moments(&d.key.Schedule) {
		if !m.at.IsZero() {
			text += ", " + m.name + " " + m.at.Format(timeFormat)
		}
	}
	return text
}

// changed tells what is different of a key.
func (d *differ) changed(was *trust.Key) {
	k := d.key
	if k.Producer != "" {
		d.scope(was, false)
	}
	d.schedule(was)
	d.aliases(was.Aliases)
	d.since(was)
	switch {
	case was.Revoked != nil && k.Revoked != nil &&
		(!was.Revoked.At.Equal(k.Revoked.At) || was.Revoked.Reason != k.Revoked.Reason):
		// Some consumers accept what was sealed before (envelope.Unsafe.AcceptBeforeRevocation).
		d.note("revoked", k.Revoked.At.After(was.Revoked.At), true, "key %s of %s is revoked as of %s (%s), and not as of %s (%s)",
			d.id, d.owner(), k.Revoked.At.Format(timeFormat), k.Revoked.Reason, was.Revoked.At.Format(timeFormat),
			was.Revoked.Reason)
	case was.Revoked == nil && k.Revoked != nil:
		d.note("revoked", false, true, "key %s of %s is revoked: %s", d.id, d.owner(), k.Revoked.Reason)
	case was.Revoked != nil && k.Revoked == nil:
		d.note("revoked", true, true, "key %s of %s is no longer revoked (it was: %s)", d.id, d.owner(),
			was.Revoked.Reason)
	}
	switch {
	case !was.Tainted && k.Tainted:
		d.tainted()
	case was.Tainted && !k.Tainted:
		d.note("tainted", false, true, "key %s of %s is no longer tainted", d.id, d.owner())
	}
}

func (d *differ) tainted() {
	text := fmt.Sprintf("key %s of %s is tainted: another key is preferred", d.id, d.owner())
	if reason := d.is.reasons[d.id]; reason != "" {
		text += " (" + reason + ")"
	}
	d.note("tainted", false, true, "%s", text)
}

// scope compares what the key may speak for; onlyMore = and leaves out what it may not.
func (d *differ) scope(was *trust.Key, onlyMore bool) {
	k := d.key
	for _, part := range []struct {
		kind, more, less string
		was, is          []string
		match            func([]string, string) bool
	}{
		{"types", "may now also say", "may no longer say", was.Types, k.Types, keys.MatchType},
		{"sources", "may now also speak for", "may no longer speak for", was.Sources, k.Sources, keys.MatchSource},
	} {
		if more := beyond(part.is, part.was, part.match); len(more) > 0 {
			d.note(part.kind, true, false, "%s %s %s", k.Producer, part.more, words(more))
		}
		if less := beyond(part.was, part.is, part.match); len(less) > 0 && !onlyMore {
			d.note(part.kind, false, false, "%s %s %s", k.Producer, part.less, words(less))
		}
	}
	more, less := beyond(k.Accounts, was.Accounts, never), beyond(was.Accounts, k.Accounts, never)
	switch {
	case was.Accounts != nil && k.Accounts == nil:
		d.note("accounts", true, false, "%s may now speak from every AWS account", k.Producer)
	case was.Accounts == nil && k.Accounts != nil && !onlyMore:
		d.note("accounts", false, false, "%s may now speak only from account %s", k.Producer, words(k.Accounts))
	case was.Accounts != nil:
		if len(more) > 0 {
			d.note("accounts", true, false, "%s may now also speak from account %s", k.Producer, words(more))
		}
		if len(less) > 0 && !onlyMore {
			d.note("accounts", false, false, "%s may no longer speak from account %s", k.Producer, words(less))
		}
	}
}

// schedule compares the moments.
func (d *differ) schedule(was *trust.Key) {
	verbs := [4]string{"is known", "signs", "signs", "is accepted"}
	if d.key.Consumer != "" {
		verbs = [4]string{"is known", "is encrypted to", "is encrypted to", "opens"}
	}
	old := moments(&was.Schedule)
	for i, m := range moments(&d.key.Schedule) {
		before := old[i].at
		if m.at.Equal(before) {
			continue
		}
		isEnd, wide := i >= 2, m.at.Before(before)
		if isEnd {
			wide = endsLater(m.at, before)
		}
		d.note(m.name, wide && d.key.Revoked == nil, true, "key %s of %s %s %s, and not %s", d.id, d.owner(), verbs[i], when(isEnd, m.at),
			when(isEnd, before))
	}
	if ends := endOf(d.key.Schedule); d.key.Consumer != "" && !ends.IsZero() && endsLater(endOf(was.Schedule), ends) {
		last := ends
		for _, k := range d.is.keys {
			if end := endOf(k.Schedule); k.Consumer == d.key.Consumer && k.Revoked == nil && endsLater(end, last) {
				last = end
			}
		}
		if !last.IsZero() {
			d.note("consumer", false, false, "%s may no longer read as of %s", d.owner(), last.Format(timeFormat))
		}
	}
}

// aliases compares the names under which other implementations sign with the key. A policy file has none.
func (d *differ) aliases(was []string) {
	if more := beyond(d.key.Aliases, was, never); len(more) > 0 {
		d.note("aliases", true, true, "key %s of %s may now also be named %s", d.id, d.owner(), words(more))
	}
	if less := beyond(was, d.key.Aliases, never); len(less) > 0 {
		d.note("aliases", false, true, "key %s of %s may no longer be named %s", d.id, d.owner(), words(less))
	}
}

// since tells of a moment that trust build would not have written: by it, producers sign with the key before
// all consumers know it, or wait for nothing. was is without a key if the key is new.
func (d *differ) since(was *trust.Key) {
	is, carries := d.key.Since, was.KeyID() != "" && covers(was, d.key)
	switch {
	case d.was.issued.IsZero() || d.is.issued.IsZero(): // not of two bundles
	case is.Equal(was.Since) && (is.IsZero() || carries):
	case is.IsZero() && (!carries || was.Revoked != nil): // it begins anew
	case carries && was.Revoked == nil && was.Since.IsZero() && !is.Before(d.was.issued):
	default:
		d.note("since", false, true, "key %s of %s counts as known %s, and not %s", d.id, d.owner(), knownSince(is),
			knownSince(was.Since))
	}
}

func knownSince(at time.Time) string {
	if at.IsZero() {
		return "since its bundle"
	}
	return "since " + at.Format(timeFormat)
}

// mostTold is how many session keys a sentence names.
const mostTold = 8

// sessions compares the session keys that two bundles revoke. A policy file has none.
func (d *differ) sessions() {
	if d.was.isPolicy || d.is.isPolicy {
		return
	}
	for _, s := range []struct {
		is, was []string
		wide    bool
		text    string
	}{
		{d.was.sessions, d.is.sessions, true, "session keys that are no longer revoked"},
		{d.is.sessions, d.was.sessions, false, "session keys that are revoked"},
	} {
		had := map[string]bool{}
		for _, id := range s.was {
			had[id] = true
		}
		list := slices.DeleteFunc(slices.Clone(s.is), func(id string) bool { return had[id] })
		if len(list) == 0 {
			continue
		}
		text := fmt.Sprintf("%s (%d): %s", s.text, len(list), words(list[:min(len(list), mostTold)]))
		if len(list) > mostTold {
			text += ", ..."
		}
		d.list = append(d.list, Change{Kind: "sessions", Widening: s.wide, Text: text})
	}
}

func when(isEnd bool, at time.Time) string {
	switch {
	case at.IsZero() && isEnd:
		return "for ever"
	case at.IsZero():
		return "from the start"
	case isEnd:
		return "until " + at.Format(timeFormat)
	}
	return "from " + at.Format(timeFormat)
}

// removed tells of a key that is gone.
func (d *differ) removed() {
	left := d.left[[2]string{d.key.Producer, d.key.Consumer}]
	switch {
	case !left && d.key.Consumer != "":
		d.note("consumer", false, false, "%s may no longer read", d.owner())
	case !left:
		d.note("producer", false, false, "%s may no longer say anything", d.owner())
	}
	d.note("key", false, true, "key %s of %s is gone", d.id, d.owner())
}

// settings compares what is of no key. A policy that does not say leaves that to `trust build`.
func (d *differ) settings() {
	policies := d.was.isPolicy && d.is.isPolicy
	said := d.was.hasSettings && d.is.hasSettings || policies
	for _, s := range []struct {
		kind, text string
		was, is    time.Duration
		both       bool
	}{
		{"refresh_hint", "consumers look for a newer bundle every %s, and not every %s", d.was.refreshHint,
			d.is.refreshHint, said},
		{"cache", "a cache may serve an old bundle for %s, and not for %s", d.was.cache, d.is.cache, said},
		{"in_flight", "events are in flight for %s, and not for %s", d.was.inFlight, d.is.inFlight, policies},
	} {
		if s.both && s.was != s.is {
			d.list = append(d.list, Change{Kind: s.kind, Text: fmt.Sprintf(s.text, orUnsaid(s.is), orUnsaid(s.was))})
		}
	}
}

func orUnsaid(d time.Duration) string {
	if d == 0 {
		return "(not said)"
	}
	return howlong.Short(d)
}

func words(list []string) string {
	if len(list) == 0 {
		return "(nothing)"
	}
	return strings.Join(list, ", ")
}

// WideningError is the refusal of a bundle that allows more than the previous one, and more than Widen names.
type WideningError struct {
	Changes []Change // the widenings, in the order of Diff
}

func (e *WideningError) Error() string {
	texts := make([]string, len(e.Changes))
	for i, c := range e.Changes {
		texts[i] = c.Text
	}
	return "policy: it allows more than the previous bundle: " + strings.Join(texts, "; ")
}

// Names are the producers and consumers that get more, sorted.
func (e *WideningError) Names() []string {
	var names []string
	for _, c := range e.Changes {
		names = append(names, c.Producer+c.Consumer)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (p *Policy) checkWidening(o *BuildOptions) error {
	if o.Previous == nil || slices.Contains(o.Widen, "all") {
		return nil
	}
	e := &WideningError{}
	for _, c := range Diff(GrantsOf(o.Previous), p.Grants()) {
		if c.Widening && !slices.Contains(o.Widen, c.Producer+c.Consumer) {
			e.Changes = append(e.Changes, c)
		}
	}
	if len(e.Changes) == 0 {
		return nil
	}
	return e
}
