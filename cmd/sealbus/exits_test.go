package main

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/cli"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/quarantine"
	"github.com/sealbus/sealbus/keys"
)

// needy is one file that a command needs, and how the command is called with it.
type needy struct {
	name  string
	call  func(file string) []string
	input bool // the file is what is judged: garbage in it is rejected
	free  bool // garbage and an empty file are no fault, or another one
}

// needies are all the files that commands need.
func needies(b *clitest.Bench) []needy {
	ring, trust, roots := b.Path("shop.keyring"), b.Path("trust.dsse"), b.Path("roots.json")
	insecure := "--insecure-no-passphrase"
	open := func(more ...string) []string {
		return append([]string{"open", "--allow-source", clitest.OrderSource}, more...)
	}
	return []needy{
		{name: "open --trust", call: func(f string) []string { return open("--trust", f, "--roots", roots) }},
		{name: "open --roots", call: func(f string) []string { return open("--trust", trust, "--roots", f) }},
		{name: "open --identity", call: func(f string) []string { return open("--trust", trust, "--roots", roots, "--identity", f, insecure) }},
		{name: "open FILE", input: true, call: func(f string) []string { return open("--trust", trust, "--roots", roots, f) }},
		{name: "inspect FILE", input: true, call: func(f string) []string { return []string{"inspect", f} }},
		{name: "inspect --trust", call: func(f string) []string { return []string{"inspect", "--trust", f, "--roots", roots} }},
		{name: "seal --keyring", call: func(f string) []string { return []string{"seal", "--keyring", f, insecure} }},
		{name: "seal --passphrase-file", call: func(f string) []string {
			return []string{"seal", "--keyring", b.Path("locked"), "--passphrase-file", f}
		}},
		{name: "seal --encrypt-to", call: func(f string) []string { return []string{"seal", "--keyring", ring, insecure, "--encrypt-to", f} }},
		{name: "publish --keyring", call: func(f string) []string { return []string{"publish", "--bus", "b", "--keyring", f, insecure} }},
		{name: "publish FILE", input: true, call: func(f string) []string { return []string{"publish", "--bus", "b", "--keyring", ring, insecure, f} }},
		{name: "keys list", call: func(f string) []string { return []string{"keys", "list", "--keyring", f, insecure} }},
		{name: "keys status", call: func(f string) []string { return []string{"keys", "status", "--keyring", f, insecure} }},
		{name: "keys retire", call: func(f string) []string { return []string{"keys", "retire", "--keyring", f, insecure, "abcdefgh"} }},
		{name: "keys prune", call: func(f string) []string { return []string{"keys", "prune", "--keyring", f, insecure} }},
		{name: "keys rewrap", call: func(f string) []string {
			return []string{"keys", "rewrap", "--keyring", f, insecure, "--insecure-new-no-passphrase"}
		}},
		{name: "keys rotate", call: func(f string) []string { return []string{"keys", "rotate", "--keyring", f, insecure} }},
		{name: "keys rotate --trust", call: func(f string) []string {
			return []string{"keys", "rotate", "--keyring", ring, insecure, "--trust", f, "--roots", roots}
		}},
		{name: "keys export", call: func(f string) []string { return []string{"keys", "export", "--keyring", f, insecure} }},
		{name: "trust roots", input: true, call: func(f string) []string { return []string{"trust", "roots", f, "--out", b.Path("new")} }},
		{name: "trust add", input: true, call: func(f string) []string {
			return []string{"trust", "add", "--policy", b.Path("new.yaml"), "--producer", "shop", f}
		}},
		{name: "trust revoke --policy", input: true, call: func(f string) []string {
			return []string{"trust", "revoke", "--policy", f, "--reason", "x", "abcdefgh"}
		}},
		{name: "trust build --policy", input: true, call: func(f string) []string {
			return []string{"trust", "build", "--policy", f, "--keys", roots, "--root", b.Path("r.key"),
				insecure, "--out", b.Path("new")}
		}},
		{name: "trust sign", input: true, call: func(f string) []string { return []string{"trust", "sign", "--root", b.Path("r.key"), insecure, f} }},
		{name: "trust sign --root", call: func(f string) []string { return []string{"trust", "sign", "--root", f, insecure, trust} }},
		{name: "trust show", input: true, call: func(f string) []string { return []string{"trust", "show", f} }},
		{name: "trust show --roots", call: func(f string) []string { return []string{"trust", "show", "--roots", f, trust} }},
		{name: "trust verify", input: true, call: func(f string) []string { return []string{"trust", "verify", "--roots", roots, f} }},
		{name: "trust verify --roots", call: func(f string) []string { return []string{"trust", "verify", "--roots", f, trust} }},
		{name: "quarantine --key-file", call: func(f string) []string { return []string{"quarantine", "list", "--from", b.Dir, "--key-file", f} }},
		{name: "quarantine --from", free: true, call: func(f string) []string {
			return []string{"quarantine", "list", "--from", f, "--key-file", b.Path("q.key")}
		}},
		{name: "quarantine show --trust", call: func(f string) []string {
			return []string{"quarantine", "show", "--from", b.Dir, "--key-file", b.Path("q.key"), "--trust",
				f, "--roots", roots, "abcdefgh"}
		}},
		{name: "listen --trust", call: func(f string) []string {
			return []string{"listen", "--http", "0", "--trust", f, "--roots", roots, "--allow-source",
				clitest.OrderSource}
		}},
		{name: "listen --quarantine-key-file", call: func(f string) []string {
			return []string{"listen", "--http", "0", "--trust", trust, "--roots", roots, "--allow-source",
				clitest.OrderSource, "--quarantine", b.Path("q"), "--quarantine-key-file", f}
		}},
		{name: "doctor --keyring", call: func(f string) []string { return []string{"doctor", "--keyring", f, insecure} }},
	}
}

