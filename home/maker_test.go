package home_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sealbus/sealbus/home"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

var insecure = keys.PrivateFileOptions{InsecureNoPassphrase: true}

// exampleHome makes a home for an example, which has no testing.T.
func exampleHome() string {
	dir, err := os.MkdirTemp("", "home")
	if err == nil {
		err = (&maker{dir: dir, now: time.Now()}).make()
	}
	if err != nil {
		panic(err)
	}
	return dir
}

// newHome makes a home with producer orders and consumer billing, as `sealbus init` does.
func newHome(t *testing.T) *maker {
	t.Helper()
	m := &maker{dir: t.TempDir(), now: time.Now()}
	if err := os.Chmod(m.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := m.make(); err != nil {
		t.Fatal(err)
	}
	return m
}

// maker makes the files of a home without the command.
type maker struct {
	dir string
	now time.Time

	since time.Time // of the grants, in the bundles that publish makes; zero = they do not say

	root, stamp *trust.RootKey
	signer      *keys.LocalSigner
	identity    *keys.LocalIdentity
	roots       *trust.Roots
	bundle      *trust.Bundle
	timestamp   *trust.Timestamp
}

func (m *maker) path(name string) string { return filepath.Join(m.dir, filepath.FromSlash(name)) }

func (m *maker) make() (err error) {
	for name, mode := range map[string]os.FileMode{"trust": 0o755, "secret": 0o700, "state": 0o700} {
		if err := os.Mkdir(m.path(name), mode); err != nil {
			return err
		}
	}
	if m.signer, err = keys.GenerateSigner(keys.Ed25519, "orders"); err != nil {
		return err
	}
	if m.identity, err = keys.GenerateIdentity(keys.X25519); err != nil {
		return err
	}
	if m.root, err = trust.CreateRootKey(m.path("secret/root.key"), "", keys.Ed25519, &insecure); err != nil {
		return err
	}
	if m.stamp, err = trust.CreateRootKey(m.path("secret/timestamp.key"), "", keys.Ed25519, &insecure); err != nil {
		return err
	}
	if _, err = keys.CreateKeyring(m.path("secret/orders.keyring"), "", "orders",
		&keys.KeyringOptions{PrivateFileOptions: insecure, Key: m.signer}); err != nil {
		return err
	}
	if _, err = keys.CreateConsumerKeyring(m.path("secret/billing.keyring"), "", "billing",
		&keys.KeyringOptions{PrivateFileOptions: insecure, Key: m.identity}); err != nil {
		return err
	}
	if m.roots, err = trust.NewRoots(1, 1, m.root.Verifier()); err != nil {
		return err
	}
	if m.roots, err = m.roots.WithTimestampKeys(m.stamp.Verifier()); err != nil {
		return err
	}
	if err := os.WriteFile(m.path("trust/roots.json"), append(m.roots.Payload(), '\n'), 0o644); err != nil {
		return err
	}
	if err := m.publish(1); err != nil {
		return err
	}
	if err := m.config(); err != nil {
		return err
	}
	return home.MarkMadeHere(m.dir)
}

func (m *maker) config() error {
	doc, err := home.AddProducer(home.NewConfig(), &home.ProducerEntry{Name: "orders",
		Keyring: "secret/orders.keyring", Sources: []string{"https://orders.example/*"}})
	if err == nil {
		doc, err = home.AddConsumer(doc, &home.ConsumerEntry{Name: "billing", Identity: "secret/billing.keyring"})
	}
	if err != nil {
		return err
	}
	return os.WriteFile(m.path(home.File), doc, 0o644)
}

// publish makes a bundle of that version, issued now, and its timestamp.
func (m *maker) publish(version int64) (err error) {
	issued := m.now.Truncate(time.Second)
	m.bundle, err = trust.NewBundle(trust.BundleOptions{Version: version, Issued: issued,
		Expires: issued.Add(90 * 24 * time.Hour), TimestampRequired: true},
		&trust.Key{Verifier: m.signer.Verifier(), Producer: "orders", Sources: []string{"https://orders.example/*"},
			Types: []string{"com.example.*"}, Since: m.since},
		&trust.Key{Recipient: m.identity.Recipient(), Consumer: "billing", Since: m.since})
	if err != nil {
		return err
	}
	signed, err := trust.SignBundle(context.Background(), m.bundle, m.root)
	if err != nil {
		return err
	}
	if err := os.WriteFile(m.path("trust/trust.dsse"), signed, 0o644); err != nil {
		return err
	}
	return m.sign(trust.TimestampOptions{Now: m.now, Lifetime: 7 * 24 * time.Hour})
}

// sign makes the next timestamp.
func (m *maker) sign(opts trust.TimestampOptions) (err error) {
	if m.timestamp, err = trust.NewTimestamp(m.roots, m.bundle, m.timestamp, opts); err != nil {
		return err
	}
	signed, err := trust.SignTimestamp(context.Background(), m.timestamp, m.stamp)
	if err != nil {
		return err
	}
	return os.WriteFile(m.path("trust/timestamp.dsse"), signed, 0o644)
}

// revoking has the next timestamp revoke a key.
func (m *maker) revoking(id string) trust.TimestampOptions {
	return trust.TimestampOptions{Now: m.now, Lifetime: 7 * 24 * time.Hour,
		Revoke: map[string]trust.Revocation{id: {At: m.now, Reason: "stolen"}}}
}

// published is the timestamp in the home.
func (m *maker) published() (*trust.Timestamp, error) {
	signed, err := os.ReadFile(m.path("trust/timestamp.dsse"))
	if err != nil {
		return nil, err
	}
	return trust.OpenPreviousTimestamp(signed, m.roots)
}
