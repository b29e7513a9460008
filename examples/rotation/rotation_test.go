package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/examples/orders/orderstest"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/awskms"
	"github.com/sealbus/sealbus/keys/rotation"
	"github.com/sealbus/sealbus/keys/trust"
	"github.com/sealbus/sealbus/keys/trust/awss3"
)

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard)
	orderstest.Main(m)
}

// TestThreeDaysOfRenewals: no consumer is ever without trust, and no third of a timestamp's life is used up.
func TestThreeDaysOfRenewals(t *testing.T) {
	w := newWorld(t)
	source := w.consumer()
	for hour := range 72 {
		w.must(w.tick())
		ts := w.timestamp()
		if ts.Version != int64(hour+2) || !ts.Issued.Equal(w.clock) || ts.BundleVersion != 1 {
			t.Fatalf("hour %d: %+v", hour, ts)
		}
		if b, err := source.Refresh(t.Context(), w.clock); err != nil || b.Timestamp().Version != ts.Version {
			t.Fatalf("hour %d: a consumer has %v, %v", hour, b, err)
		}
		if got := w.measuredAs(); got[timestampLeft] != 100 || got[bundleLeft] < 90 || got[stepsLate] != 0 {
			t.Fatalf("hour %d: %v", hour, got)
		}
	}
	if n := len(w.ring().PublicKeys()); n != 1 {
		t.Errorf("the keyring has %d keys", n)
	}
}

// TestTakesUpANewBundle: it is where consumers look before the timestamp names it.
func TestTakesUpANewBundle(t *testing.T) {
	w := newWorld(t)
	source := w.consumer()
	w.publishBundle()
	w.before, w.wants = func(call) {
		if _, err := source.Refresh(t.Context(), w.clock); err != nil {
			t.Error(err)
		}
	}, isPut(timestampFile)
	w.must(w.tick())
	w.clock = w.clock.Add(time.Minute)
	b, err := source.Refresh(t.Context(), w.clock)
	if err != nil || b.Version() != 2 {
		t.Fatalf("%v, %v", b, err)
	}
	if ts := w.timestamp(); !ts.BundleSince.Equal(ts.Issued) {
		t.Errorf("%+v", ts)
	}
}

func isPut(name string) func(call) bool {
	return func(c call) bool {
		return c == call{"s3:PutObject", "arn:aws:s3:::" + testBucket + "/" + name}
	}
}

func isAction(name string) func(call) bool { return func(c call) bool { return c.action == name } }

// revoke is what the engineer on call does: `sealbus trust timestamp --revoke`.
func (w *world) revoke(id string) {
	w.Helper()
	ctx := w.Context()
	client, service, _ := clients(w.serve(w.cloud))
	j := &job{objects: client, bucket: testBucket, roots: w.roots, now: w.now}
	doc, etag, err := j.read(ctx, timestampFile)
	w.must(err)
	previous, err := trust.OpenPreviousTimestamp(doc, w.roots)
	w.must(err)
	b, err := trust.OpenBundle(w.object(bundleFile), w.roots, &trust.Options{Now: w.now,
		UnsafeNoTimestamp: true})
	w.must(err)
	ts, err := trust.NewTimestamp(w.roots, b, previous, trust.TimestampOptions{Now: w.clock,
		Revoke: map[string]trust.Revocation{id: {At: w.clock, Reason: "laptop stolen"}}})
	w.must(err)
	key, err := awskms.NewSigner(ctx, service, w.timestampKey, "timestamp", nil)
	w.must(err)
	signed, err := trust.SignTimestamp(ctx, ts, key)
	w.must(err)
	w.must(awss3.Replace(ctx, client, testBucket, timestampFile, etag, signed))
}

// TestEmergencyBetweenReadAndWrite: the renewal loses, and each later one carries the revocation over.
func TestEmergencyBetweenReadAndWrite(t *testing.T) {
	for _, at := range []func(call) bool{isAction("kms:Sign"), isPut(timestampFile),
		isAction("kms:GetPublicKey")} {
		w := newWorld(t)
		id := w.ring().PublicKeys()[0].KeyID()
		w.before, w.wants = func(call) { w.revoke(id) }, at
		w.must(w.tick())
		for range 48 {
			if r, ok := w.timestamp().Revoked[id]; !ok || r.Reason != "laptop stolen" || r.Since != 2 {
				t.Fatalf("at %s: %+v", w.clock, w.timestamp())
			}
			w.must(w.tick())
		}
		if b, err := w.consumer().Bundle(t.Context()); err != nil || b.Key(id).Revoked == nil {
			t.Errorf("a consumer has %v, %v", b, err)
		}
		if w.version > 1 || w.timestamp().Version < 40 {
			t.Errorf("%+v", w.timestamp())
		}
	}
}

