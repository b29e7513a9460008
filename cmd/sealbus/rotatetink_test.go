package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/tinkkeys"
	"github.com/sealbus/sealbus/keys/tinkkeys/tinkawskms"
	"github.com/sealbus/sealbus/keys/trust"
)

// tinkBench has a Tink keyset of producer orders with one key.
type tinkBench struct {
	*clitest.Bench
	flags []string
	open  func() *tinkkeys.Keyset
}

func newTinkBench(t *testing.T) *tinkBench {
	b := clitest.New(t)
	server := b.FakeAWS(nil)
	t.Setenv("AWS_ENDPOINT_URL", server.URL())
	client := kms.New(kms.Options{Region: "us-east-1", BaseEndpoint: aws.String(server.URL()),
		Credentials: credentials.NewStaticCredentialsProvider("AKIAEXAMPLE", "secret", "")})
	out, err := client.CreateKey(t.Context(), &kms.CreateKeyInput{})
	b.Check(err)
	arn := *out.KeyMetadata.Arn
	kek, err := tinkawskms.KEK(t.Context(), client, arn)
	b.Check(err)
	flags := []string{"--keyring", b.Path("o.tink"), "--tink-kek", arn, "--producer", "orders"}
	b.Must("", append([]string{"keys", "new"}, flags...)...)
	return &tinkBench{b, flags, func() *tinkkeys.Keyset {
		set, err := tinkkeys.Open(context.Background(), b.Path("o.tink"), kek, tinkkeys.Producer("orders"))
		b.Check(err)
		return set
	}}
}

func (b *tinkBench) rotate(more ...string) clitest.Ran {
	return b.Run("", append(append([]string{"keys", "rotate", "--output", "json"}, b.flags...), more...)...)
}

// applied is what a run of --apply did; "" = nothing.
func (b *tinkBench) applied(more ...string) (action, keyID string) {
	b.T.Helper()
	r := b.rotate(append(more, "--apply")...)
	var out struct {
		Applied *struct {
			Action string
			KeyID  string `json:"key_id"`
		}
	}
	b.Check(json.Unmarshal([]byte(r.Stdout), &out))
	if r.Code != ui.ExitDone {
		b.T.Fatalf("exit %d: %s%s", r.Code, r.Stdout, r.Stderr)
	}
	if out.Applied == nil {
		return "", ""
	}
	return out.Applied.Action, out.Applied.KeyID
}

// Several runs at once make one key. A run that comes too late is told to try again.
func TestRotateTinkAtOnce(t *testing.T) {
	b := newTinkBench(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if r := b.rotate("--apply"); r.Code != ui.ExitDone &&
				(r.Code != ui.ExitUnavailable || !strings.Contains(r.Stdout, "run the command again")) {
				t.Errorf("exit %d: %s%s", r.Code, r.Stdout, r.Stderr)
			}
		})
	}
	wg.Wait()
	b.applied() // if the one that made the key could not write its schedule
	entries := b.open().Entries()
	if len(entries) != 2 || !entries[0].Primary || entries[0].Schedule.Retired.IsZero() ||
		entries[1].Schedule.Active.IsZero() {
		t.Errorf("entries %+v", entries)
	}
}