// TestExitOfFiles: a file that is missing, or another one than is meant, is exit 2, in every command: another
// try would end the same. A fault in the content that is to be judged is exit 1.
func TestExitOfFiles(t *testing.T) {
	b := clitest.New(t)
	b.Org(nil, clitest.OrderSource)
	signer, err := keys.GenerateSigner(keys.Ed25519, "shop")
	b.Check(err)
	_, err = keys.CreateKeyring(b.Path("locked"), "sesame", "shop",
		&keys.KeyringOptions{PrivateFileOptions: keys.PrivateFileOptions{ScryptWorkFactor: 4}, Key: signer})
	b.Check(err)
	b.Must("", "trust", "root", "new", "--out", b.Path("r.key"), "--insecure-no-passphrase")
	b.Check(os.WriteFile(b.Path("q.key"), clitest.KeyText(make([]byte, consumer.MinQuarantineKey)), 0o600))
	b.Check(os.WriteFile(b.Path("empty"), nil, 0o600))
	b.Check(os.WriteFile(b.Path("garbage"), []byte("\x00\xff garbage {"), 0o600))
	b.Check(os.WriteFile(b.Path("secret"), []byte("{}"), 0o000))
	b.Check(os.Mkdir(b.Path("directory"), 0o700))
	faults := map[string]string{
		"missing": "no/such/file", "a directory": "directory", "below a file": "garbage/file",
		"empty": "empty", "garbage": "garbage",
		"a name with a NUL": "a\x00b", "unreadable": "secret", "a very long name": strings.Repeat("x", 300),
	}
	if os.Getuid() == 0 || runtime.GOOS == "windows" {
		delete(faults, "unreadable") // nothing is to this user
	}
	for _, n := range needies(b) {
		for fault, file := range faults {
			if n.name == "quarantine --from" && fault == "a directory" || n.name == "trust revoke --policy" &&
				fault == "a directory" && runtime.GOOS == "windows" {
				continue // it is what is wanted
			}
			want := ui.ExitUsage
			if n.input && fault == "garbage" {
				want = ui.ExitRejected
			}
			r := b.Run(clitest.OrderEvent, n.call(b.Path(file))...)
			if r.Code != want || r.Stderr == "" && r.Stdout == "" || strings.Contains(r.Stderr, "try again") {
				t.Errorf("%s, %s: exit %d, want %d\n%s%s", n.name, fault, r.Code, want, r.Stdout, r.Stderr)
			}
		}
	}
}

