package envelope_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/testbed/mint"
	"github.com/sealbus/sealbus/keys/trust"
)

// withoutKeyID is the plan with signatures that name no key.
func withoutKeyID(p mint.Plan) mint.Plan {
	p.By = slices.Clone(p.By)
	for i := range p.By {
		p.By[i].Edit = del("keyid")
	}
	return p
}

// The verdict on a signature that names no key says so, and does not advise to add a key that may be there.
func TestNamelessVerdict(t *testing.T) {
	nine, err := trust.NewBundle(trust.BundleOptions{}, namelessKeys("")...)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name  string
		plan  mint.Plan
		trust *trust.Bundle
		cause string
	}{
		{"none verifies", order("unlisted"), bundleOf(t, "orders", "es256"),
			"the signature names no key, and it does not verify under any of the 2 that may sign for its source and type"},
		{"none may sign", order("orders"), bundleOf(t, "shipping"),
			"the signature names no key, and no key in the trust bundle that may sign for its source and type makes such signatures"},
		{"none has the length", order("orders"), trusting(t, entry("mldsa", nil)),
			"the signature names no key, and no key in the trust bundle that may sign for its source and type makes such signatures"},
		{"too many", order("orders"), nine,
			"the signature names no key, and too many keys may have made it: an event has 8 tries for such signatures"},
	} {
		t.Run(test.name, func(t *testing.T) {
			opened, err := envelope.Open(t.Context(), seal(withoutKeyID(test.plan)), test.trust,
				&envelope.Policy{Now: fixed(vectorNow), Unsafe: unchecked})
			e, _ := errors.AsType[*envelope.Error](err)
			if e == nil || opened != nil || e.Reason != envelope.ReasonUnknownKey || e.Cause != test.cause {
				t.Fatalf("got %v", err)
			}
			if fix := e.Fix(); strings.Contains(fix, "add its key") || !strings.Contains(fix, "keyid") {
				t.Errorf("fix %q", fix)
			}
		})
	}
	_, err = envelope.Open(t.Context(), seal(order("unlisted")), bundleOf(t, "orders"),
		&envelope.Policy{Now: fixed(vectorNow), Unsafe: unchecked})
	if e, _ := errors.AsType[*envelope.Error](err); e == nil || e.Fix() != envelope.ReasonUnknownKey.Fix() {
		t.Errorf("a signature that names its key: %v", err)
	}
}

// A key that the bundle at hand lacks may be in a newer one, also when the signature does not name it. That
// too many are at hand is no reason to ask.
func TestNamelessRefresh(t *testing.T) {
	open := func(source *liveSource) error {
		_, err := envelope.Open(t.Context(), seal(withoutKeyID(order("next"))), source,
			&envelope.Policy{Now: fixed(vectorNow), Unsafe: unchecked})
		return err
	}
	source := &liveSource{held: bundleOf(t, "orders"), fresh: bundleOf(t, "orders", "next")}
	if err := open(source); err != nil || len(source.asked) != 1 {
		t.Errorf("rotated in: %v, asked %s", err, source.asked)
	}
	source = &liveSource{held: bundleOf(t, "orders"), err: trust.ErrUnavailable}
	if err := open(source); envelope.ReasonOf(err) != envelope.ReasonTrustUnavailable {
		t.Errorf("cannot ask: %v", err)
	}
	nine, err := trust.NewBundle(trust.BundleOptions{}, namelessKeys("")...)
	if err != nil {
		t.Fatal(err)
	}
	source = &liveSource{held: nine, fresh: bundleOf(t, "orders")}
	if err := open(source); envelope.ReasonOf(err) != envelope.ReasonUnknownKey || len(source.asked) > 0 {
		t.Errorf("too many: %v, asked %s", err, source.asked)
	}
}
