package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/keys"
)

// A file that no passphrase opens is named before one is typed, and nothing advises to hide a public file.
func TestNoPassphraseForAnotherFile(t *testing.T) {
	b := newBench(t)
	b.org(nil, orderSource)
	signer, err := keys.GenerateSigner(keys.Ed25519, "shop")
	b.check(err)
	_, err = keys.CreateKeyring(b.path("locked"), "sesame", "shop",
		&keys.KeyringOptions{PrivateFileOptions: keys.PrivateFileOptions{ScryptWorkFactor: 4}, Key: signer})
	b.check(err)
	ring, public := b.path("shop.keyring"), b.path("shop.pub.json")
	b.must("", "keys", "export", "--keyring", ring, "--insecure-no-passphrase", "--out", public)
	for name, c := range map[string]struct {
		args      []string
		says, fix string
	}{
		"public keys": {
			[]string{"keys", "list", "--keyring", public}, "is a JWK Set of public keys", "has the private keys",
		},
		"a root's public half": {
			[]string{"trust", "sign", "--root", public, b.path("trust.dsse")},
			"is a JWK Set of public keys", "has the private keys",
		},
		"not encrypted": {
			[]string{"keys", "list", "--keyring", ring}, "and is not encrypted", "add --insecure-no-passphrase",
		},
		"encrypted": {
			[]string{"keys", "list", "--keyring", b.path("locked"), "--insecure-no-passphrase"},
			"is encrypted", "leave --insecure-no-passphrase out",
		},
	} {
		var stdout, stderr bytes.Buffer
		asked := false
		code := run(context.Background(), c.args, strings.NewReader(""), &stdout, &stderr, environment{
			now: func() time.Time { return b.now }, getenv: func(string) string { return "" },
			terminal: func(io.Writer) bool { return false }, width: func(io.Writer) int { return 0 },
			prompt: func(string) ([]byte, error) { asked = true; return []byte("sesame"), nil },
		})
		text := stderr.String()
		told := strings.Contains(text, c.says) && strings.Contains(text, c.fix)
		if code != exitUsage || asked || !told || strings.Contains(text, "chmod") {
			t.Errorf("%s: exit %d, asked %v\n%s", name, code, asked, text)
		}
	}
}

// The command of the next step is broken on a terminal so that a shell reads it as one command.
func TestNextCommandCanBeCopied(t *testing.T) {
	b := newBench(t)
	b.terminal, b.columns = true, 80
	ring := b.path("my orders.keyring")
	r := b.run("", "keys", "new", "--producer", "orders", "--keyring", ring, "--insecure-no-passphrase")
	_, after, _ := strings.Cut(stripColour(r.stderr), "sealbus: next, for the people who keep the trust:\n")
	command := strings.Join(strings.Fields(strings.ReplaceAll(after, "\\\n", " ")), " ")
	want := "sealbus keys export --keyring '" + ring + "' --insecure-no-passphrase --out orders.pub.json"
	if r.code != 0 || command != want || !strings.Contains(after, " \\\n    ") {
		t.Errorf("exit %d\n%s\ngot  %s\nwant %s", r.code, r.stderr, command, want)
	}
}

// A root key signs trust. The key of a producer is not taken for one.
func TestProducerKeyAsRootIsRefused(t *testing.T) {
	b := newBench(t)
	b.org(nil, orderSource)
	public := b.path("shop.pub.json")
	b.must("", "keys", "export", "--keyring", b.path("shop.keyring"), "--insecure-no-passphrase", "--out", public)
	r := b.run("", "trust", "roots", public, "--out", b.path("other.json"))
	if _, err := os.Stat(b.path("other.json")); r.code != exitUsage || err == nil || !strings.Contains(r.stderr, "is a signing key of producer shop") {
		t.Errorf("exit %d\n%s", r.code, r.stderr)
	}
}

