package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/cli"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/input"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/uitest"
	"github.com/sealbus/sealbus/keys"
)

// A file that no passphrase opens is named before one is typed, and nothing advises to hide a public file.
func TestNoPassphraseForAnotherFile(t *testing.T) {
	b := clitest.New(t)
	b.Org(nil, clitest.OrderSource)
	signer, err := keys.GenerateSigner(keys.Ed25519, "shop")
	b.Check(err)
	_, err = keys.CreateKeyring(b.Path("locked"), "sesame", "shop",
		&keys.KeyringOptions{PrivateFileOptions: keys.PrivateFileOptions{ScryptWorkFactor: 4}, Key: signer})
	b.Check(err)
	ring, public := b.Path("shop.keyring"), b.Path("shop.pub.json")
	b.Must("", "keys", "export", "--keyring", ring, "--insecure-no-passphrase", "--out", public)
	for name, c := range map[string]struct {
		args      []string
		says, fix string
	}{
		"public keys": {
			[]string{"keys", "list", "--keyring", public}, "is a JWK Set of public keys",
			"has the private keys",
		},
		"a root's public half": {
			[]string{"trust", "sign", "--root", public, b.Path("trust.dsse")},
			"is a JWK Set of public keys", "has the private keys",
		},
		"not encrypted": {
			[]string{"keys", "list", "--keyring", ring}, "and is not encrypted",
			"add --insecure-no-passphrase",
		},
		"encrypted": {
			[]string{"keys", "list", "--keyring", b.Path("locked"), "--insecure-no-passphrase"},
			"is encrypted", "leave --insecure-no-passphrase out",
		},
	} {
		var stdout, stderr bytes.Buffer
		asked := false
		code := cli.Run(context.Background(), c.args, strings.NewReader(""), &stdout, &stderr, ui.System{
			Now: func() time.Time { return b.Now }, Getenv: func(string) string { return "" },
			Terminal: func(io.Writer) bool { return false }, Width: func(io.Writer) int { return 0 },
			Prompt: func(string) ([]byte, error) { asked = true; return []byte("sesame"), nil },
		})
		text := stderr.String()
		told := strings.Contains(text, c.says) && strings.Contains(text, c.fix)
		if code != ui.ExitUsage || asked || !told || strings.Contains(text, "chmod") {
			t.Errorf("%s: exit %d, asked %v\n%s", name, code, asked, text)
		}
	}
}

// The command of the next step is broken on a terminal so that a shell reads it as one command.
func TestNextCommandCanBeCopied(t *testing.T) {
	b := clitest.New(t)
	b.Terminal, b.Columns = true, 80
	ring := b.Path("my orders.keyring")
	r := b.Run("", "keys", "new", "--producer", "orders", "--keyring", ring, "--insecure-no-passphrase")
	_, after, _ := strings.Cut(uitest.StripColour(r.Stderr),
		"sealbus: next, for the people who keep the trust:\n")
	command := strings.Join(strings.Fields(strings.ReplaceAll(after, "\\\n", " ")), " ")
	want := "sealbus keys export --keyring '" + ring + "' --insecure-no-passphrase --out orders.pub.json"
	if r.Code != 0 || command != want || !strings.Contains(after, " \\\n    ") {
		t.Errorf("exit %d\n%s\ngot  %s\nwant %s", r.Code, r.Stderr, command, want)
	}
}

// A root key signs trust. The key of a producer is not taken for one.
func TestProducerKeyAsRootIsRefused(t *testing.T) {
	b := clitest.New(t)
	b.Org(nil, clitest.OrderSource)
	public := b.Path("shop.pub.json")
	b.Must("", "keys", "export", "--keyring", b.Path("shop.keyring"), "--insecure-no-passphrase", "--out",
		public)
	r := b.Run("", "trust", "roots", public, "--out", b.Path("other.json"))
	if _, err := os.Stat(b.Path("other.json")); r.Code != ui.ExitUsage || err == nil ||
		!strings.Contains(r.Stderr, "is a signing key of producer shop") {
		t.Errorf("exit %d\n%s", r.Code, r.Stderr)
	}
}