// TestExitOfCalls: what is wrong with the call, whatever it is, is exit 2.
func TestExitOfCalls(t *testing.T) {
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_CONFIG_FILE", "/nowhere")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_REGION", "eu-west-1")
	b := clitest.New(t)
	b.Org(nil, clitest.OrderSource)
	signer, err := keys.GenerateSigner(keys.Ed25519, "shop")
	b.Check(err)
	_, err = keys.CreateKeyring(b.Path("locked"), "sesame", "shop",
		&keys.KeyringOptions{PrivateFileOptions: keys.PrivateFileOptions{ScryptWorkFactor: 4}, Key: signer})
	b.Check(err)
	b.Check(os.WriteFile(b.Path("wrong"), []byte("Sesame\n"), 0o600))
	trust, roots := b.Path("trust.dsse"), b.Path("roots.json")
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"wrong passphrase": {[]string{"seal", "--keyring", b.Path("locked"), "--passphrase-file",
			b.Path("wrong")}, "the passphrase is wrong"},
		"keyring under none": {[]string{"seal", "--keyring", b.Path("shop.keyring"), "--passphrase-file",
			b.Path("wrong")}, "is not encrypted"},
		"keyring under one": {[]string{"seal", "--keyring", b.Path("locked"),
			"--insecure-no-passphrase"}, "encrypted"},
		"roots as trust": {[]string{"open", "--trust", roots, "--roots", roots, "--allow-source",
			clitest.OrderSource}, "check that this is the file you mean"},
		"trust as roots": {[]string{"open", "--trust", trust, "--roots", trust, "--allow-source",
			clitest.OrderSource}, ""},
		"no credentials": {[]string{"publish", "--bus", "b", "--keyring", b.Path("shop.keyring"),
			"--insecure-no-passphrase"}, "no AWS credentials"},
		"no credentials, KMS": {[]string{"seal", "--kms", "alias/a", "--producer", "shop"},
			"no AWS credentials"},
		"no credentials, S3": {[]string{"open", "--trust", "s3://b/k", "--roots", roots, "--allow-source",
			clitest.OrderSource}, "no AWS credentials"},
		"no credentials, tables": {[]string{"claims", "create-table", "--table", "claims"},
			"no AWS credentials"},
		"unknown command": {[]string{"opne"}, "did you mean"},
		"no command":      {nil, "missing command"},
		"unknown flag":    {[]string{"open", "--frm", "x"}, "unknown flag"},
		"bad value":       {[]string{"open", "--from", "x"}, "is not one of its values"},
		"no such shell":   {[]string{"completion", "tcsh"}, "bash, zsh"},
		"taken port": {[]string{"listen", "--http", "256.0.0.1:1", "--trust", trust, "--roots", roots,
			"--allow-source", clitest.OrderSource}, "give another port or address"},
	} {
		r := b.Run(clitest.OrderEvent, c.args...)
		if r.Code != ui.ExitUsage || !strings.Contains(r.Stderr, c.says) ||
			strings.Contains(r.Stderr, "try again") {
			t.Errorf("%s: exit %d, want %d\n%s%s", name, r.Code, ui.ExitUsage, r.Stdout, r.Stderr)
		}
	}
}

// deaf takes connections and never answers.
func deaf(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.Close() // in the middle of it
		}
	}()
	return l.Addr().String()
}