// An emergency whose timestamp lives for an hour only is renewed at once.
func TestShortTimestampIsRenewed(t *testing.T) {
	w := newWorld(t)
	w.clock = w.clock.Add(time.Minute)
	if w.life = 3 * time.Hour; !w.isFresh(&trust.Timestamp{Issued: w.clock, Expires: w.clock.Add(w.life)}) {
		t.Error("a run after a run is to do nothing")
	}
	for _, ts := range []trust.Timestamp{
		{Issued: w.clock, Expires: w.clock.Add(time.Hour)},
		{Issued: w.clock.Add(-40 * time.Minute), Expires: w.clock.Add(24 * time.Hour)},
		{Issued: w.clock.Add(time.Hour), Expires: w.clock.Add(24 * time.Hour)},
	} {
		if w.isFresh(&ts) {
			t.Errorf("%+v is fresh", ts)
		}
	}
}

// TestTwoRenewalsAtOnce: one of them is enough, and neither fails.
func TestTwoRenewalsAtOnce(t *testing.T) {
	w := newWorld(t)
	w.before, w.wants = func(call) { w.must(w.run(t.Context())) }, isPut(timestampFile)
	w.must(w.tick())
	if v := w.timestamp().Version; v != 2 {
		t.Errorf("version %d", v)
	}
	w.must(w.run(t.Context()))
	if v := w.timestamp().Version; v != 2 {
		t.Errorf("version %d after a run that was started once more", v)
	}
}

// TestNeverStartsAnew: without the timestamp that is there, every revocation would be forgotten.
func TestNeverStartsAnew(t *testing.T) {
	for name, content := range map[string][]byte{"nothing": nil, "damaged": []byte("{}")} {
		w := newWorld(t)
		w.put(timestampFile, content)
		if err := w.tick(); err == nil || strings.Contains(fmt.Sprint(w.calls), "PutObject") {
			t.Errorf("%s: %v, %v", name, err, w.calls)
		}
	}
	w := newWorld(t)
	w.bucket = "another"
	if err := w.tick(); err == nil {
		t.Error("no bucket, and no error")
	}
}

// TestRootsThatExpire: their end is measured, and is an error when it has come.
func TestRootsThatExpire(t *testing.T) {
	w := newWorld(t)
	limited, err := w.roots.WithLimits(trust.RootsLimits{Expires: w.clock.Add(10*24*time.Hour + time.Hour)})
	w.must(err)
	w.roots = limited
	w.must(w.tick())
	if left := w.measuredAs()[rootsLeft]; left != 10 {
		t.Errorf("%v days", left)
	}
	w.clock = w.clock.Add(10 * 24 * time.Hour)
	if err := w.tick(); err == nil || w.measuredAs()[rootsLeft] != 0 {
		t.Errorf("%v, %v", err, w.measuredAs())
	}
}

// TestAfterALongOutage the timestamp has expired, and is followed all the same.
func TestAfterALongOutage(t *testing.T) {
	w := newWorld(t)
	id := w.ring().PublicKeys()[0].KeyID()
	w.revoke(id)
	w.clock = w.clock.Add(5 * 24 * time.Hour)
	w.must(w.tick())
	if ts := w.timestamp(); len(ts.Revoked) != 1 {
		t.Errorf("%+v", ts)
	}
}

