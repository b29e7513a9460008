package envelope_test

import (
	"context"
	"testing"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys/trust"
)

// How little most tests check beside their subject.
var (
	unchecked = envelope.Unsafe{AnySource: true, AnyAge: true}
	anySource = envelope.Unsafe{AnySource: true}
)

// openEventBridge opens a delivery of EventBridge.
func openEventBridge(ctx context.Context, delivery []byte, trust trust.Source,
	p *envelope.Policy) (*envelope.Opened, error) {
	return openStep(ctx, envelope.Received{Body: delivery, EventBridge: true}, envelope.Step{}, trust, p)
}

// openKept verifies a CloudEvent and leaves its data encrypted.
func openKept(t testing.TB, sealed []byte, trust trust.Source, p *envelope.Policy) (*envelope.Opened, error) {
	return openStep(t.Context(), envelope.Received{Body: sealed}, envelope.Step{KeepEncrypted: true}, trust,
		p)
}

func openStep(ctx context.Context, r envelope.Received, s envelope.Step, trust trust.Source,
	p *envelope.Policy) (*envelope.Opened, error) {
	o, err := envelope.NewOpener(trust, p)
	if err != nil {
		return nil, err
	}
	return o.Open(ctx, r, s)
}
