package consumer_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"maps"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// maxDuration is the longest window and lease.
const maxDuration = 10 * 365 * 24 * time.Hour

func TestNewRefuses(t *testing.T) {
	w := newWorld(t)
	migration := func(m consumer.Migration) func(*envelope.Policy, *consumer.Options) {
		return func(_ *envelope.Policy, opts *consumer.Options) { opts.UnsafeMigration = []consumer.Migration{m} }
	}
	callback := func(context.Context, consumer.Message, *envelope.Error) error { return nil }
	for name, change := range map[string]func(*envelope.Policy, *consumer.Options){
		"no sources":      func(p *envelope.Policy, _ *consumer.Options) { p.Sources = nil },
		"sources and any": func(p *envelope.Policy, _ *consumer.Options) { p.Unsafe.AnySource = true },
		"any age":         func(p *envelope.Policy, _ *consumer.Options) { p.Unsafe.AnyAge = true },
		"empty types":     func(p *envelope.Policy, _ *consumer.Options) { p.Types = []string{} },
		"bad source":      func(p *envelope.Policy, _ *consumer.Options) { p.Sources = []string{"https://*"} },
		"bad type":        func(p *envelope.Policy, _ *consumer.Options) { p.Types = []string{"com.*.x"} },
		"two audiences":   func(p *envelope.Policy, _ *consumer.Options) { p.Audience = "a b" },
		"negative window": func(p *envelope.Policy, _ *consumer.Options) { p.MaxAge = -1 },
		"negative skew":   func(p *envelope.Policy, _ *consumer.Options) { p.Skew = -1 },
		"negative lease":  func(_ *envelope.Policy, o *consumer.Options) { o.Lease = -1 },
		"endless window":  func(p *envelope.Policy, _ *consumer.Options) { p.MaxAge = math.MaxInt64 },
		"window too long": func(p *envelope.Policy, _ *consumer.Options) { p.MaxAge = maxDuration + 1 },
		"remembers too briefly": func(p *envelope.Policy, o *consumer.Options) {
			p.MaxAge, o.RememberFor = 25*time.Hour, envelope.DefaultMaxAge
		},
		"remembers negatively": func(_ *envelope.Policy, o *consumer.Options) { o.RememberFor = -1 },
		"remembers too long":   func(_ *envelope.Policy, o *consumer.Options) { o.RememberFor = 2*maxDuration + 1 },
		"skew too long":        func(p *envelope.Policy, _ *consumer.Options) { p.Skew = 24*time.Hour + 1 },
		"lease too long":       func(_ *envelope.Policy, o *consumer.Options) { o.Lease = maxDuration + 1 },
		"lease too short":      func(_ *envelope.Policy, o *consumer.Options) { o.Lease = time.Second - 1 },
		"unknown algorithm": func(p *envelope.Policy, _ *consumer.Options) {
			p.RequiredAlgorithms = []keys.Algorithm{keys.Ed25519, "EdDSA"}
		},
		"no member to ignore": func(p *envelope.Policy, _ *consumer.Options) { p.IgnoreMembers = []string{""} },
		"cloudevent ignored":  func(p *envelope.Policy, _ *consumer.Options) { p.IgnoreMembers = []string{"cloudevent"} },
		"no extension type": func(p *envelope.Policy, _ *consumer.Options) {
			p.ExtensionTypes = map[string]string{"vip": ""}
		},
		"migration without end": migration(consumer.Migration{Source: source, Type: "*",
			Handle: callback}),
		"migration without Handle": migration(consumer.Migration{Source: source, Type: "*",
			Until: start.Add(time.Hour)}),
		"migration of any source": migration(consumer.Migration{Source: "*", Type: "*",
			Until: start.Add(time.Hour), Handle: callback}),
		"migration without a type": migration(consumer.Migration{Source: source,
			Until: start.Add(time.Hour), Handle: callback}),
		"migration without a source": migration(consumer.Migration{Type: "*", Until: start.Add(time.Hour),
			Handle: callback}),
	} {
		p, o := envelope.Policy{Sources: []string{"https://orders.example/*"}, Now: w.clock.Now},
			consumer.Options{}
		change(&p, &o)
		if c, err := consumer.New("test", &w.trust, w.store, &p, &o); err == nil || c != nil {
			t.Errorf("%s: no error", name)
		}
	}
	ok := &envelope.Policy{Sources: []string{"https://orders.example/*"}}
	for name, f := range map[string]func() (*consumer.Consumer, error){
		"no name":   func() (*consumer.Consumer, error) { return consumer.New("", &w.trust, w.store, ok, nil) },
		"no text":   func() (*consumer.Consumer, error) { return consumer.New("a\xff", &w.trust, w.store, ok, nil) },
		"no trust":  func() (*consumer.Consumer, error) { return consumer.New("test", nil, w.store, ok, nil) },
		"no store":  func() (*consumer.Consumer, error) { return consumer.New("test", &w.trust, nil, ok, nil) },
		"no policy": func() (*consumer.Consumer, error) { return consumer.New("test", &w.trust, w.store, nil, nil) },
		"zero policy": func() (*consumer.Consumer, error) {
			return consumer.New("test", &w.trust, w.store, &envelope.Policy{}, nil)
		},
	} {
		c, err := f()
		if err == nil || c != nil {
			t.Errorf("%s: no error", name)
		} else if strings.HasSuffix(name, "policy") &&
			!strings.Contains(err.Error(), "no Sources: name the sources that are accepted") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, p := range []*envelope.Policy{ok, {Unsafe: envelope.Unsafe{AnySource: true}}} {
		if _, err := consumer.New("test", &w.trust, w.store, p, nil); err != nil {
			t.Error(err)
		}
	}
}

// All durations that New accepts work: no sum of the longest durations overflows, and the shortest lease can
// be held.
func TestExtremeDurations(t *testing.T) {
	for _, lease := range []time.Duration{time.Second, maxDuration} {
		w := newWorld(t)
		w.policy.MaxAge, w.policy.Skew = maxDuration, 24*time.Hour
		w.opts.Lease, w.opts.RememberFor = lease, 2*maxDuration
		b := w.event("1")
		w.clock.Advance(maxDuration / 2)
		w.want(b, consumer.Handled, "")
		w.want(w.event("2"), consumer.Handled, "")
		w.clock.Advance(maxDuration / 2)
		w.want(b, consumer.Duplicate, envelope.ReasonReplayed)
		w.clock.Advance(time.Second)
		w.want(b, consumer.Quarantined, envelope.ReasonExpired)
	}
}

// A consumer keeps to what New checked.
func TestOptionsAreCopied(t *testing.T) {
	w := newWorld(t)
	blob := map[string]string{"blob": "Binary"}
	ev := placed("1")
	ev.SetExtension("blob", []byte{1, 2})
	genuine := w.seal(ev, envelope.SealOptions{ExtensionTypes: maps.Clone(blob)}).JSON()
	w.policy.Types, w.policy.RequiredAlgorithms = []string{"com.example.order.*"},
		[]keys.Algorithm{keys.Ed25519}
	w.policy.ExtensionTypes = blob
	var fail error
	seen := migrates(w, &fail)
	c := w.consumer()
	w.policy.Sources[0], w.policy.Types[0], w.policy.RequiredAlgorithms[0] = "https://elsewhere.example/*",
		"com.other.*", keys.ES256
	w.opts.UnsafeMigration[0].Source = "https://elsewhere.example/*"
	delete(blob, "blob")
	r, err := c.Handle(t.Context(), body(genuine), w.handle)
	w.check(r, err, consumer.Handled, "")
	r, err = c.Handle(t.Context(), body(edit(genuine, "dssematerial", nil)), w.handle)
	w.check(r, err, consumer.Migrating, envelope.ReasonUnsigned)
	if len(*seen) != 1 {
		t.Errorf("the Handle of the migration got %+v", *seen)
	}
}

func TestUnsafeAnySource(t *testing.T) {
	w := newWorld(t)
	w.policy.Sources, w.policy.Unsafe.AnySource = nil, true
	w.want(w.event("1"), consumer.Handled, "")
	w.want(w.sealAs(w.signers["billing"], placed("2"), envelope.SealOptions{}).JSON(), consumer.Quarantined,
		envelope.ReasonSourceNotAllowed)
}

func TestUnsafeIgnoreAccount(t *testing.T) {
	w := newWorld(t)
	w.keys[0].Accounts = []string{"111111111111"}
	w.publish(trust.BundleOptions{})
	w.want(w.event("1"), consumer.Quarantined, envelope.ReasonAccountMismatch)
	w.policy.Unsafe.IgnoreAccount = true
	w.want(w.event("1"), consumer.Handled, "")
}

func TestUnsafeAcceptBeforeRevocation(t *testing.T) {
	w := newWorld(t)
	w.keys[0].Revoked = &trust.Revocation{At: start.Add(time.Hour)}
	w.publish(trust.BundleOptions{})
	w.want(w.event("1"), consumer.Quarantined, envelope.ReasonRevokedKey)
	w.policy.Unsafe.AcceptBeforeRevocation = true
	w.want(w.event("1"), consumer.Handled, "")
}

func TestLog(t *testing.T) {
	w := newWorld(t)
	var log bytes.Buffer
	w.opts.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	ev := placed(strings.Repeat("x", 5000))
	w.want(w.seal(ev, envelope.SealOptions{}).JSON(), consumer.Handled, "")
	if line := log.String(); !strings.Contains(line, "producer=orders") ||
		strings.Contains(line, "unverified") || len(line) > 1000 {
		t.Errorf("log: %s", line)
	}
	log.Reset()
	w.want(edit(w.seal(ev, envelope.SealOptions{}).JSON(), "dssematerial", nil), consumer.Quarantined,
		envelope.ReasonUnsigned)
	line := log.String()
	if !strings.Contains(line, "reason=unsigned") || !strings.Contains(line, "unverified_source="+source) ||
		strings.Contains(line, " source=") || len(line) > 1500 {
		t.Errorf("log: %s", line)
	}
}

var _ replay.Store = (*faultyStore)(nil)

// A date that passes must not keep a function from its next start: what has ended is without effect, and is
// said.
func TestNewTellsOfWhatHasEnded(t *testing.T) {
	w := newWorld(t)
	var log bytes.Buffer
	w.opts.Logger = slog.New(slog.NewTextHandler(&log, nil))
	fail := errors.New("called")
	migrates(w, &fail)
	w.opts.Permissions = []consumer.Permission{{ID: "repair", ReplayName: "again", From: start,
		To: start.Add(time.Minute), Until: start.Add(time.Hour)}}
	w.consumer()
	if log.Len() > 0 {
		t.Errorf("before the end: %s", &log)
	}
	w.clock.Advance(time.Hour)
	w.want(edit(w.event("1"), "dssematerial", nil), consumer.Quarantined, envelope.ReasonUnsigned)
	for _, want := range []string{"an UnsafeMigration has ended", "a Permission has ended", "repair"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not say %q: %s", want, &log)
		}
	}
}