// TestExitOfNetworks: what did not answer is exit 3, and is named by host, port and purpose, on every path.
func TestExitOfNetworks(t *testing.T) {
	const dead = "127.0.0.1:1" // the system hands out no such port to another test
	for address, why := range map[string]string{dead: "connection refused: nothing listens there",
		deaf(t): "broken off"} {
		t.Setenv("AWS_ACCESS_KEY_ID", "a")
		t.Setenv("AWS_SECRET_ACCESS_KEY", "b")
		t.Setenv("AWS_REGION", "eu-west-1")
		t.Setenv("AWS_MAX_ATTEMPTS", "1")
		t.Setenv("AWS_ENDPOINT_URL", "http://"+address)
		b := clitest.New(t)
		b.Org(nil, clitest.OrderSource)
		b.Check(os.WriteFile(b.Path("q.key"), clitest.KeyText(make([]byte, consumer.MinQuarantineKey)),
			0o600))
		store, err := quarantine.NewDir(b.Path("bin"),
			clitest.BinKeys(make([]byte, consumer.MinQuarantineKey)))
		b.Check(err)
		b.Check(store.Put(t.Context(), consumer.Record{Consumer: "billing", At: b.Now.Add(-time.Minute),
			Reason: "modified", Message: consumer.Message{Body: []byte("{}")}}))
		roots, arn := b.Path("roots.json"), "arn:aws:kms:eu-west-1:111122223333:key/1"
		q := []string{"--key-file", b.Path("q.key")}
		for name, c := range map[string]struct {
			args []string
			what string
		}{
			"trust URL": {[]string{"open", "--trust", "https://" + address +
				"/b?token=hush", "--roots", roots, "--allow-source", clitest.OrderSource},
				"the trust bundle"},
			"trust in S3": {[]string{"open", "--trust", "s3://b/k", "--roots", roots, "--allow-source",
				clitest.OrderSource}, "the trust bundle"},
			"live trust": {[]string{"listen", "--http", "0", "--trust", "https://" + address +
				"/b", "--roots", roots, "--allow-source", clitest.OrderSource}, "the trust bundle"},
			"bus": {[]string{"publish", "--bus", "b", "--keyring", b.Path("shop.keyring"),
				"--insecure-no-passphrase", "--retry-for", "0s"}, "EventBridge"},
			"bucket": {append([]string{"quarantine", "list", "--from", "s3://b/p"}, q...), "S3"},
			"queue": {append([]string{"quarantine", "list", "--from", "sqs:http://" + address +
				"/1/q"}, q...), "SQS"},
			"reopen": {append([]string{"quarantine", "reopen", "--all", "--from", b.Path("bin"),
				"--to-queue", "http://" + address + "/1/q"}, q...), "SQS"},
			"table":     {[]string{"claims", "create-table", "--table", "claims"}, "DynamoDB"},
			"KMS, sign": {[]string{"seal", "--kms", arn, "--producer", "shop"}, "KMS"},
			"KMS, open": {[]string{"open", "--trust", b.Path("trust.dsse"), "--roots", roots,
				"--allow-source", clitest.OrderSource, "--identity", arn}, "KMS"},
			"doctor":     {[]string{"doctor"}, "STS"},
			"doctor KMS": {[]string{"doctor", "--may-sign", arn}, "KMS"},
			"doctor URL": {[]string{"doctor", "--trust", "https://" + address + "/b", "--roots", roots},
				"the trust bundle"},
			"doctor Redis": {[]string{"doctor", "--redis", "redis://u:hush@" + address}, "Redis"},
		} {
			r := b.Run(clitest.OrderEvent, c.args...)
			want := "cannot reach " + address + " for " + c.what
			said := strings.Join(strings.Fields(r.Stdout+r.Stderr), " ")
			if r.Code != ui.ExitUnavailable || !strings.Contains(said, want) ||
				!strings.Contains(said, why) || strings.Contains(said, "hush") ||
				strings.Contains(said, "operation error") {
				t.Errorf("%s: exit %d, want %d and %q ... %q\n%s%s", name, r.Code, ui.ExitUnavailable, want,
					why, r.Stdout, r.Stderr)
			}
		}
	}
}

// TestExitOfInterruption: Ctrl-C is 130, however deep it was met.
func TestExitOfInterruption(t *testing.T) {
	f := &clitest.FakeRun{}
	env := ui.NewEnv(nil, &f.Stdout, &f.Stderr, ui.System{Now: time.Now, Getenv: os.Getenv,
		Terminal: func(io.Writer) bool { return false }})
	for _, err := range []error{context.Canceled, ui.Unavailable("x", "y: %w", context.Canceled),
		errors.Join(errors.New("a"), context.Canceled)} {
		if code := env.Finish(err); code != ui.ExitInterrupted || ui.ExitInterrupted != 130 {
			t.Errorf("%v: exit %d", err, code)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b := clitest.New(t)
	b.Check(os.WriteFile(b.Path("q.key"), clitest.KeyText(make([]byte, consumer.MinQuarantineKey)), 0o600))
	args := []string{"quarantine", "list", "--from", b.Dir, "--key-file", b.Path("q.key")}
	system := ui.System{Now: time.Now, Getenv: func(string) string { return "" },
		Terminal: func(io.Writer) bool { return false }}
	if code := cli.Run(ctx, args, strings.NewReader(""), io.Discard, &f.Stderr,
		system); code != ui.ExitInterrupted {
		t.Errorf("exit %d\n%s", code, f.Stderr.String())
	}
}

// TestExitThreeSaysTryAgain: it is the only status that a script may repeat a command for.
func TestExitWords(t *testing.T) {
	if got := slices.Sorted(func(yield func(int) bool) {
		for code := range 256 {
			if ui.ExitWord(code) != "" && !yield(code) {
				return
			}
		}
	}); !slices.Equal(got, []int{ui.ExitRejected, ui.ExitUsage, ui.ExitUnavailable, ui.ExitDue,
		ui.ExitInterrupted}) {
		t.Errorf("%v", got)
	}
	f := &clitest.FakeRun{}
	f.Run(t, "--help")
	for _, want := range []string{"1    rejected", "2    usage", "3    try again", "4    something is due",
		"130  interrupted"} {
		if !strings.Contains(f.Stdout.String(), want) {
			t.Errorf("--help does not say %q", want)
		}
	}
}
