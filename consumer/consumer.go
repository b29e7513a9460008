// Package consumer wraps a handler of events so that it is called with verified, fresh events only, each
// once.
//
// # A consumer
//
// It needs a name, a source of trust, a store that remembers what was handled, and a policy:
//
//	source, err := trust.WatchFile("trust.dsse", roots, nil)  // whose keys count
//	store := replay.NewMemory(nil)                            // for one process; replay/dynamodb, replay/redis
//	policy := &envelope.Policy{Sources: []string{"https://orders.example/*"}, Audience: "central"}
//	c, err := consumer.New("billing", source, store, policy, &consumer.Options{Quarantine: quarantine})
//
// The handler gets the data as a Go type, and who sealed it. It binds its effect to the IdempotencyKey, which
// is the same however often the event comes:
//
//	handler := consumer.Typed(func(ctx context.Context, d consumer.Delivery[Order]) error {
//		return charge(ctx, d.IdempotencyKey, d.Data.Total)
//	})
//	result, err := c.Handle(ctx, consumer.Message{Body: body}, handler) // err: have it delivered again
//
// On Lambda, package consumer/awslambda does the last step: lambda.Start(awslambda.SQS(c, handler, nil)).
//
// # The way of a delivery
//
// Parse, verify, authorise, judge freshness, claim in the replay store, decrypt, call the handler, complete
// the claim. Nothing is lost, and nothing unverified is handled:
//
//   - An event that can never pass (forged, stale) goes to the Quarantine with its original bytes, and is
//     then acknowledged. Without a Quarantine its delivery fails, for a dead-letter queue.
//   - An event that cannot be judged or handled now (trust or store unavailable, handler failed) is an error,
//     so that the transport delivers it again.
//   - An event that was handled before is acknowledged as a duplicate.
//
// Result.Reason says why, in one stable word. docs/reasons.md and `sealbus explain REASON` have the causes
// and cures of each. Options.Logger has each delivery that was not simply handled.
//
// # Threat model
//
// Stopped: attackers who can put a message where the consumer reads (forged, changed, replayed, other
// people's events: rejected); redelivery, crashes and several workers (claims); a process that is frozen or
// whose clock is set (all is decided on use, by the wall clock, and decided again if it moved). Not stopped:
// a holder of a producer's key; a handler whose effect is not bound to its IdempotencyKey, when the process
// dies between the effect and Complete.
//
// # Stability
//
// Stable: New, Handle, Flush, Options, Delivery, Result, Observer, Quarantine and the records of
// QuarantineKeys.
package consumer

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/nilcheck"
	"github.com/sealbus/sealbus/internal/wrapper"
	"github.com/sealbus/sealbus/keys/trust"
)

// DefaultLease is short, because it is how long an event waits after a crash.
const DefaultLease = 30 * time.Second

// Bounds of the durations in Options: a lease must be longer than it takes to use it, and a claim is
// remembered for at most twice the widest window.
const (
	minLease    = time.Second
	maxDuration = 10 * 365 * 24 * time.Hour // the widest window of an envelope.Policy
	maxRemember = 2 * maxDuration
)