// A run that was killed at any write leaves a keyset that opens and signs, and the next run goes on.
func TestRotateTinkAfterAKill(t *testing.T) {
	for name, left := range map[string]func(b *tinkBench){
		"before the keyset":    func(b *tinkBench) { b.leave("o.tink.new", "half of a keyset") },
		"before the schedule":  func(b *tinkBench) { b.leave("o.tink.schedule.new", `{"keys":[`) },
		"while it is locked":   func(b *tinkBench) { b.leave("o.tink.new", "") },
		"between the two":      func(b *tinkBench) { b.addOnly() },
		"twice, between them":  func(b *tinkBench) { b.addOnly(); b.addOnly() },
		"between, and at both": func(b *tinkBench) { b.addOnly(); b.leave("o.tink.schedule.new", "x"); b.leave("o.tink.new", "") },
	} {
		b := newTinkBench(t)
		old := b.open().Entries()[0].KeyID()
		left(b)
		before := len(b.open().Entries())
		wantSigner(t, name, b.open(), b.Now, old)
		action, made := b.applied()
		if n := len(b.open().Entries()); action != "make" || n != max(before, 2) {
			t.Errorf("%s: %s, %d keys", name, action, n)
		}
		wantSigner(t, name, b.open(), b.Now, old)
		for _, want := range []string{"activate", "retire", "prune", ""} {
			b.Now = b.Now.Add(4 * 24 * time.Hour)
			if want == "prune" {
				b.Now = b.Now.Add(30 * 24 * time.Hour)
			}
			if want == "" {
				break
			}
			if action, _ := b.applied(); action != want {
				t.Errorf("%s: %q, want %q", name, action, want)
			}
			wantSigner(t, name, b.open(), b.Now, made)
		}
		if n := len(b.open().Entries()); n != max(before, 2)-1 {
			t.Errorf("%s: %d keys are left", name, n)
		}
		if more, _ := filepath.Glob(b.Path("*.new")); more != nil {
			t.Errorf("%s: left behind: %v", name, more)
		}
	}
}

func (b *tinkBench) leave(name, content string) {
	b.Check(os.WriteFile(b.Path(name), []byte(content), 0o600))
}

// addOnly is a run that was killed after it had added a key, and before it wrote the schedule.
func (b *tinkBench) addOnly() {
	_, err := b.open().Add(context.Background(), keys.Ed25519)
	b.Check(err)
}

func wantSigner(t *testing.T, name string, set *tinkkeys.Keyset, now time.Time, want string) {
	t.Helper()
	signers, err := set.Signers(now)
	if err != nil || len(signers) != 1 || signers[0].Verifier().KeyID() != want {
		t.Errorf("%s: %v signs, %v; want %s", name, signers, err, want)
	}
}

// Moments that were typed in the trust policy alone are taken over from the bundle: a key with such an end
// must not go on signing when its program has an older bundle.
func TestRotateTinkHearsTheTrust(t *testing.T) {
	b := newTinkBench(t)
	b.addOnly() // and the operator lists it by hand
	entries := b.open().Entries()
	grant := func(e *tinkkeys.Entry, s keys.Schedule) *trust.Key {
		return &trust.Key{Verifier: e.Verifier, Producer: "orders", Sources: []string{"https://orders.example/*"},
			Types: []string{"*"}, Schedule: s, Since: b.Now.Add(-24 * time.Hour)}
	}
	active, retired := b.Now.Add(time.Hour), b.Now.Add(2*time.Hour)
	b.Trust(grant(&entries[0], keys.Schedule{Retired: retired, Expired: retired.Add(24 * time.Hour)}),
		grant(&entries[1], keys.Schedule{Active: active}))
	trusted := []string{"--trust", b.Path("trust.dsse"), "--roots", b.Path("roots.json")}
	if action, _ := b.applied(trusted...); action != "move" {
		t.Fatalf("applied %q", action)
	}
	if e := b.open().Entries(); !e[0].Schedule.Retired.Equal(retired) || !e[1].Schedule.Active.Equal(active) {
		t.Errorf("entries %+v", e)
	}
	wantSigner(t, "before", b.open(), b.Now, entries[0].KeyID())
	wantSigner(t, "after", b.open(), retired, entries[1].KeyID())
	if action, id := b.applied(trusted...); action != "" {
		t.Errorf("once more: %s %s", action, id)
	}
	b.Now = active
	if action, id := b.applied(trusted...); action != "activate" || id != entries[1].KeyID() {
		t.Errorf("then: %s %s", action, id)
	}
}