// A listener that could not begin does not sum up that there were no events.
func TestListenThatCannotBegin(t *testing.T) {
	b := newBench(t)
	b.org(nil, orderSource)
	r := b.run("", "listen", "--http", "99999", "--trust", b.path("trust.dsse"), "--roots", b.path("roots.json"),
		"--allow-source", orderSource)
	if r.code != exitUsage || strings.Contains(r.stderr, "no events") || !strings.Contains(r.stderr, "invalid port") {
		t.Errorf("exit %d\n%s", r.code, r.stderr)
	}
}

// Another file of sealbus in the place of an event is named, not parsed as one.
func TestAnotherFileIsNoEvent(t *testing.T) {
	b := newBench(t)
	b.org(nil, orderSource)
	trust, roots := b.path("trust.dsse"), b.path("roots.json")
	open := []string{"open", "--trust", trust, "--roots", roots, "--allow-source", orderSource}
	for _, command := range [][]string{open, {"inspect"}} {
		for file, is := range map[string]string{
			"trust.dsse": "a signed trust bundle", "shop.keyring": "a keyring, with private keys",
		} {
			r := b.run("", append(command[:len(command):len(command)], b.path(file))...)
			if r.code != exitRejected || !strings.Contains(r.stderr, "this is "+is+", not an event") {
				t.Errorf("%s %s: exit %d\n%s", command[0], file, r.code, r.stderr)
			}
		}
	}
	r := b.run("", "seal", "--keyring", b.path("shop.keyring"), "--insecure-no-passphrase", b.path("trust.dsse"))
	if r.code != exitRejected || !strings.Contains(r.stderr, "this is a signed trust bundle, not a CloudEvent") {
		t.Errorf("seal: exit %d\n%s", r.code, r.stderr)
	}
}

// Text that is no JSON has no member to look for: each command says what it takes.
func TestTextIsNoEvent(t *testing.T) {
	b := newBench(t)
	b.org(nil, orderSource)
	trust, roots := b.path("trust.dsse"), b.path("roots.json")
	open := b.run("hello\n", "open", "--trust", trust, "--roots", roots, "--allow-source", orderSource)
	if open.code != exitRejected || !strings.Contains(open.stderr, fixNoJSON) {
		t.Errorf("open: exit %d\n%s", open.code, open.stderr)
	}
	seal := b.run("hello\n", "seal", "--keyring", b.path("shop.keyring"), "--insecure-no-passphrase")
	if seal.code != exitRejected || !strings.Contains(seal.stderr, "give a CloudEvent as JSON: ") {
		t.Errorf("seal: exit %d\n%s", seal.code, seal.stderr)
	}
}

// A record is also found by the name of its file.
func TestRecordByItsFileName(t *testing.T) {
	const id = "20261129T141252.676317343Z-e40915da1baf47dbe5dd97613b520d99"
	ids, err := recordIDs(t.Context(), nil, []string{id + ".json", id})
	if err != nil || !slices.Equal(ids, []string{id, id}) {
		t.Errorf("%q, %v", ids, err)
	}
}

// The advice about a source that the call does not allow names the flag.
func TestSourceAdviceNamesTheFlag(t *testing.T) {
	b := newBench(t)
	b.org(nil, orderSource)
	sealed := b.must(orderEvent, "seal", "--keyring", b.path("shop.keyring"), "--insecure-no-passphrase")
	r := b.run(sealed, "open", "--trust", b.path("trust.dsse"), "--roots", b.path("roots.json"),
		"--allow-source", "https://other.example/*")
	if r.code != exitRejected || !strings.Contains(r.stderr, "source_not_allowed") ||
		!strings.Contains(r.stderr, "with --allow-source") {
		t.Errorf("exit %d\n%s", r.code, r.stderr)
	}
}

// endless is a terminal: it gives an end at each Ctrl-D, and more text after it.
type endless struct{ ends int }

func (e *endless) Read([]byte) (int, error) { e.ends++; return 0, io.EOF }

func TestOneCtrlDEndsTheInput(t *testing.T) {
	var typed endless
	if _, err := newRecordReader(&endsOnce{r: &typed}, maxRecord).next(); !errors.Is(err, io.EOF) || typed.ends != 1 {
		t.Errorf("%v after %d ends, want one", err, typed.ends)
	}
}
