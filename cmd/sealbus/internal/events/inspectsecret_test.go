package events_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
	cmd "github.com/sealbus/sealbus/cmd/sealbus/internal/events"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/testbed/mint"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// A file that lies in the directory by chance, or by an attacker's design, is not taken for the consumer of
// that name.
func TestEncryptToIsNotGuessed(t *testing.T) {
	b := clitest.New(t)
	b.SecretOrg()
	stranger, err := keys.GenerateIdentity(keys.X25519)
	b.Check(err)
	t.Chdir(b.Dir)
	b.Check(os.WriteFile("billing", stranger.Recipient().JWK(), 0o600))
	r := b.Run(clitest.OrderEvent, b.Seal(b.WithTrust("--encrypt-to", "billing")...)...)
	if r.Code != ui.ExitUsage || !strings.Contains(r.Stderr,
		"both a file here and a consumer in the bundle") ||
		!strings.Contains(r.Stderr, "write ./billing for the file") {
		t.Errorf("exit %d, %s", r.Code, r.Stderr)
	}
	if e := inspectJSON(b, b.Must(clitest.OrderEvent,
		b.Seal(b.WithTrust("--encrypt-to",
			"./billing")...)...)).Sealed.Encryption; e.Recipients[0].KeyID != stranger.Recipient().KeyID() {
		t.Errorf("%+v", e)
	}
}

func inspectJSON(b *clitest.Bench, doc string, args ...string) cmd.Inspected {
	b.T.Helper()
	var v cmd.Inspected
	b.Check(json.Unmarshal([]byte(b.Must(doc, append([]string{"inspect", "--output", "json"}, args...)...)),
		&v))
	return v
}

func TestInspectEncrypted(t *testing.T) {
	b := clitest.New(t)
	id := b.SecretOrg().Recipient().KeyID()
	whole := b.Must(clitest.OrderEvent, b.Seal("--encrypt-to", b.Path("billing.pub.json"))...)
	fields := b.Must(clitest.OrderEvent, b.Seal("--encrypt-to", b.Path("billing.pub.json"), "--field",
		"/item", "--field", "/total")...)
	for name, test := range map[string]struct {
		doc  string
		args []string
		want []string
	}{
		"all of it": {whole, nil,
			[]string{"Encrypted: all of the data, which is application/json, to 1 recipient\n  " + id +
				"  ECDH-ES+A256KW\n", "that one of its keys opens the data"}},
		"fields": {fields, nil, []string{"Encrypted: /item, /total, to 1 recipient\n",
			"  jwerecipients  1 recipient, below\n"}},
		"with trust": {whole, b.WithTrust(), []string{id +
			"  ECDH-ES+A256KW  consumer billing, active\n", "64 bytes  producer shop, active\n"}},
		"no JWE": {strings.Replace(whole, `"recipients":[`, `"recipients":7,"x":[`, 1), nil,
			[]string{"Encrypted: all of the data\n", "It would be rejected"}},
		"stranger": {strings.Replace(whole, id, strings.Repeat("A", len(id)), 1), b.WithTrust(),
			[]string{"ECDH-ES+A256KW  not in the bundle\n", "It would be rejected"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := b.On(t)
			out := b.Must(test.doc, append([]string{"inspect"}, test.args...)...)
			for _, want := range append(test.want, "NOTHING WAS VERIFIED") {
				if !strings.Contains(out, want) {
					t.Errorf("no %q in\n%s", want, out)
				}
			}
		})
	}
	e := inspectJSON(b, fields, b.WithTrust()...).Sealed.Encryption
	if e == nil || len(e.Fields) != 2 || !e.Committed || len(e.Recipients) != 1 ||
		e.Recipients[0].KeyID != id || *e.Recipients[0].Owner != (cmd.Owner{Consumer: "billing",
		State: keys.StateActive}) {
		t.Errorf("%+v", e)
	}
	if e := inspectJSON(b, whole).Sealed.Encryption; e == nil || e.Fields != nil ||
		e.ContentType != "application/json" || e.Recipients[0].Owner != nil {
		t.Errorf("%+v", e)
	}
	if r := b.Run(whole, "inspect", "--trust", b.Path("trust.dsse")); r.Code != ui.ExitUsage ||
		!strings.Contains(r.Stderr, "--roots") {
		t.Errorf("exit %d, %s", r.Code, r.Stderr)
	}
}

func TestInspectDelegation(t *testing.T) {
	b := clitest.New(t)
	root := mint.SeededSigner(keys.Ed25519, "shop", "root")
	b.Trust(&trust.Key{Verifier: root.Verifier(), Producer: "shop", Sources: []string{clitest.OrderSource},
		Types: []string{"*"}, Revoked: &trust.Revocation{At: b.Now, Reason: "stolen"}})
	delegated := func(edit func(*mint.Delegation)) string {
		d := &mint.Delegation{By: root, From: b.Now.Add(-10 * time.Minute), Life: time.Hour,
			Sources: []string{clitest.OrderSource}, Types: []string{"com.example.*"}}
		edit(d)
		plan := mint.Plan{
			Event: objectOf([]byte(clitest.OrderEvent)).Set("data", `{"item":"chair"}`).Set("recordedtime",
				`"2026-11-21T12:00:00Z"`),
			By: []mint.Signature{{Key: mint.SeededSigner(keys.Ed25519, "shop", "session"), Delegation: d}},
		}
		return plan.Seal().String()
	}
	sound := delegated(func(*mint.Delegation) {})
	session, by := mint.SeededSigner(keys.Ed25519, "shop", "session").Verifier().KeyID(),
		root.Verifier().KeyID()
	for name, test := range map[string]struct {
		doc  string
		want string
	}{
		"chain": {sound, `Signatures: 1
  ` + session + `  64 bytes  by a session key
    vouched for by  ` + by + `, producer shop, revoked
    from, until     2026-11-21T11:50:00Z, 2026-11-21T12:50:00Z; sealed within it
    sources         https://shop.example/*
    types           com.example.*
`},
		"over": {delegated(func(d *mint.Delegation) { d.From = b.Now.Add(-90 * time.Minute) }),
			"; sealed 30m after it\n"},
		"early": {delegated(func(d *mint.Delegation) { d.From = b.Now.Add(time.Minute) }),
			"; sealed 1m before it\n"},
		"too long": {delegated(func(d *mint.Delegation) { d.Life = 2 * time.Hour }),
			"2026-11-21T13:50:00Z: longer than 1h\n"},
		"broken": {delegated(func(d *mint.Delegation) {
			d.Statement = func(mint.Object) mint.Object { return mint.Object{{Name: "until", Raw: "1"}} }
		}), `statement       statement: unknown member "until"`},
	} {
		if out := b.Must(test.doc, b.WithTrust("inspect")...); !strings.Contains(out, test.want) {
			t.Errorf("%s: no\n%s in\n%s", name, test.want, out)
		}
	}
	k := inspectJSON(b, sound, b.WithTrust()...).Signatures[0]
	if d := k.Delegation; k.DelegatedBy != by || d == nil || d.SessionKey != session ||
		d.NotAfter != "2026-11-21T12:50:00Z" || d.Sources[0] != clitest.OrderSource ||
		k.Owner.State != keys.StateRevoked {
		t.Errorf("%+v, %+v", k, k.Delegation)
	}
}

// objectOf is the members of a JSON object.
func objectOf(doc []byte) (o mint.Object) {
	r := jsontext.NewDecoder(doc)
	for obj := r.Object(); r.Member(&obj); {
		name := string(obj.Name)
		o = o.Add(name, string(r.ReadSpan()))
	}
	return o
}
