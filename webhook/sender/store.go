package sender

import (
	"context"
	"fmt"
	"io"
	"time"
)

// Key names a delivery.
type Key struct {
	Endpoint string // the ID of the endpoint
	ID       string // the ID of the message
}

// Delivery is a message on its way to one endpoint, as a Store keeps it. It prints as its Key.
type Delivery struct {
	Key
	ContentType string
	Body        []byte   // not to be changed
	Digest      [32]byte // of the content; the same ID with another digest is refused
	// Ordered is that of the endpoint when the message was accepted: it is sent when all ordered ones before it
	// are delivered or dead, and only one is under way at a time.
	Ordered  bool
	Attempts int // attempts that failed
}

// Format prints the Key, whatever the verb.
func (d Delivery) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "sender.Delivery("+d.Endpoint+" "+d.ID+")")
}

// MarshalText gives encoding/json and log/slog the text that is printed.
func (d Delivery) MarshalText() ([]byte, error) { return fmt.Append(nil, d), nil }

// Want is what a worker asks for in Take.
type Want struct {
	Most  int            // deliveries in all; above 0
	Room  map[string]int // deliveries of single endpoints; an endpoint that is not named has room for one
	Lease time.Duration  // how long they are the worker's alone; above 0
}

// Taken is a delivery that a worker holds. The token is a fence: a delivery has a new one each time that it
// is taken, and only the newest counts.
type Taken struct {
	Delivery
	Token    [16]byte
	Disabled bool // the endpoint is disabled: the delivery is to be settled as dead
}

// State is what becomes of a delivery that a worker settles.
type State string

// The states.
const (
	Delivered State = "delivered" // the endpoint answered 2xx
	Again     State = "again"     // another attempt follows
	Dead      State = "dead"      // no attempt follows, unless an operator has it sent again
)

// Settlement is how a worker settles a delivery.
type Settlement struct {
	State    State
	After    time.Duration // of Again: when it is due, from now on; not negative
	Attempts int           // attempts that failed, with this one
	Cause    Cause         // why it was not delivered; "" of Delivered
	// Disable also disables the endpoint: whatever is taken for it from now on has Taken.Disabled.
	Disable bool
}

// DeadDelivery is an entry of the dead list.
type DeadDelivery struct {
	Delivery
	Cause Cause     // of the last attempt
	At    time.Time // when it died, by the clock of the store
}

// Store keeps deliveries until they are settled. Its implementations are safe for concurrent use, pass
// package sendertest, and decide by one clock, which is that of the server if there is one. Every error that
// is not one of this package wraps ErrUnavailable, unless an argument makes no sense.
type Store interface {
	// Put keeps a delivery, which is due at once. After nil it survives whatever the store survives. A Key that
	// is pending, dead, or was delivered within the time for which the store remembers is no error, and nothing
	// changes: the first one counts. If its Digest was another one, the error is ErrIDReused.
	Put(ctx context.Context, d Delivery) error
	// Take takes deliveries that are due, or whose lease is over; perhaps fewer than there are. It is fair: the
	// endpoint that was served last is served last again. Of one endpoint those that are due first come first.
	// An ordered delivery is given only when all before it are settled. No delivery is given twice within its
	// lease.
	Take(ctx context.Context, w Want) ([]Taken, error)
	// Settle records how an attempt ended. It needs the newest token, else the error is ErrLeaseLost. A lease
	// that is over counts until another worker takes the delivery. Settling again with the same token has no
	// effect and is no error, because the answer to the first call may have been lost.
	Settle(ctx context.Context, t Taken, s Settlement) error
}

// DeadLetters is the dead list of a Store, for operators.
type DeadLetters interface {
	// Dead lists at most n dead deliveries in the order of their Keys, those after the Key. To list those of
	// one endpoint, begin after Key{Endpoint: id}.
	Dead(ctx context.Context, after Key, n int) ([]DeadDelivery, error)
	// Resend makes a dead delivery due at once, with no attempts. It keeps its ID and its body.
	Resend(ctx context.Context, k Key) error
	// Discard deletes a dead delivery. Its ID is remembered as if it had been delivered.
	Discard(ctx context.Context, k Key) error
}

// Switch disables endpoints in a Store, and enables them again. A 410 of the endpoint disables it, too.
// Deliveries that are accepted meanwhile die when they are due, and can be sent again later.
type Switch interface {
	Disable(ctx context.Context, endpoint string, disabled bool) error
}

// BackEnd is all that a store can do.
type BackEnd interface {
	Store
	DeadLetters
	Switch
}
