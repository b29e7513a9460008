// Package consumer wraps a handler of events so that it is called with verified, fresh events only, each
// once.
//
// For every delivery: parse, verify, authorise, judge freshness, claim in the replay store, decrypt, call the
// handler, complete the claim. What can never pass (a forgery, a stale event) goes to a quarantine with its
// original bytes and is then acknowledged. What cannot be judged or handled now (trust or store unavailable,
// handler failed) is an error, so that the transport delivers it again. Nothing is lost, and nothing
// unverified is handled.
//
// Threats: whoever can put a message where the consumer reads (forged, changed, replayed, other people's
// events: rejected); redelivery, crashes and several workers (claims); a process that is frozen or whose
// clock is set (all is decided on use, by the wall clock, and decided again if it moved). Not stopped:
// whoever holds a producer's key; a handler whose effect is not bound to its IdempotencyKey, when the process
// dies between the effect and Complete.
//
//	trust := ...                                             // a trust.Source
//	store := replay.NewMemory(nil)                           // several processes need a shared one
//	c, err := consumer.New("billing", trust, store, &consumer.Options{
//		Sources:    []string{"https://orders.example/*"},
//		Quarantine: quarantine,
//	})
//	handler := consumer.Typed(func(ctx context.Context, d consumer.Delivery[Order]) error { ... })
//	result, err := c.Handle(ctx, consumer.Message{Body: body}, handler)   // err: deliver it again
//
// Stable: New, Handle, Flush, Options, Delivery, Result, Observer, Report, Quarantine and the records of
// MarshalRecord.
package consumer

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/nilcheck"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// DefaultMaxAge is the replay window of a consumer on a bus: EventBridge retries for 24 hours.
const DefaultMaxAge = 24*time.Hour + 5*time.Minute

// DefaultLease is short, because it is how long an event waits after a crash.
const DefaultLease = 30 * time.Second

// Bounds of the durations in Options. Sums of them, added to any time, must be far from where 64 bits of
// nanoseconds end, as an overflow would be a window that nothing passes; and a lease must be longer than it
// takes to use it.
const (
	MaxDuration = 10 * 365 * 24 * time.Hour // of MaxAge, QueueRetention, Skew and Lease
	MaxRemember = 4 * MaxDuration           // of RememberFor: twice the widest window
	MinLease    = time.Second
)

