package home_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/home"
	"github.com/sealbus/sealbus/internal/privatefile"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
	"github.com/sealbus/sealbus/producer"
)

func order() event.Event {
	ev := event.New()
	ev.SetID("o-1")
	ev.SetSource("https://orders.example/eu")
	ev.SetType("com.example.order.placed")
	_ = ev.SetData("application/json", map[string]any{"total": 12.5})
	return ev
}

// publish publishes an order, and is what the consumer made of it.
func publish(t *testing.T, dir string, opts *producer.Options) (consumer.Result, error) {
	t.Helper()
	bus := producer.NewLocalBus(nil)
	c, err := home.Consumer(dir, "", replay.NewMemory(nil), nil)
	if err != nil {
		return consumer.Result{}, err
	}
	var result consumer.Result
	bus.Subscribe(func(ctx context.Context, delivery []byte) error {
		result, _ = c.Handle(ctx, consumer.Message{Body: delivery, Format: consumer.EventBridge},
			func(context.Context, consumer.Delivery[[]byte]) error { return nil })
		return nil
	})
	p, err := home.Producer(dir, "orders", bus, opts)
	if err != nil {
		return consumer.Result{}, err
	}
	_, err = p.Publish(t.Context(), order())
	return result, err
}

// The key of a bundle that was issued this second signs at once.
func TestFreshKeySignsAtOnce(t *testing.T) {
	m := newHome(t)
	result, err := publish(t, m.dir, nil)
	if err != nil || result.Outcome != consumer.Handled {
		t.Fatalf("%v, %v", result, err)
	}
}

// A bundle of a later build says since when a key is granted. Its producer signs on.
func TestKeyOfALaterBundleSigns(t *testing.T) {
	m := newHome(t)
	m.since = m.now.Add(-time.Hour).Truncate(time.Second)
	if err := m.publish(2); err != nil {
		t.Fatal(err)
	}
	result, err := publish(t, m.dir, nil)
	if err != nil || result.Outcome != consumer.Handled {
		t.Fatalf("%v, %v", result, err)
	}
}