// Options say how a Consumer handles events. The acceptance policy, an envelope.Policy, says which events it
// accepts. All workers of one name have the same policy and the same Options.
//
// RememberFor is how long a claim is kept, counted from when the event was sealed. A producer may publish an
// event again, by the same ID and with a later time of sealing. Each copy that arrives while the event is
// remembered keeps it remembered for RememberFor from that copy's sealing. After that the store forgets the
// event. The next copy is then handled again, with the same IdempotencyKey.
type Options struct {
	// RememberFor is how long a claim is kept after the event was sealed, from the window to 20 years;
	// 0 = twice the window.
	RememberFor time.Duration
	// Lease is how long a claim lives without renewal, from 1 s to 10 years; 0 = DefaultLease.
	Lease time.Duration

	// Quarantine takes events that can never pass, and says whose records are reopened (QuarantineKeys);
	// nil = the deliveries of such events fail, for a dead-letter queue.
	Quarantine Quarantine

	// Wrapper is the wrapper around messages that only AWS can write here, so that the account and the replay
	// name in it count. "" = they count in none. The names are:
	//
	//	"sns"          an SNS notification: without raw message delivery, or to a function that SNS invokes
	//	"on-failure"   the record that a function's destination gets; its requestPayload is the event
	//	"sqs"          a record of SQS, as a pipe of EventBridge passes it on
	//	"kinesis"      a record of Kinesis
	//	"kafka"        a record of Kafka, as Lambda and pipes give it
	//	"logs"         a log event of CloudWatch Logs
	//	"text-detail"  an EventBridge event whose detail is a string
	Wrapper string

	// Permissions admit events older than the window (archive replays, reopened events); nil = none.
	Permissions     []Permission
	UnsafeMigration []Migration // sources that are still migrating: see Migration; nil = none

	// Schemas judges the data of each verified event, decrypted, before the handler is called. Data that does
	// not follow its schema is envelope.ReasonSchemaInvalid, which is permanent, also for a source that is
	// migrating. An unverified event that UnsafeMigration takes is judged by no schema. nil = no schema is
	// asked for. Package schema has one.
	Schemas envelope.Validator

	// Logger has each delivery that was not simply handled, and at debug level every one;
	// nil = slog.Default().
	Logger   *slog.Logger
	Observer Observer // is told how each delivery ended, beside the log; nil = none. Several: Observers
}

// Consumer handles deliveries. It is safe for concurrent use.
type Consumer struct {
	name           string
	trust          trust.Source
	opener         *envelope.Opener
	policy         envelope.Policy // of opener, with its defaults
	store          replay.Store
	opts           Options
	quarantineKeys QuarantineKeys
	latest         atomic.Int64 // the latest time that was ever read, Unix nanoseconds
	lacking        lackingKeys
}

// New makes a consumer. Its name separates its claims from those of other consumers of the same store. Give
// each consumer a name of its own, and all its workers the same name. Trust decides who may say what. The
// acceptance policy decides which of it this consumer accepts. The store remembers what was handled. Later
// changes of policy and options have no effect.
//
// The window of the policy (MaxAge) includes the time that a message may wait in a queue. Widening it later
// admits again events that were completed under the narrower one and have been forgotten since: they may be
// handled a second time, with the same IdempotencyKey. Unsafe.AnyAge is refused for that reason, since every
// claim is forgotten one day.
func New(
	name string, trust trust.Source, store replay.Store, policy *envelope.Policy, opts *Options,
) (*Consumer, error) {
	c := &Consumer{name: name, trust: trust, store: store}
	if opts != nil {
		c.opts = opts.clone()
	}
	switch {
	case name == "":
		return nil, errors.New("consumer: no name: give one of its own to each consumer, such as \"billing\"")
	case !exact(name):
		return nil,
			fmt.Errorf("consumer: the name %q is no text and would not be the same in a quarantine record",
				name)
	case trust == nil:
		return nil, errors.New("consumer: no trust: trust.WatchFile and trust.FetchBundle follow a trust bundle")
	case store == nil:
		return nil, errors.New("consumer: no replay store: replay.NewMemory serves one process")
	}
	if err := errors.Join(nilcheck.Typed("the replay store", store), c.opts.checkNil()); err != nil {
		return nil, fmt.Errorf("consumer: %w", err)
	}
	var err error
	if c.opener, err = envelope.NewOpener(trust, policy); err != nil {
		return nil, err
	}
	c.policy = c.opener.Policy()
	if err := checkPolicy(&c.policy); err != nil {
		return nil, fmt.Errorf("consumer: the Policy: %w", err)
	}
	c.opts.setDefaults(c.policy.MaxAge)
	if q := c.opts.Quarantine; q != nil {
		c.quarantineKeys = q.Keys()
	}
	now := c.policy.Now()
	if err := c.opts.check(&c.policy, c.quarantineKeys, now); err != nil {
		return nil, fmt.Errorf("consumer: %w", err)
	}
	c.latest.Store(now.UnixNano())
	c.warnOfEnded(now)
	return c, nil
}

