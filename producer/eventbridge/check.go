package eventbridge

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/smithy-go"

	"github.com/sealbus/sealbus/producer"
)

// ErrNoBus means that the event was not sent, because its bus does not exist. PutEvents would have answered
// with an event ID, and the event would have been lost.
var ErrNoBus = errors.New("eventbridge: the event bus does not exist: check its name, account and region, or create it")

// checkEvery is how long an answer counts. The bus may be deleted after it.
const checkEvery = time.Minute

// describer is the part of the client that Options.CheckBus needs, beside Client.
type describer interface {
	DescribeEventBus(ctx context.Context, in *eventbridge.DescribeEventBusInput,
		with ...func(*eventbridge.Options)) (*eventbridge.DescribeEventBusOutput, error)
}

var _ describer = (*eventbridge.Client)(nil)

// check remembers the answer of DescribeEventBus.
type check struct {
	client describer     // nil = nothing is checked
	turn   chan struct{} // its holder may use the other fields
	passed time.Time     // when the bus was last found, or asking was denied; zero = never
}

func newCheck() check { return check{turn: make(chan struct{}, 1)} }

// checkBus makes sure that the bus exists. If the caller may not ask, the bus counts as found: the permission
// for PutEvents alone is enough. If no answer comes, events are kept back only if there never was an answer.
// The check is repeated as long as entries are tried again, in the same time.
func (s *sending) checkBus(ctx context.Context) error {
	b, c := s.bus, &s.bus.check
	if c.client == nil {
		return nil
	}
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return notSent(ctx)
	}
	now := b.opts.Now()
	// A negative age means that the clock was set back: the bus is checked again.
	if age := now.Sub(c.passed); !c.passed.IsZero() && age >= 0 && age < checkEvery {
		return nil
	}
	for try := 1; ; try++ {
		temporary, err := b.describe(ctx)
		switch {
		case errors.Is(err, ErrNoBus):
			c.passed = time.Time{}
			return err
		case err == nil:
			c.passed = b.opts.Now()
			return nil
		case !c.passed.IsZero(): // it was found a while ago
			return nil
		case !temporary || !s.wait(ctx, try):
			return err
		}
	}
}

// describe asks once, and says whether it may help to ask again.
func (b *eventBus) describe(ctx context.Context) (temporary bool, failed error) {
	call, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	_, err := b.check.client.DescribeEventBus(call,
		&eventbridge.DescribeEventBusInput{Name: aws.String(b.name)}, once)
	if err == nil {
		return false, nil
	}
	if _, missing := errors.AsType[*types.ResourceNotFoundException](err); missing {
		return false, fmt.Errorf("%w (%s)", ErrNoBus, b.name)
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok &&
		strings.HasPrefix(api.ErrorCode(), "AccessDenied") {
		return false, nil
	}
	if ctx.Err() != nil {
		return false, notSent(ctx)
	}
	return callError(ctx, err, 1, false).Temporary ||
			call.Err() != nil, fmt.Errorf("%w: it could not be checked whether the event bus %s exists: %w",
			producer.ErrNotSent, b.name, err)
}