// A listener that could not begin does not sum up that there were no events.
func TestListenThatCannotBegin(t *testing.T) {
	b := clitest.New(t)
	b.Org(nil, clitest.OrderSource)
	r := b.Run("", "listen", "--http", "99999", "--trust", b.Path("trust.dsse"), "--roots",
		b.Path("roots.json"),
		"--allow-source", clitest.OrderSource)
	if r.Code != ui.ExitUsage || strings.Contains(r.Stderr, "no events") ||
		!strings.Contains(r.Stderr, "invalid port") {
		t.Errorf("exit %d\n%s", r.Code, r.Stderr)
	}
}

// Another file of sealbus in the place of an event is named, not parsed as one.
func TestAnotherFileIsNoEvent(t *testing.T) {
	b := clitest.New(t)
	b.Org(nil, clitest.OrderSource)
	trust, roots := b.Path("trust.dsse"), b.Path("roots.json")
	open := []string{"open", "--trust", trust, "--roots", roots, "--allow-source", clitest.OrderSource}
	for _, command := range [][]string{open, {"inspect"}} {
		for file, is := range map[string]string{
			"trust.dsse": "a signed trust bundle", "shop.keyring": "a keyring, with private keys",
		} {
			r := b.Run("", append(command[:len(command):len(command)], b.Path(file))...)
			if r.Code != ui.ExitRejected || !strings.Contains(r.Stderr, "this is "+is+", not an event") {
				t.Errorf("%s %s: exit %d\n%s", command[0], file, r.Code, r.Stderr)
			}
		}
	}
	r := b.Run("", "seal", "--keyring", b.Path("shop.keyring"), "--insecure-no-passphrase",
		b.Path("trust.dsse"))
	if r.Code != ui.ExitRejected || !strings.Contains(r.Stderr,
		"this is a signed trust bundle, not a CloudEvent") {
		t.Errorf("seal: exit %d\n%s", r.Code, r.Stderr)
	}
}

// Text that is no JSON has no member to look for: each command says what it takes.
func TestTextIsNoEvent(t *testing.T) {
	b := clitest.New(t)
	b.Org(nil, clitest.OrderSource)
	trust, roots := b.Path("trust.dsse"), b.Path("roots.json")
	open := b.Run("hello\n", "open", "--trust", trust, "--roots", roots, "--allow-source",
		clitest.OrderSource)
	if open.Code != ui.ExitRejected || !strings.Contains(open.Stderr, input.FixNoJSON) {
		t.Errorf("open: exit %d\n%s", open.Code, open.Stderr)
	}
	seal := b.Run("hello\n", "seal", "--keyring", b.Path("shop.keyring"), "--insecure-no-passphrase")
	if seal.Code != ui.ExitRejected || !strings.Contains(seal.Stderr, "give a CloudEvent as JSON: ") {
		t.Errorf("seal: exit %d\n%s", seal.Code, seal.Stderr)
	}
}

// The advice about a source that the call does not allow names the flag.
func TestSourceAdviceNamesTheFlag(t *testing.T) {
	b := clitest.New(t)
	b.Org(nil, clitest.OrderSource)
	sealed := b.Must(clitest.OrderEvent, "seal", "--keyring", b.Path("shop.keyring"),
		"--insecure-no-passphrase")
	r := b.Run(sealed, "open", "--trust", b.Path("trust.dsse"), "--roots", b.Path("roots.json"),
		"--allow-source", "https://other.example/*")
	if r.Code != ui.ExitRejected || !strings.Contains(r.Stderr, "source_not_allowed") ||
		!strings.Contains(r.Stderr, "with --allow-source") {
		t.Errorf("exit %d\n%s", r.Code, r.Stderr)
	}
}
