package main

import (
	"strings"
	"testing"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
)

// TestCommandsPromiseNoRetry: nothing tries a command again but those who run it.
func TestCommandsPromiseNoRetry(t *testing.T) {
	const arn = "arn:aws:kms:eu-west-1:111122223333:key/1"
	clitest.AwsStub(t, func(string) (int, string) { return 400, clitest.AwsError("ThrottlingException") })
	b := clitest.New(t)
	b.Org(nil, clitest.OrderSource)
	for _, args := range [][]string{
		{"seal", "--kms", arn, "--producer", "shop"}, {"keys", "new", "--kms", arn, "--producer", "shop"},
		b.Seal("--encrypt-to", arn), b.Open(clitest.OrderSource, "--identity", arn),
	} {
		if r := b.Run(clitest.OrderEvent, args...); r.Code != ui.ExitUnavailable ||
			!strings.Contains(r.Stderr, "run it again") || strings.Contains(r.Stderr, "tried again") {
			t.Errorf("%v: exit %d\n%s", args, r.Code, r.Stderr)
		}
	}
}

// TestPublishRetriesTheBusCheck: --retry-for is for all that publish asks of EventBridge.
func TestPublishRetriesTheBusCheck(t *testing.T) {
	asked, sent := 0, 0
	clitest.AwsStub(t, func(action string) (int, string) {
		if action == "DescribeEventBus" {
			if asked++; asked < 3 {
				return 400, clitest.AwsError("ThrottlingException")
			}
			return 200, `{"Name":"central"}`
		}
		sent++
		return 200, `{"FailedEntryCount":0,"Entries":[{"EventId":"1"}]}`
	})
	b := clitest.New(t)
	b.Org(nil, clitest.OrderSource)
	publish := []string{"publish", "--bus", "central", "--keyring", b.Path("shop.keyring"),
		"--insecure-no-passphrase"}
	if r := b.Run(clitest.OrderEvent, append(publish, "--retry-for",
		"0s")...); r.Code != ui.ExitUnavailable || asked != 1 || sent != 0 ||
		!strings.Contains(r.Stderr, "could not be checked whether the event bus") {
		t.Errorf("without retries: exit %d, asked %d times, sent %d\n%s", r.Code, asked, sent, r.Stderr)
	}
	asked = 0
	if r := b.Run(clitest.OrderEvent, publish...); r.Code != ui.ExitDone || asked != 3 || sent != 1 ||
		r.Stdout != "published 1 of 1 event to central\n" {
		t.Errorf("exit %d, asked %d times, sent %d\n%s%s", r.Code, asked, sent, r.Stdout, r.Stderr)
	}
}

func TestVersionFlag(t *testing.T) {
	b := clitest.New(t)
	if flag, command := b.Must("", "--version"), b.Must("", "version"); flag != command ||
		!strings.HasPrefix(flag, "sealbus ") {
		t.Errorf("%q, %q", flag, command)
	}
	if got, err := clitest.JSONMember(b.Must("", "--version", "--output", "json"), "platform"); got == "" ||
		err != nil {
		t.Errorf("for programs: %q, %v", got, err)
	}
	if r := b.Run("", "open", "--version"); r.Code != ui.ExitUsage {
		t.Errorf("of a command: exit %d", r.Code)
	}
}

// TestCompletion: the help names it, each shell has a script, and the values of flags are offered.
func TestCompletion(t *testing.T) {
	b := clitest.New(t)
	if help := b.Must("", "--help"); !strings.Contains(help, "  completion") {
		t.Errorf("the help does not name it:\n%s", help)
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if script := b.Must("", "completion", shell); !strings.Contains(script, "sealbus") ||
			len(script) < 1000 {
			t.Errorf("%s: %q", shell, script)
		}
	}
	b.Org(nil, clitest.OrderSource)
	b.Must("", "keys", "export", "--keyring", b.Path("shop.keyring"), "--insecure-no-passphrase", "--out",
		b.Path("pub.json"))
	b.Must("", "trust", "add", "--policy", b.Path("policy.yaml"), "--producer", "shop", b.Path("pub.json"))
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"completion", ""}, "bash\nzsh\nfish\npowershell\n:4\n"},
		{[]string{"open", "--mode", ""}, "strict\npassthrough\ncore-only\n:4\n"},
		{[]string{"open", "--output", ""}, "text\njson\n:4\n"},
		{[]string{"seal", "--layout", "e"}, "embedded\n:4\n"},
		{[]string{"quarantine", "list", "--reason", "source"}, "source_not_allowed\n:4\n"},
		{[]string{"quarantine", "list", "--from", "s"}, ":16\n"},
		{[]string{"open", "--trust", ""}, ":0\n"}, // by file names
		{[]string{"open", "--audience", ""}, ":4\n"},
		{[]string{"webhook", "verify", "--provider", "sl"}, "slack\n:4\n"},
		{[]string{"webhook", "listen", "--provider", "goo"}, "google-pubsub\n:4\n"},
		{[]string{"gateway", "--config", ""}, ":0\n"}, // by file names
		{[]string{"keys", "new", "--alg", "ML"}, "ML-DSA-65\n:4\n"},
		{[]string{"trust", "add", "--policy", b.Path("policy.yaml"), "--producer", ""}, "shop\n:4\n"},
		{[]string{"trust", "add", "--policy", b.Path("policy.yaml"), "--consumer", ""}, ":4\n"},
		{[]string{"trust", "add", "--policy", b.Path("none"), "--producer", ""}, ":4\n"},
	} {
		if got := b.Must("", append([]string{"__complete"}, c.args...)...); got != c.want {
			t.Errorf("%v: %q, want %q", c.args, got, c.want)
		}
	}
}
