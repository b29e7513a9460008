package quarantine_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
	cmd "github.com/sealbus/sealbus/cmd/sealbus/internal/quarantine"
	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
)

// TestQuarantineOfEncrypted: without an identity a record is judged as far as that goes, and can be reopened;
// with one it is seen whether it opens.
func TestQuarantineOfEncrypted(t *testing.T) {
	q := inDir(t)
	q.SecretOrg()
	sealed := q.Must(clitest.Order("o-1"), q.Seal("--encrypt-to", q.Path("billing.pub.json"))...)
	blind := q.consumer("billing", replay.NewMemory(nil), nil)
	r, err := blind.Handle(t.Context(), consumer.Message{Body: []byte(sealed)},
		func(context.Context, consumer.Delivery[[]byte]) error { return nil })
	if err != nil || r.Reason() != envelope.ReasonNotARecipient || r.Outcome != consumer.Quarantined {
		t.Fatalf("%+v, %v", r, err)
	}
	id := q.ids()[0]
	show := func(more ...string) (v cmd.RecordView) {
		r := q.Run("", q.command("show", append(append(more, q.trustFlags()...), "--output", "json",
			id)...)...)
		q.Check(json.Unmarshal([]byte(r.Stdout), &v))
		return v
	}
	if v := show(); v.Now.Verdict != "verified" || !v.Now.Unread {
		t.Errorf("%+v", v.Now)
	}
	if v := show("--identity", q.Path("billing.keyring"),
		"--insecure-no-passphrase"); v.Now.Verdict != "verified" || v.Now.Unread {
		t.Errorf("%+v", v.Now)
	}
	other := filepath.Join(q.Dir, "other.jwk")
	q.Check(os.WriteFile(other, []byte(clitest.OtherIdentity(t)), 0o600))
	if v := show("--identity", other); v.Now.Reason != envelope.ReasonNotARecipient {
		t.Errorf("%+v", v.Now)
	}
	q.Must("", q.command("reopen", append(q.trustFlags(), "--to-queue", q.queue, id)...)...)
	if n := len(q.received()); n != 1 {
		t.Errorf("%d records were sent", n)
	}
}

// A record of an event whose decrypted data did not fit tells the field and no data, in every form of
// showing it.
func TestQuarantineShowTellsNoDecryptedData(t *testing.T) {
	q := inDir(t)
	orders := q.EncryptedOrders()
	ring, err := keys.OpenKeyring(q.Path("billing.keyring"), "",
		&keys.PrivateFileOptions{InsecureNoPassphrase: true})
	q.Check(err)
	d, err := envelope.NewDecrypter(envelope.DecryptWith{Identities: ring})
	q.Check(err)
	type data struct {
		Card struct {
			Number int8 `json:"tangerine-zeppelin-0451"`
		}
	}
	typed := consumer.Typed(func(context.Context, consumer.Delivery[data]) error { return nil })
	c := q.decrypting("billing", d)
	for _, sealed := range orders {
		r, err := c.Handle(t.Context(), consumer.Message{Body: []byte(sealed), Account: shopAccount}, typed)
		if err != nil || r.Reason() != envelope.ReasonSchemaInvalid || r.Outcome != consumer.Quarantined {
			t.Fatalf("%+v, %v", r, err)
		}
	}
	judged := append(q.trustFlags(), "--identity", q.Path("billing.keyring"), "--insecure-no-passphrase")
	for _, id := range q.ids() {
		for _, more := range [][]string{{id}, append(judged, id), {"--body", id}} {
			for _, form := range []string{"text", "json"} {
				r := q.Run("", q.command("show", append(more, "--output", form)...)...)
				q.NoCanary("show", r.Stdout+r.Stderr)
			}
		}
		if r := q.Run("", q.command("show", id)...); !strings.Contains(r.Stdout, "Card.Number") {
			t.Errorf("it does not say which field: %s", r.Stdout)
		}
	}
	for _, more := range [][]string{nil, {"--output", "json"}} {
		r := q.Run("", q.command("list", more...)...)
		q.NoCanary("list", r.Stdout+r.Stderr)
	}
}

// decrypting is a consumer of everything, with the keys to open it.
func (q *bin) decrypting(name string, d *envelope.Decrypter) *consumer.Consumer {
	q.t.Helper()
	now := func() time.Time { return q.Now }
	policy := &envelope.Policy{Sources: []string{clitest.OrderSource}, Decrypter: d, Now: now}
	c, err := consumer.New(name, q.bundle(), replay.NewMemory(nil), policy, &consumer.Options{
		Quarantine: q.store, Logger: slog.New(slog.DiscardHandler),
	})
	q.Check(err)
	return c
}