// A key that a timestamp revokes publishes nothing, also from a producer that was there before.
func TestRevokedKeyPublishesNothing(t *testing.T) {
	m := newHome(t)
	now := time.Now()
	later := now // the clock of the producer that is there before
	bus := producer.NewLocalBus(nil)
	bus.Subscribe(func(context.Context, []byte) error { return nil })
	p, err := home.Producer(m.dir, "orders", bus,
		&producer.Options{Now: func() time.Time { return later }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Publish(t.Context(), order()); err != nil {
		t.Fatal(err)
	}
	if err := m.sign(trust.TimestampOptions{Now: now, Revoke: map[string]trust.Revocation{
		m.signer.Verifier().KeyID(): {At: now, Reason: "stolen"}}}); err != nil {
		t.Fatal(err)
	}
	_, err = publish(t, m.dir, nil)
	if refused, ok := errors.AsType[*producer.TrustError](err); !ok || refused.Reason != envelope.ReasonRevokedKey {
		t.Errorf("a producer that starts now: %v", err)
	}
	later = now.Add(2 * time.Second) // it looks at the files once a second
	_, err = p.Publish(t.Context(), order())
	if refused, ok := errors.AsType[*producer.TrustError](err); !ok || refused.Reason != envelope.ReasonRevokedKey {
		t.Errorf("a producer that runs: %v", err)
	}
}

// Without a live timestamp nothing is sent, and the error says what renews it.
func TestExpiredTimestamp(t *testing.T) {
	m := newHome(t)
	m.timestamp = nil
	m.now = time.Now().Add(-8 * 24 * time.Hour)
	if err := m.publish(1); err != nil {
		t.Fatal(err)
	}
	_, err := home.Producer(m.dir, "orders", producer.NewLocalBus(nil), nil)
	if err == nil || !strings.Contains(err.Error(), "sealbus dev") {
		t.Errorf("the error is %v", err)
	}
	h, err := home.Open(m.dir)
	if err != nil {
		t.Fatal(err)
	}
	if renewed, err := h.Renew(t.Context(), time.Now()); err != nil || !renewed {
		t.Fatalf("not renewed: %v", err)
	}
	if result, err := publish(t, m.dir, nil); err != nil || result.Outcome != consumer.Handled {
		t.Errorf("after the renewal: %v, %v", result, err)
	}
}

// A renewal comes when half of the life is over, keeps what is revoked, and changes nothing without the key.
func TestRenew(t *testing.T) {
	m := newHome(t)
	now := time.Now()
	id := m.signer.Verifier().KeyID()
	if err := m.sign(trust.TimestampOptions{Now: now, Lifetime: 24 * time.Hour,
		Revoke: map[string]trust.Revocation{id: {At: now, Reason: "stolen"}}}); err != nil {
		t.Fatal(err)
	}
	h, err := home.Open(m.dir)
	if err != nil {
		t.Fatal(err)
	}
	if renewed, err := h.Renew(t.Context(), now.Add(11*time.Hour)); err != nil || renewed {
		t.Errorf("renewed too early: %t, %v", renewed, err)
	}
	unlock, err := h.Lock()
	if err != nil {
		t.Fatal(err)
	}
	if renewed, err := h.Renew(t.Context(), now.Add(13*time.Hour)); err != nil || renewed {
		t.Errorf("renewed while another process changes the home: %t, %v", renewed, err)
	}
	unlock()
	if renewed, err := h.Renew(t.Context(), now.Add(13*time.Hour)); err != nil || !renewed {
		t.Fatalf("not renewed: %v", err)
	}
	signed, err := os.ReadFile(m.path("trust/timestamp.dsse"))
	if err != nil {
		t.Fatal(err)
	}
	ts, err := trust.OpenTimestamp(signed, m.roots, now.Add(14*time.Hour))
	if err != nil || ts.Version != m.timestamp.Version+1 || ts.Revoked[id].Reason != "stolen" {
		t.Errorf("%+v, %v", ts, err)
	}
	if err := os.Remove(m.path("secret/timestamp.key")); err != nil {
		t.Fatal(err)
	}
	if renewed, err := h.Renew(t.Context(), now.Add(400*time.Hour)); err != nil || renewed {
		t.Errorf("renewed without the key: %t, %v", renewed, err)
	}
}

// Each file that another user could change, and each link, is refused, with the file in the error.
func TestHostileHomes(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes say nothing here")
	}
	link := func(name string) func(m *maker) error {
		return func(m *maker) error {
			if err := os.Rename(m.path(name), m.path("moved")); err != nil {
				return err
			}
			return os.Symlink(m.path("moved"), m.path(name))
		}
	}
	mode := func(name string, mode os.FileMode) func(m *maker) error {
		return func(m *maker) error { return os.Chmod(m.path(name), mode) }
	}
	for _, c := range []struct {
		name, says string
		do         func(m *maker) error
	}{
		{"home for all", "chmod go-w", mode(".", 0o777)},
		{"home for the group", "chmod go-w", mode(".", 0o775)},
		{"file for all", home.File, mode(home.File, 0o666)},
		{"roots for all", "roots.json", mode("trust/roots.json", 0o666)},
		{"bundle for the group", "trust.dsse", mode("trust/trust.dsse", 0o664)},
		{"directory for all", "trust", mode("trust", 0o777)},
		{"keyring to read", "chmod 600", mode("secret/orders.keyring", 0o644)},
		{"secrets to write", "secret", mode("secret", 0o770)},
		{"file is a link", home.File, link(home.File)},
		{"roots are a link", "roots.json", link("trust/roots.json")},
		{"trust is a link", "trust", link("trust")},
		{"keyring is a link", "orders.keyring", link("secret/orders.keyring")},
		{"secrets are a link", "secret", link("secret")},
		{"state is a link", "state", link("state")},
		{"no keyring", "orders.keyring is missing", func(m *maker) error { return os.Remove(m.path("secret/orders.keyring")) }},
		{"no roots", "roots.json is missing", func(m *maker) error { return os.Remove(m.path("trust/roots.json")) }},
		{"no bundle", "trust.dsse is missing", func(m *maker) error { return os.Remove(m.path("trust/trust.dsse")) }},
	} {
		m := newHome(t)
		if err := c.do(m); err != nil {
			t.Fatal(err)
		}
		_, err := home.Producer(m.dir, "orders", producer.NewLocalBus(nil), nil)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: the error is %v, it should say %q", c.name, err, c.says)
		}
	}
}