// Options adjust a Consumer. The zero value is the strict one, but Sources must be named.
//
// MaxAge and QueueRetention together are the window: how old an event may be. All workers of one name have
// the same. Widening it later admits again events that were completed under the narrower one and have been
// forgotten since: they may be handled a second time, with the same IdempotencyKey.
//
// RememberFor is how long a claim is kept, counted from when the event was sealed. A producer may publish an
// event again, by the same ID and with a later time of sealing. Each copy that arrives while the event is
// remembered keeps it remembered for RememberFor from that copy's sealing. A copy that arrives later than
// that, and is the first to do so, is handled as a new event, with the same IdempotencyKey.
type Options struct {
	Sources            []string                          // which sources this consumer takes (keys.MatchSource); must not be empty
	Types              []string                          // which types this consumer takes (keys.MatchType); nil = those that the bundle allows
	Audience           string                            // must be among the signed audience; "" = unchecked
	Mode               envelope.Mode                     // what becomes of unsigned extensions; zero = Strict, they are dropped
	RequiredAlgorithms []keys.Algorithm                  // each must have signed; nil = any one signature
	MaxAge             time.Duration                     // the replay window backwards; 0 = DefaultMaxAge, most MaxDuration
	QueueRetention     time.Duration                     // how long queue and dead-letter queue keep messages, added to MaxAge; 0 = no queue, most MaxDuration
	RememberFor        time.Duration                     // how long a claim is kept after the event was sealed; 0 = twice the window, least the window
	Skew               time.Duration                     // how far clocks may differ; 0 = envelope.DefaultSkew, most MaxDuration
	Lease              time.Duration                     // how long a claim lives without renewal; 0 = DefaultLease, else from MinLease to MaxDuration
	ExtensionTypes     map[string]envelope.AttributeType // types of extensions that other implementations signed, and the names that may be Binary
	Decrypter          *envelope.Decrypter               // opens encrypted data, after all other checks; nil = encrypted data is not_a_recipient
	RequireEncrypted   bool                              // true: all of the data must be encrypted, else not_encrypted
	Quarantine         Quarantine                        // takes what can never pass; nil = its delivery fails, for the transport's own dead-letter queue
	QuarantineName     string                            // its name, which its records carry and Reopen and Permissions name; "" = it has none
	Wrapper            Wrapper                           // what a Wrapped message may come in with its account and replay name: only AWS can write it here; "" = none counts
	Permissions        []Permission                      // what may be older than the window (archive replays, reopened events); nil = nothing
	Reopen             []Reopen                          // whose records may be delivered again (QuarantineRecord), at most 16 keys; nil = nobody's
	Logger             *slog.Logger                      // the log of each delivery that was not simply handled (at debug level, of every one); nil = slog.Default()
	Observer           Observer                          // is told how each delivery ended, beside the log; nil = nobody. Several: Observers
	Now                func() time.Time                  // the wall clock; nil = time.Now

	// RequireEncryptedFields are JSON Pointers of what must be encrypted where it is there at all, on its own or
	// within what is.
	RequireEncryptedFields []string

	// IgnoreMembers are the names of members that hops add to an EventBridge detail, beside the data of the
	// embedded layout: see envelope.OpenOptions. nil = envelope.DefaultIgnoreMembers, empty = none; at most
	// envelope.MaxIgnoreMembers.
	IgnoreMembers []string

	UnsafeObserve                []Observe // sources that are still migrating: see Observe; nil = none
	UnsafeAnySource              bool      // true: no Sources are needed, the bundle alone decides
	UnsafeIgnoreAccount          bool      // true: the bundle's account lists are not looked at
	UnsafeAllowUndated           bool      // true: an event whose time of sealing nobody signed is accepted, and may come again after RememberFor
	UnsafeAcceptBeforeRevocation bool      // true: a revoked key still counts for what claims to be sealed before
	UnsafeAllowUncommitted       bool      // true: encrypted data of other libraries is taken, see envelope.OpenOptions
}

// Consumer handles deliveries. It is safe for concurrent use.
type Consumer struct {
	name   string
	trust  trust.Source
	store  replay.Store
	opts   Options
	reopen []reopenKey
	latest atomic.Int64 // the latest time that was ever read, Unix nanoseconds
	counts map[envelope.Reason]*atomic.Uint64
}

// New makes a consumer. Its name separates its claims from those of other consumers of the same store: two
// consumers that both want every event have two names, workers of one consumer have one. Trust decides who
// may say what, store remembers what was handled. Changing the options afterwards changes nothing.
func New(name string, trust trust.Source, store replay.Store, opts *Options) (*Consumer, error) {
	var o Options
	if opts != nil {
		o = opts.clone()
	}
	o.setDefaults()
	switch {
	case name == "":
		return nil, errors.New("consumer: a consumer needs a name")
	case !exact(name) || !exact(o.QuarantineName):
		return nil, fmt.Errorf("consumer: the name %q, or the QuarantineName %q, is no text and would not be the same in a quarantine record", name, o.QuarantineName)
	case trust == nil:
		return nil, errors.New("consumer: no trust: who may sign must be known")
	case store == nil:
		return nil, errors.New("consumer: no replay store: replay.NewMemory serves one process")
	}
	err := errors.Join(nilcheck.Typed("the trust", trust), nilcheck.Typed("the replay store", store), o.checkNil())
	if err != nil {
		return nil, fmt.Errorf("consumer: %w", err)
	}
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("consumer: %w", err)
	}
	c := &Consumer{name: name, trust: trust, store: store, opts: o, reopen: o.reopenKeys(), counts: newCounts()}
	c.opts.Reopen = nil // no format verb prints the keys of a Consumer
	c.warnOfEnded()
	return c, nil
}

