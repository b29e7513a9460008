package eventbridge

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/smithy-go"

	"github.com/sealbus/sealbus/internal/awscall"
	"github.com/sealbus/sealbus/producer"
)

// The longest wait before try n+1 is firstWait * 2^(n-1), at most longestWait.
const (
	firstWait   = 100 * time.Millisecond
	longestWait = 5 * time.Second
)

// deliver makes calls until each item is accepted, refused for good, or out of time. The error of an item is
// that of its latest try. It is producer.ErrNoAnswer as well if an earlier try had no answer.
func (s *sending) deliver(ctx context.Context, items []item) {
	for try := 1; len(items) > 0; try++ {
		items = s.try(ctx, items, try)
		if len(items) == 0 || !s.wait(ctx, try) {
			return
		}
	}
}

// try makes one call, and returns the items that are worth another try.
func (s *sending) try(ctx context.Context, items []item, try int) (again []item) {
	if ctx.Err() != nil && try == 1 {
		s.fail(items, notSent(ctx))
		return nil
	}
	returned := false
	defer func() {
		if !returned { // the client ended the goroutine: without an error the events would look accepted
			s.noAnswer(items, producer.ErrNoAnswer)
		}
	}()
	out, unclear, err := s.bus.put(ctx, items)
	returned = true
	if err != nil {
		failed := callError(ctx, err, try, unclear)
		for _, it := range items {
			s.refused(it, failed, unclear)
		}
		if failed.Temporary {
			return items
		}
		return nil
	}
	if len(out.Entries) != len(items) { // no one can tell which item an answer belongs to
		s.noAnswer(items, fmt.Errorf("%w: %d answers for %d entries", producer.ErrNoAnswer, len(out.Entries),
			len(items)))
		return nil
	}
	for i, it := range items {
		err := entryError(&out.Entries[i], try)
		e, ok := errors.AsType[*Error](err)
		if !ok {
			s.errs[it.index] = err
			s.unclear[it.index] = s.unclear[it.index] || err != nil
			continue
		}
		s.refused(it, e, false)
		if e.Temporary {
			again = append(again, it)
		}
	}
	return again
}

// noAnswer notes that the service may have acted, and that no one can tell on which of the items.
func (s *sending) noAnswer(items []item, err error) {
	s.fail(items, err)
	for _, it := range items {
		s.unclear[it.index] = true
	}
}

// refused notes how the latest try failed. After a try without an answer the event may be on the bus, also if
// a later try was refused. Unclear means that the service may have acted although the call failed.
func (s *sending) refused(it item, err *Error, unclear bool) {
	s.unclear[it.index] = s.unclear[it.index] || unclear
	if before := s.errs[it.index]; errors.Is(before, producer.ErrNoAnswer) &&
		!errors.Is(err, producer.ErrNoAnswer) {
		e := *err
		e.Err = errors.Join(fmt.Errorf("%w to an earlier try", producer.ErrNoAnswer), err.Err)
		err = &e
	}
	s.errs[it.index] = err
}

// put calls PutEvents once. Unclear means that the call failed and that the service may have acted.
func (b *eventBus) put(ctx context.Context,
	items []item) (out *eventbridge.PutEventsOutput, unclear bool, err error) {
	in := &eventbridge.PutEventsInput{Entries: make([]types.PutEventsRequestEntry, len(items))}
	for i := range items {
		in.Entries[i] = items[i].entry
	}
	if b.opts.EndpointID != "" {
		in.EndpointId = aws.String(b.opts.EndpointID)
	}
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	var call awscall.Call
	out, err = b.client.PutEvents(ctx, in, once, exactSize,
		func(o *eventbridge.Options) { o.APIOptions = append(o.APIOptions, call.Watch) })
	switch {
	case err != nil && ctx.Err() != nil:
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err) // the SDK's error does not always say so
	case err == nil && out == nil:
		return nil, true, errors.New("the client returned neither an answer nor an error")
	}
	return out, call.Unclear(err), err
}

// once switches the SDK's own retries off.
func once(o *eventbridge.Options) { o.Retryer = aws.NopRetryer{} }

// wait sleeps before the next try, for a random time up to the longest wait ("full jitter"). So producers
// that were throttled together do not come back together. It is false when there is no time for another try.
func (s *sending) wait(ctx context.Context, tries int) bool {
	longest := longestWait
	if shift := tries - 1; shift < 6 { // above 5, the wait is the longest one anyway
		longest = min(longest, firstWait<<shift)
	}
	pause := time.Duration(s.bus.jitter() * float64(longest))
	if !s.bus.opts.Now().Add(pause).Before(s.until) {
		return false
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= pause {
		return false
	}
	return s.bus.sleep(ctx, pause) == nil
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// random is uniform in [0, 1).
func random() float64 {
	var b [8]byte
	rand.Read(b[:])
	return float64(binary.NativeEndian.Uint64(b[:])>>11) / (1 << 53)
}

// temporaryCodes are the codes of EventBridge for an entry or a call that it may accept another time.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEventsResultEntry.html
var temporaryCodes = map[string]bool{
	"ThrottlingException": true, "InternalFailure": true, "InternalException": true,
	"InternalServerError": true, "ServiceUnavailable": true,
}

func entryError(r *types.PutEventsResultEntry, try int) error {
	code := aws.ToString(r.ErrorCode)
	switch {
	case code != "":
		return &Error{Code: code, message: aws.ToString(r.ErrorMessage), Temporary: temporaryCodes[code],
			tries: try}
	case aws.ToString(r.EventId) == "":
		return fmt.Errorf("%w: the entry has neither an ID nor an error", producer.ErrNoAnswer)
	}
	return nil
}

// callError is the error of a call as a whole. If the service did not answer, some of the entries may be on
// the bus, unless it is clear that the call was never sent.
func callError(ctx context.Context, err error, try int, unclear bool) *Error {
	e := &Error{tries: try, Err: err}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		e.Code, e.message = api.ErrorCode(), api.ErrorMessage()
		e.Temporary = temporaryCodes[e.Code] || retryable(err)
		return e
	}
	e.Temporary = ctx.Err() == nil && (errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, io.ErrUnexpectedEOF) || retryable(err))
	what := producer.ErrNotSent
	if unclear {
		what = producer.ErrNoAnswer
	}
	e.Err = fmt.Errorf("%w: %w", what, err)
	return e
}

// retryable asks the SDK, which knows how connections fail.
func retryable(err error) bool {
	return retry.IsErrorRetryables(retry.DefaultRetryables).IsErrorRetryable(err) == aws.TrueTernary
}
