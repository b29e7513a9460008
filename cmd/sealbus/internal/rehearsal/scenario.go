package rehearsal

import (
	"time"

	"github.com/sealbus/sealbus/keys/trust/policy"
)

// Scenario is one course of events, without chance. It is plain data: it can be played again, and be made
// shorter.
type Scenario struct {
	Start, End time.Time
	Cast       *Cast

	Refresh    time.Duration // the hint of each bundle
	Cache      time.Duration // what each bundle says of caches
	InFlight   time.Duration // what each policy says of events
	Timestamps bool          // the roots name a timestamp key
	MaxAge     time.Duration // the window of the consumers

	// A delivery that could not be judged comes again after Visibility. Receives is how often an event is
	// delivered before the dead-letter queue takes it.
	Visibility time.Duration
	Receives   int

	Publications []Publication // the first is on the host from Start on
	Revocations  []Revocation  // by timestamps
	Outages      []Outage
	Producers    []Producer
	Consumers    []Consumer
	Sends        []Send
}

// Publication is a bundle: when it is built of a policy, and how long it takes until it is on the host.
type Publication struct {
	Built  time.Time
	Late   time.Duration
	Policy *policy.Policy
	// Rival is true if it is built of the same bundle as the one before it, by a second publisher. The host
	// takes it only in place of that bundle, so the publisher builds it anew, of Merged.
	Rival  bool
	Merged *policy.Policy
}

// Revocation is an emergency: the next timestamp revokes the key.
type Revocation struct {
	At    time.Time
	KeyID string
}

// Outage is a time in which the host answers no one.
type Outage struct {
	From time.Time
	For  time.Duration
}

// Producer is one process of a producer.
type Producer struct {
	Name string
	Skew time.Duration // its clock is ahead by that
	// Behind is how many publications its keyring is behind, if it does not look for changes; 0 = it is up to
	// date.
	Behind int
	CutOff bool          // it never reaches the host of the bundle, and goes by its keyring
	Lag    time.Duration // the cache before it serves files that are so old
}

// Consumer is one process of a consumer.
type Consumer struct {
	Name     string
	Skew     time.Duration // its clock is ahead by that
	Lag      time.Duration // the cache before it serves files that are so old
	Polls    []time.Time   // it has other traffic then, and so looks at its bundle
	Withheld time.Time     // a mirror serves it nothing newer; zero = it does
}

// Send is one event, and how long each consumer waits for it.
type Send struct {
	At    time.Time
	By    int // index of the producer
	Type  string
	Delay time.Duration
}