// A home that is found counts where it was made; a copy must be named.
func TestFoundHomes(t *testing.T) {
	m := newHome(t)
	t.Chdir(m.dir)
	h, err := home.Find("")
	if err != nil || !h.Found() {
		t.Fatalf("%v", err)
	}
	copied := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(copied, os.DirFS(m.dir)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"state/here", "secret/orders.keyring", "secret/billing.keyring"} {
		if err := os.Chmod(filepath.Join(copied, name), 0o600); err != nil { // CopyFS adds bits
			t.Fatal(err)
		}
	}
	t.Chdir(copied)
	if runtime.GOOS != "windows" {
		if _, err := home.Find(""); !errors.As(err, new(*home.CopiedError)) {
			t.Errorf("a copy: %v", err)
		}
	}
	if h, err := home.Find("."); err != nil || h.Found() {
		t.Errorf("a copy that is named: %v", err)
	}
	t.Setenv(home.Variable, copied)
	t.Chdir(t.TempDir())
	if h, err := home.Find(""); err != nil || h.Found() || h.Dir() != copied {
		t.Errorf("a copy that the environment names: %v", err)
	}
	t.Setenv(home.Variable, "")
	if _, err := home.Find(""); !errors.Is(err, home.ErrNone) || !strings.Contains(err.Error(), "sealbus init") {
		t.Errorf("no home: %v", err)
	}
	if _, err := home.Open(filepath.Join(copied, "none")); !errors.Is(err, home.ErrNone) {
		t.Errorf("no directory: %v", err)
	}
}