// checkPolicy refuses policies that suffice for opening one event, but not for handling each event once.
func checkPolicy(p *envelope.Policy) error {
	switch {
	case p.Unsafe.AnyAge:
		return fmt.Errorf("Unsafe.AnyAge: a consumer forgets one day that it handled an event, and then "+
			"would handle it again; set MaxAge, up to %v", maxDuration)
	case (p.RequireEncrypted || len(p.RequireEncryptedFields) > 0) && p.Decrypter == nil:
		return errors.New("encrypted data is required, but there is no Decrypter to open it")
	}
	return nil
}

// warnOfEnded logs the exceptions that have ended. They are no error of New: a date that passes must not keep
// a function from its next start.
func (c *Consumer) warnOfEnded(now time.Time) {
	warn := func(what, name string, until time.Time) {
		if !until.After(now) {
			c.opts.Logger.Warn("sealbus: "+what+" has ended and is without effect: remove it", "consumer",
				c.name,
				"of", name, "until", until)
		}
	}
	for i := range c.opts.UnsafeMigration {
		warn("an UnsafeMigration", c.opts.UnsafeMigration[i].Source, c.opts.UnsafeMigration[i].Until)
	}
	for i := range c.opts.Permissions {
		warn("a Permission", c.opts.Permissions[i].ID, c.opts.Permissions[i].Until)
	}
}

// clone shares nothing that the caller could change after the check.
func (o *Options) clone() Options {
	c := *o
	c.UnsafeMigration, c.Permissions = slices.Clone(o.UnsafeMigration), slices.Clone(o.Permissions)
	return c
}

func (o *Options) setDefaults(window time.Duration) {
	if o.RememberFor == 0 {
		o.RememberFor = 2 * window
	}
	if o.Lease == 0 {
		o.Lease = DefaultLease
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
}

// wrapperNames are the values of Options.Wrapper.
func wrapperNames() (names []string) {
	for _, k := range wrapper.Kinds() {
		names = append(names, string(k))
	}
	return names
}

func (o *Options) check(p *envelope.Policy, quarantine QuarantineKeys, now time.Time) error {
	switch {
	case o.Wrapper != "" && wrapper.Kind(o.Wrapper).String() == "":
		return fmt.Errorf("Wrapper is %q: give one of %q, or \"\" for none", o.Wrapper, wrapperNames())
	case quarantine.ring != nil && quarantine.ring.name == "":
		return errors.New(
			"the Quarantine is made with AnyQuarantine, which writes no records: use NewQuarantineKeys")
	case o.Lease < minLease || o.Lease > maxDuration:
		return fmt.Errorf("Lease is %v: give a duration from %v to %v, or 0 for the default",
			o.Lease, minLease, maxDuration)
	case o.RememberFor < p.MaxAge || o.RememberFor > maxRemember:
		return fmt.Errorf("RememberFor is %v: give a duration from %v, which is the window, to %v, "+
			"or 0 for twice the window", o.RememberFor, p.MaxAge, maxRemember)
	}
	return errors.Join(o.checkMigration(), o.checkPermissions(quarantine, now))
}

// checkNil refuses nil pointers, which would panic at the first event that needs them.
func (o *Options) checkNil() error {
	return errors.Join(
		nilcheck.Typed("Options.Quarantine", o.Quarantine), nilcheck.Typed("Options.Schemas", o.Schemas),
		checkObserver("Options.Observer", o.Observer),
		nilcheck.Logger("Options.Logger", o.Logger))
}

// Name is the consumer's name.
func (c *Consumer) Name() string { return c.name }