// A new key is not made primary before every consumer knows it, as long as the old one can sign.
func TestRotateTinkWaitsUntilKnown(t *testing.T) {
	b := newTinkBench(t)
	_, made := b.applied("--at", b.Now.Add(time.Minute).Format(time.RFC3339))
	entries := b.open().Entries()
	late := &trust.Key{Verifier: entries[1].Verifier, Producer: "orders", Types: []string{"*"},
		Sources: []string{"https://orders.example/*"}, Schedule: entries[1].Schedule, Since: b.Now}
	old := *late
	old.Verifier, old.Schedule, old.Since = entries[0].Verifier, entries[0].Schedule, b.Now.Add(-24*time.Hour)
	b.Trust(&old, late)
	trusted := []string{"--trust", b.Path("trust.dsse"), "--roots", b.Path("roots.json")}
	b.Now = b.Now.Add(time.Minute)
	if action, _ := b.applied(trusted...); action != "" {
		t.Errorf("too early: %s", action)
	}
	b.Now = b.Now.Add(4 * time.Hour)
	if action, id := b.applied(trusted...); action != "activate" || id != made {
		t.Errorf("then: %s %s", action, id)
	}
}

// A key that an operator disabled is no part of the plan, and `keys status` says so.
func TestDisabledTinkKey(t *testing.T) {
	b := newTinkBench(t)
	_, made := b.applied()
	b.Check(b.open().Disable(t.Context(), made))
	r := b.Run("", append([]string{"keys", "status"}, b.flags...)...)
	if !strings.Contains(r.Stdout, made[:12]+"…  sig  published") {
		t.Errorf("exit %d: %s", r.Code, r.Stdout)
	}
	b.Now = b.Now.Add(60 * time.Hour)
	r = b.Run("", append([]string{"keys", "status"}, b.flags...)...)
	if !strings.Contains(r.Stdout, made[:12]+"…  sig  disabled") {
		t.Errorf("exit %d: %s", r.Code, r.Stdout)
	}
	if e := b.open().Entries(); e[1].Status != keyset.Disabled || !e[0].Primary {
		t.Errorf("entries %+v", e)
	}
}

// A key that has expired and is still primary is not removed: first the next one becomes primary.
func TestPruneKeepsThePrimaryTinkKey(t *testing.T) {
	b := newTinkBench(t)
	old := b.open().Entries()[0].KeyID()
	_, made := b.applied()
	b.Now = b.Now.Add(60 * 24 * time.Hour)
	wantSigner(t, "without the step", b.open(), b.Now, made)
	prune := append([]string{"keys", "prune", "--yes"}, b.flags...)
	if r := b.Run("", prune...); r.Code != ui.ExitUsage || !strings.Contains(r.Stderr, "is still primary") ||
		len(b.open().Entries()) != 2 {
		t.Errorf("exit %d: %s%s", r.Code, r.Stdout, r.Stderr)
	}
	if action, id := b.applied(); action != "activate" || id != made {
		t.Errorf("applied %s %s", action, id)
	}
	b.Must("", prune...)
	if e := b.open().Entries(); len(e) != 1 || e[0].KeyID() == old {
		t.Errorf("entries %+v", e)
	}
}

// A key that is not primary and has no schedule never signs, so it is no successor of one that is to retire.
func TestRetireTinkNeedsASuccessorThatSigns(t *testing.T) {
	b := newTinkBench(t)
	b.addOnly()
	entries := b.open().Entries()
	b.Check(b.open().SetPrimary(t.Context(), entries[1].KeyID()))
	retire := append(append([]string{"keys", "retire", "--at", "+1h"}, b.flags...), "--", entries[1].KeyID())
	if r := b.Run("", retire...); r.Code != ui.ExitUsage || !strings.Contains(r.Stderr, "no other key") {
		t.Errorf("exit %d: %s%s", r.Code, r.Stdout, r.Stderr)
	}
	wantSigner(t, "refused", b.open(), b.Now.Add(2*time.Hour), entries[1].KeyID())
	past := b.Now.Add(-90 * 24 * time.Hour).Format(time.RFC3339)
	b.Must("", append(append([]string{"keys", "retire", "--at", past}, b.flags...), "--", entries[0].KeyID())...)
	if e := b.open().Entries()[0]; !b.Now.Add(29 * 24 * time.Hour).Before(e.Schedule.Expired) {
		t.Errorf("expired at %v", e.Schedule.Expired)
	}
}