// The keyring of another is refused before it signs in a wrong name.
func TestKeyringOfAnother(t *testing.T) {
	m := newHome(t)
	if err := os.Remove(m.path("secret/orders.keyring")); err != nil {
		t.Fatal(err)
	}
	key, err := keys.GenerateSigner(keys.Ed25519, "stock")
	if err == nil {
		_, err = keys.CreateKeyring(m.path("secret/orders.keyring"), "", "stock",
			&keys.KeyringOptions{PrivateFileOptions: insecure, Key: key})
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := home.Producer(m.dir, "orders", producer.NewLocalBus(nil), nil); err == nil {
		t.Error("orders signs with the keyring of stock")
	}
}

// The newest bundle is remembered: another process of the home refuses an older one.
func TestStateIsShared(t *testing.T) {
	m := newHome(t)
	old, err := os.ReadFile(m.path("trust/trust.dsse"))
	if err != nil {
		t.Fatal(err)
	}
	oldStamp, err := os.ReadFile(m.path("trust/timestamp.dsse"))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.publish(2); err != nil {
		t.Fatal(err)
	}
	if result, err := publish(t, m.dir, nil); err != nil || result.Outcome != consumer.Handled {
		t.Fatalf("%v, %v", result, err)
	}
	for name, doc := range map[string][]byte{"trust/trust.dsse": old, "trust/timestamp.dsse": oldStamp} {
		if err := os.WriteFile(m.path(name), doc, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	h, err := home.Open(m.dir)
	if err != nil {
		t.Fatal(err)
	}
	source, err := h.Trust(nil)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := source.Bundle(t.Context()); err != nil || b.Version() != 2 {
		t.Errorf("the bundle is %v, %v", b, err)
	}
}

// Root is not made to trust a user: the home in that user's directory must be named.
func TestFoundHomeOfAnotherUser(t *testing.T) {
	m := newHome(t)
	if err := os.Chown(m.dir, 12345, -1); err != nil {
		t.Skipf("this user cannot give a directory away: %v", err)
	}
	t.Chdir(m.dir)
	if _, err := home.Find(""); !errors.As(err, new(*home.CopiedError)) {
		t.Errorf("the home of another user: %v", err)
	}
	if _, err := home.Find("."); err != nil {
		t.Errorf("named: %v", err)
	}
}

// Without state/, as in a clone, the lock makes it: of two processes, one goes on.
func TestLockInAClone(t *testing.T) {
	m := newHome(t)
	if err := os.RemoveAll(m.path("state")); err != nil {
		t.Fatal(err)
	}
	h, err := home.Open(m.dir)
	if err != nil {
		t.Fatal(err)
	}
	unlock, err := h.Lock()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Lock(); !errors.Is(err, privatefile.ErrLocked) {
		t.Errorf("a second process: %v", err)
	}
	unlock()
	if unlock, err = h.Lock(); err != nil {
		t.Fatalf("after the first: %v", err)
	}
	unlock()
	if _, err := os.Lstat(m.path("state/lock")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it leaves the lock: %v", err)
	}
}

// The lock does not lead over a link, and removes no file that has content.
func TestLockRemovesNoFileOfOthers(t *testing.T) {
	m := newHome(t)
	h, err := home.Open(m.dir)
	if err != nil {
		t.Fatal(err)
	}
	victim := filepath.Join(t.TempDir(), "victim")
	if err := errors.Join(os.Rename(m.path("state"), victim), os.Symlink(victim, m.path("state")),
		os.WriteFile(filepath.Join(victim, "lock"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	unlock, err := h.Lock()
	if err == nil {
		unlock()
	}
	if _, left := os.Lstat(filepath.Join(victim, "lock")); err == nil || left != nil {
		t.Errorf("over a link: %v, %v", err, left)
	}
	if err := errors.Join(os.Remove(m.path("state")), os.Rename(victim, m.path("state")),
		os.WriteFile(m.path("state/lock"), []byte("precious"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if unlock, err = h.Lock(); err == nil {
		unlock()
	}
	if is, err := os.ReadFile(m.path("state/lock")); err != nil || string(is) != "precious" {
		t.Errorf("a file of others: %q, %v", is, err)
	}
}

// Half of a mark, or that of a copy, is written anew by the next init.
func TestMarkIsWrittenAnew(t *testing.T) {
	m := newHome(t)
	if err := os.WriteFile(m.path("state/here"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := home.MarkMadeHere(m.dir); err != nil || runtime.GOOS != "windows" && !home.MadeHere(m.dir) {
		t.Errorf("made here: %t, %v", home.MadeHere(m.dir), err)
	}
}

// A renewal vouches for the bundle that the timestamp named, and for no other one that lies in its place.
func TestRenewVouchesForNoOtherBundle(t *testing.T) {
	m := newHome(t)
	stamp, err := os.ReadFile(m.path("trust/timestamp.dsse"))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.publish(2); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(m.path("trust/timestamp.dsse"), stamp, 0o644); err != nil { // not made for 2
		t.Fatal(err)
	}
	h, err := home.Open(m.dir)
	if err != nil {
		t.Fatal(err)
	}
	renewed, err := h.Renew(t.Context(), time.Now().Add(6*24*time.Hour))
	if err == nil || renewed || !strings.Contains(err.Error(), "another bundle") {
		t.Errorf("renewed: %t, %v", renewed, err)
	}
	if is, err := os.ReadFile(m.path("trust/timestamp.dsse")); err != nil || string(is) != string(stamp) {
		t.Errorf("the timestamp was replaced: %v", err)
	}
}

// The command in an error is one that a shell reads as it is meant, whatever the directory is called.
func TestAdviceIsQuoted(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a; touch b's")
	_, err := home.Open(dir)
	missing, ok := errors.AsType[*home.MissingError](err)
	if want := " --dir '" + strings.ReplaceAll(dir, "'", `'\''`) + "'"; !ok || !strings.HasSuffix(missing.Command, want) {
		t.Errorf("the error is %v", err)
	}
}

// A timestamp that was signed while the clock was ahead is followed by a good one, once the clock is right.
func TestRenewAfterAWrongClock(t *testing.T) {
	m := newHome(t)
	h, err := home.Open(m.dir)
	if err != nil {
		t.Fatal(err)
	}
	if renewed, err := h.Renew(t.Context(), time.Now().Add(6*24*time.Hour)); err != nil || !renewed {
		t.Fatalf("renewed: %t, %v", renewed, err)
	}
	if renewed, err := h.Renew(t.Context(), time.Now()); err != nil || !renewed {
		t.Errorf("renewed: %t, %v", renewed, err)
	}
	if result, err := publish(t, m.dir, nil); err != nil || result.Outcome != consumer.Handled {
		t.Errorf("%v, %v", result, err)
	}
}

// A program that changes its working directory still follows the trust of the home that was found there.
func TestTrustIsFollowedFromElsewhere(t *testing.T) {
	m := newHome(t)
	now := time.Now()
	clock := now
	t.Chdir(m.dir)
	bus := producer.NewLocalBus(nil)
	bus.Subscribe(func(context.Context, []byte) error { return nil })
	p, err := home.Producer("", "orders", bus, &producer.Options{Now: func() time.Time { return clock }})
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	if err := m.sign(trust.TimestampOptions{Now: now, Revoke: map[string]trust.Revocation{
		m.signer.Verifier().KeyID(): {At: now, Reason: "stolen"}}}); err != nil {
		t.Fatal(err)
	}
	clock = now.Add(2 * time.Second) // it looks at the files once a second
	_, err = p.Publish(t.Context(), order())
	if refused, ok := errors.AsType[*producer.TrustError](err); !ok || refused.Reason != envelope.ReasonRevokedKey {
		t.Errorf("a revoked key was published: %v", err)
	}
}

// The key of the home authenticates the records of a consumer, in its name. An error quotes no key.
func TestQuarantineKeys(t *testing.T) {
	m := newHome(t)
	if _, err := home.QuarantineKeys(m.dir, ""); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	for text, good := range map[string]bool{"CANARY": false, "CANARYCANARY": false, strings.Repeat("CANARY0/", 6): true} {
		if err := os.WriteFile(m.path("secret/quarantine.key"), []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		k, err := home.QuarantineKeys(m.dir, "")
		if good && (err != nil || k.Name() != "billing") || !good && (err == nil || strings.Contains(err.Error(), "CANARY")) {
			t.Errorf("%q: %q, %v", text, k.Name(), err)
		}
	}
	if _, err := home.QuarantineKeys(m.dir, "stock"); err == nil {
		t.Error("a consumer that the home does not have")
	}
	if err := os.Chmod(m.path("secret/quarantine.key"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := home.QuarantineKeys(m.dir, ""); err == nil && runtime.GOOS != "windows" {
		t.Error("a key that others may read")
	}
}

func opened(t *testing.T, m *maker) *home.Home {
	t.Helper()
	h, err := home.Open(m.dir)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// trusted is the bundle of the home by that clock.
func trusted(t *testing.T, h *home.Home, now time.Time) *trust.Bundle {
	t.Helper()
	source, err := h.Trust(func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	b, err := source.Bundle(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestWrongClockIsSetRight: one command whose clock was ahead renews the timestamp, and looks. Then the clock
// is right, and all that is published counts.
func TestWrongClockIsSetRight(t *testing.T) {
	m := newHome(t)
	h := opened(t, m)
	id, now := m.signer.Verifier().KeyID(), time.Now()
	m.now = now.Add(20 * 24 * time.Hour) // the bundle, too, was first named by the clock that was ahead
	m.timestamp = nil
	if err := m.publish(1); err != nil {
		t.Fatal(err)
	}
	for _, ahead := range []time.Duration{25 * 24 * time.Hour, 40 * 24 * time.Hour} {
		if renewed, err := h.Renew(t.Context(), now.Add(ahead)); !renewed || err != nil {
			t.Fatalf("renewed %t, %v", renewed, err)
		}
		trusted(t, h, now.Add(ahead))
		if renewed, err := h.Renew(t.Context(), now); !renewed || err != nil {
			t.Fatalf("right again: renewed %t, %v", renewed, err)
		}
		if b := trusted(t, h, now); b.Expires().After(now.Add(8 * 24 * time.Hour)) {
			t.Errorf("%s ahead: the bundle lives until %s", ahead, b.Expires())
		}
	}
	var err error
	if m.timestamp, err = m.published(); err != nil {
		t.Fatal(err)
	}
	m.now = now
	if err := m.publish(2); err != nil {
		t.Fatal(err)
	}
	if b := trusted(t, h, now); b.Version() != 2 {
		t.Errorf("bundle %d is in use", b.Version())
	}
	if err := m.sign(m.revoking(id)); err != nil {
		t.Fatal(err)
	}
	if trusted(t, h, now).Key(id).Revoked == nil {
		t.Error("the key is not revoked")
	}
}