// warnOfEnded tells of what has ended and is without effect. It is no error of New: a date that passes must
// not keep a function that worked all along from its next start.
func (c *Consumer) warnOfEnded() {
	now := c.time()
	warn := func(what, name string, until time.Time) {
		if !until.After(now) {
			c.opts.Logger.Warn("sealbus: "+what+" has ended and is without effect: remove it", "consumer", c.name, "of", name, "until", until)
		}
	}
	for i := range c.opts.UnsafeObserve {
		warn("an UnsafeObserve", c.opts.UnsafeObserve[i].Source, c.opts.UnsafeObserve[i].Until)
	}
	for i := range c.opts.Permissions {
		warn("a Permission", c.opts.Permissions[i].ID, c.opts.Permissions[i].Until)
	}
}

func newCounts() map[envelope.Reason]*atomic.Uint64 {
	counts := map[envelope.Reason]*atomic.Uint64{"": new(atomic.Uint64)}
	for _, r := range envelope.Reasons() {
		counts[r] = new(atomic.Uint64)
	}
	return counts
}

// clone shares nothing that the caller could change after it was checked.
func (o *Options) clone() Options {
	c := *o
	c.Sources, c.Types = slices.Clone(o.Sources), slices.Clone(o.Types)
	c.RequiredAlgorithms, c.RequireEncryptedFields = slices.Clone(o.RequiredAlgorithms), slices.Clone(o.RequireEncryptedFields)
	c.IgnoreMembers = slices.Clone(o.IgnoreMembers)
	c.ExtensionTypes = maps.Clone(o.ExtensionTypes)
	c.UnsafeObserve, c.Permissions = slices.Clone(o.UnsafeObserve), slices.Clone(o.Permissions)
	return c
}