// TestBundlesThatAreNotPublished: the one that counts goes on to count, and the error says why.
func TestBundlesThatAreNotPublished(t *testing.T) {
	w := newWorld(t)
	first := w.object(bundleFile)
	w.publishBundle()
	w.must(w.tick())
	otherSecond, _ := w.bundleOf(2)
	w.clock = w.clock.Add(time.Minute)
	stranger, err := trust.GenerateRootKey(keys.Ed25519)
	w.must(err)
	_, b := w.bundleOf(3)
	forged, err := trust.SignBundle(t.Context(), b, stranger)
	w.must(err)
	w.clock = w.clock.Add(time.Minute)
	other, _ := w.bundleOf(2)
	for name, c := range map[string]struct {
		content []byte
		why     trust.BundleWhy
	}{
		"older": {first, trust.WhyRollback}, "forged": {forged, trust.WhyThreshold},
		"damaged":                     {otherSecond[:100], trust.WhyMalformed},
		"another of the same version": {other, trust.WhyEquivocate},
	} {
		w.put(bundleFile, c.content)
		before := w.timestamp()
		err := w.tick()
		var refused *trust.BundleError
		if !errors.As(err, &refused) || refused.Why != c.why {
			t.Errorf("%s: %v", name, err)
		}
		after := w.timestamp()
		if after.Version != before.Version+1 || after.BundleSHA256 != before.BundleSHA256 {
			t.Errorf("%s: %+v", name, after)
		}
		if got := w.measuredAs(); got[timestampLeft] != 100 || got[bundleLeft] == 0 {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestRotatesTheKeyring plays twenty days with root holders who need a day: a key signs at every hour, and
// consumers accept it.
func TestRotatesTheKeyring(t *testing.T) {
	w := newWorld(t)
	source := w.consumer()
	first, seen := w.ring().PublicKeys()[0].KeyID(), map[string]bool{}
	var listed time.Time // when the root holders are to have listed the new key
	for range 20 * 24 {
		w.must(w.tick())
		ring := w.ring()
		b, err := source.Refresh(t.Context(), w.clock)
		w.must(err)
		signers, err := ring.Signers(w.clock)
		w.must(err)
		id := signers[0].Verifier().KeyID()
		seen[id] = true
		if k := b.Key(id); k == nil || k.Revoked != nil || !k.Schedule.SignsAt(w.clock) {
			t.Fatalf("at %s key %s signs, and consumers have %+v", w.clock, id, k)
		}
		if got := w.measuredAs(); got[stepsLate] != 0 {
			t.Fatalf("at %s: %v", w.clock, got)
		}
		missing := false
		for _, k := range ring.PublicKeys() {
			missing = missing || b.Key(k.KeyID()) == nil
		}
		switch {
		case missing && listed.IsZero():
			listed = w.clock.Add(24 * time.Hour)
		case missing && !w.clock.Before(listed):
			w.publishBundle()
			listed = time.Time{}
		}
	}
	if len(seen) != 3 {
		t.Errorf("in twenty days signed %v", seen)
	}
	if _, ok := w.ring().Find(first); ok {
		t.Error("the first key is still there")
	}
}

// TestStepsThatAreLate: the alarm comes a day before the new key would sign with consumers not knowing it.
func TestStepsThatAreLate(t *testing.T) {
	w := newWorld(t)
	var made, alarmed time.Time
	for range 9 * 24 {
		w.must(w.tick())
		public := w.ring().PublicKeys()
		if len(public) > 1 && made.IsZero() {
			made = w.clock
		}
		if w.measuredAs()[stepsLate] > 0 {
			alarmed = w.clock
			early := public[1].Schedule.Active.Sub(alarmed)
			if early < notice-2*time.Hour || early > notice+2*time.Hour {
				t.Errorf("made at %s, alarmed %s before it signs", made, early)
			}
			return
		}
	}
	t.Errorf("made at %s, no alarm by %s", made, w.clock)
}

// due lets the making of a new key be due at the next run.
func (w *world) due() {
	w.Helper()
	w.clock = w.clock.Add(w.every - rotation.DefaultReview - 2*time.Hour)
	w.must(w.tick()) // the timestamp had expired
	if n := len(w.ring().PublicKeys()); n != 1 {
		w.Fatalf("the keyring has %d keys already", n)
	}
}

// TestTwoRotationsAtOnce make one key.
func TestTwoRotationsAtOnce(t *testing.T) {
	for _, at := range []string{"secretsmanager:PutSecretValue", "secretsmanager:UpdateSecretVersionStage"} {
		w := newWorld(t)
		w.due()
		w.before, w.wants = func(call) { w.must(w.run(t.Context())) }, isAction(at)
		w.must(w.tick())
		if n := len(w.ring().PublicKeys()); n != 2 {
			t.Errorf("%s: %d keys", at, n)
		}
		w.must(w.tick())
		if n := len(w.ring().PublicKeys()); n != 2 {
			t.Errorf("%s: %d keys an hour later", at, n)
		}
	}
}

// TestSecretChangedByAnother: its change survives.
func TestSecretChangedByAnother(t *testing.T) {
	w := newWorld(t)
	w.due()
	other, err := keys.GenerateSigner(keys.MLDSA65, "orders")
	w.must(err)
	w.before, w.wants = func(call) {
		content, err := w.ring().With(&keys.Change{Add: other})
		w.must(err)
		w.vault.store("other", content, current)
	}, isAction("secretsmanager:UpdateSecretVersionStage")
	w.must(w.tick())
	if _, ok := w.ring().Find(other.Verifier().KeyID()); !ok || w.vault.labels[current] == "first" {
		t.Errorf("the key of another is gone: %v", w.ring().PublicKeys())
	}
}

// TestOnePartFailsTheOtherGoesOn in both directions.
func TestOnePartFailsTheOtherGoesOn(t *testing.T) {
	w := newWorld(t)
	w.due()
	w.denies = func(c call) bool { return strings.HasPrefix(c.action, "kms:") }
	if err := w.tick(); err == nil || !strings.Contains(err.Error(), "timestamp: ") {
		t.Errorf("KMS is down: %v", err)
	}
	if n := len(w.ring().PublicKeys()); n != 2 {
		t.Errorf("KMS is down, and the keyring has %d keys", n)
	}
	left := 100.0
	for hour := 2; hour <= 13; hour++ {
		if err := w.tick(); err == nil {
			t.Fatal("KMS is down, and nothing is said")
		}
		left = w.measuredAs()[timestampLeft]
		if isAlarmed := left < 50; isAlarmed != (hour > 12) {
			t.Errorf("after %d hours %v %% is left", hour, left)
		}
	}
	w.denies = func(c call) bool { return strings.HasPrefix(c.action, "secretsmanager:") }
	if err := w.tick(); err == nil || !strings.Contains(err.Error(), "keyring: ") {
		t.Errorf("Secrets Manager is down: %v", err)
	}
	got := w.measuredAs()
	if _, ok := got[stepsLate]; ok || got[timestampLeft] != 100 {
		t.Errorf("%v", got)
	}
	w.denies = nil
	w.must(w.tick())
}

// TestKilledBetweenAnyTwoCalls: before a call, or after it and before the answer. The next run goes on.
func TestKilledBetweenAnyTwoCalls(t *testing.T) {
	for n := 1; ; n++ {
		calls := 0
		for _, isDone := range []bool{false, true} {
			w := newWorld(t)
			w.due()
			w.publishBundle()
			id := w.ring().PublicKeys()[0].KeyID()
			w.revoke(id)
			w.clock = w.clock.Add(time.Hour)
			w.killAt(n, isDone)
			err := w.tick()
			var isDead bool
			if calls, isDead = w.seen(); isDead && err == nil && !isDone {
				t.Errorf("killed at call %d: no error", n)
			}
			w.ring() // is whole
			w.killAt(0, false)
			w.must(w.tick())
			if b, err := w.consumer().Bundle(t.Context()); err != nil || b.Version() != 2 ||
				b.Key(id).Revoked == nil {
				t.Errorf("killed at call %d: a consumer has %v, %v", n, b, err)
			}
			if got := len(w.ring().PublicKeys()); got != 2 {
				t.Errorf("killed at call %d: %d keys", n, got)
			}
			if ts := w.timestamp(); !ts.Issued.Equal(w.clock) || len(ts.Revoked) != 1 {
				t.Errorf("killed at call %d: %+v", n, ts)
			}
		}
		if calls < n {
			break
		}
		if n > 50 {
			t.Fatal("a run does not end")
		}
	}
}

// TestShowsNoSecret: neither the log nor an error has a private half.
func TestShowsNoSecret(t *testing.T) {
	var logged bytes.Buffer
	log.SetOutput(&logged)
	defer log.SetOutput(io.Discard)
	w := newWorld(t)
	w.due()
	err := w.tick()
	shown := fmt.Sprint(err, logged.String(), w.metrics.String())
	if !strings.Contains(shown, "the policy is to list key") {
		t.Errorf("no reader hears of the new key: %s", shown)
	}
	for _, content := range w.vault.versions {
		for _, part := range bytes.Split(content, []byte(`"d":"`))[1:] {
			if d, _, _ := strings.Cut(string(part), `"`); strings.Contains(shown, d) {
				t.Error("the private half is shown")
			}
		}
	}
}

// TestGivesUp when others are always faster, and says so.
func TestGivesUp(t *testing.T) {
	w := newWorld(t)
	always := func() {}
	always = func() {
		w.before, w.wants = func(call) { w.put(timestampFile, append(w.object(timestampFile), ' ')); always() },
			isPut(timestampFile)
	}
	always()
	if err := w.tick(); !errors.Is(err, awss3.ErrChanged) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.run(ctx); err == nil {
		t.Error("a run without time is done")
	}
}