func (o *Options) setDefaults() {
	if o.MaxAge == 0 {
		o.MaxAge = DefaultMaxAge
	}
	if o.RememberFor == 0 {
		o.RememberFor = 2 * o.window()
	}
	if o.Skew == 0 {
		o.Skew = envelope.DefaultSkew
	}
	if o.Lease == 0 {
		o.Lease = DefaultLease
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

func (o *Options) check() error {
	switch {
	case len(o.Sources) == 0 && !o.UnsafeAnySource:
		return errors.New("no Sources: name the sources that this consumer takes (UnsafeAnySource leaves it to the bundle)")
	case len(o.Sources) > 0 && o.UnsafeAnySource:
		return errors.New("both Sources and UnsafeAnySource")
	case o.Types != nil && len(o.Types) == 0:
		return errors.New("the list of Types is empty: nil takes every type that the bundle allows")
	case strings.ContainsRune(o.Audience, ' '):
		return fmt.Errorf("the audience %q is not one name", o.Audience)
	}
	if err := o.checkDurations(); err != nil {
		return err
	}
	if err := checkPatterns(o.Sources, o.Types); err != nil {
		return err
	}
	if err := envelope.CheckExtensionTypes(o.ExtensionTypes); err != nil {
		return err
	}
	if err := envelope.CheckIgnoreMembers(o.IgnoreMembers); err != nil {
		return err
	}
	if err := checkAlgorithms(o.RequiredAlgorithms); err != nil {
		return err
	}
	return errors.Join(o.checkWrapper(), o.checkEncryption(), o.checkObserve(), o.checkPermissions(), o.checkReopen())
}

// checkNil refuses what would panic when the first event is refused or told.
func (o *Options) checkNil() error {
	return errors.Join(
		nilcheck.Typed("Options.Quarantine", o.Quarantine), checkObserver("Options.Observer", o.Observer),
		nilcheck.Logger("Options.Logger", o.Logger))
}

func (o *Options) checkDurations() error {
	for _, d := range [...]struct {
		name  string
		value time.Duration
		least time.Duration
	}{
		{"MaxAge", o.MaxAge, 0}, {"QueueRetention", o.QueueRetention, 0}, {"Skew", o.Skew, 0}, {"Lease", o.Lease, MinLease},
	} {
		if d.value < d.least || d.value > MaxDuration {
			return fmt.Errorf("%s is %v: give a duration from %v to %v, or 0 for the default", d.name, d.value, d.least, MaxDuration)
		}
	}
	if window := o.window(); o.RememberFor < window || o.RememberFor > MaxRemember {
		return fmt.Errorf("RememberFor is %v: give a duration from %v, which is the window, to %v, or 0 for twice the window",
			o.RememberFor, window, MaxRemember)
	}
	return nil
}

func checkPatterns(sources, types []string) error {
	for _, p := range sources {
		if err := keys.CheckSourcePattern(p); err != nil {
			return err
		}
	}
	for _, p := range types {
		if err := keys.CheckTypePattern(p); err != nil {
			return err
		}
	}
	return nil
}

// checkAlgorithms refuses what no key signs with, a misspelling mostly: it would refuse every event there is.
func checkAlgorithms(list []keys.Algorithm) error {
	for _, a := range list {
		if a.SignatureSize() == 0 {
			return fmt.Errorf("RequiredAlgorithms has %q: give some of %q", a, keys.Algorithms())
		}
	}
	return nil
}

// checkEncryption refuses a consumer that could handle nothing.
func (o *Options) checkEncryption() error {
	if (o.RequireEncrypted || len(o.RequireEncryptedFields) > 0) && o.Decrypter == nil {
		return errors.New("encrypted data is required, but there is no Decrypter to open it")
	}
	for _, field := range o.RequireEncryptedFields {
		if err := envelope.CheckField(field); err != nil {
			return fmt.Errorf("RequireEncryptedFields: %w", err)
		}
	}
	return nil
}

// window is how old an event may be.
func (o *Options) window() time.Duration { return o.MaxAge + o.QueueRetention }

// Name is the consumer's name.
func (c *Consumer) Name() string { return c.name }

// HasQuarantine reports whether what can never pass is taken care of. Without it, an ordered stream would be
// blocked by one forged record.
func (c *Consumer) HasQuarantine() bool { return c.opts.Quarantine != nil }

// Counts is how many deliveries ended with each Reason since New; "" counts the handled ones.
func (c *Consumer) Counts() map[envelope.Reason]uint64 {
	counts := make(map[envelope.Reason]uint64, len(c.counts))
	for r, n := range c.counts {
		if n := n.Load(); n > 0 {
			counts[r] = n
		}
	}
	return counts
}

// time reads the clock and remembers how late it was.
func (c *Consumer) time() time.Time {
	now := c.opts.Now().Round(0) // wall clock only: the monotonic one stands still while a process is frozen
	for {
		latest := c.latest.Load()
		if now.UnixNano() <= latest || c.latest.CompareAndSwap(latest, now.UnixNano()) {
			return now
		}
	}
}

// attributes says in the name of each what is not verified, and clips it.
func (c *Consumer) attributes(r *Result, err error) []slog.Attr {
	attrs := []slog.Attr{slog.String("consumer", c.name)}
	add := func(name, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(name, clip(value)))
		}
	}
	add("reason", string(r.Reason))
	add("producer", r.Producer)
	add("source", r.Source)
	add("type", r.Type)
	add("id", r.ID)
	add("permission", r.Permission)
	if v := r.Verdict; v != nil {
		add("cause", v.Cause)
		add("fix", v.Fix())
		if r.Producer == "" {
			add("unverified_source", v.UnverifiedSource)
			add("unverified_type", v.UnverifiedType)
			add("unverified_id", v.UnverifiedID)
		}
	}
	if err != nil {
		add("error", err.Error())
	}
	return attrs
}

// clip bounds text that somebody else wrote.
func clip(s string) string {
	const most = 300
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}
