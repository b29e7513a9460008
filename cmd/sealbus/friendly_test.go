package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/quarantine"
	"github.com/sealbus/sealbus/envelope"
)

// awsStub answers calls of services that speak JSON: by action, such as "Decrypt".
func awsStub(t *testing.T, answer func(action string) (status int, body string)) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		target := r.Header.Get("X-Amz-Target")
		status, body := answer(target[strings.LastIndexByte(target, '.')+1:])
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(s.Close)
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": s.URL, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "eu-west-1", "AWS_MAX_ATTEMPTS": "1",
	} {
		t.Setenv(name, value)
	}
}

func awsError(code string) string { return fmt.Sprintf(`{"__type":%q,"message":"said so"}`, code) }

// TestDoctorSpeaksOfNoEvent: doctor looks at permissions, not at events, whatever KMS answers to a dry run.
func TestDoctorSpeaksOfNoEvent(t *testing.T) {
	const arn = "arn:aws:kms:eu-west-1:111122223333:key/1"
	describe := `{"KeyMetadata":{"Arn":"` + arn + `","KeyId":"1","Enabled":true,"KeyState":"Enabled","KeyUsage":"ENCRYPT_DECRYPT","KeySpec":"SYMMETRIC_DEFAULT"}}`
	for code, want := range map[string]struct {
		http   int
		status string
		exit   int
		fix    string
	}{
		"InvalidCiphertextException": {400, statusUnknown, exitUsage, "nothing is known of the permission"},
		"IncorrectKeyException":      {400, statusUnknown, exitUsage, "nothing is known of the permission"},
		"AccessDeniedException":      {400, statusProblem, exitDue, "allow kms:Decrypt on " + arn},
		"KMSInternalException":       {500, statusUnknown, exitUnavailable, "run it again"},
		"ThrottlingException":        {400, statusUnknown, exitUnavailable, "run it again"},
		"DisabledException":          {400, statusProblem, exitDue, "enable the key"},
	} {
		t.Run(code, func(t *testing.T) {
			awsStub(t, func(action string) (int, string) {
				if action == "DescribeKey" {
					return 200, describe
				}
				return want.http, awsError(code)
			})
			b := newBench(t)
			found, exit := b.findings("doctor", "--may-decrypt", arn, "--source", "urn:shop")
			one(t, found, "kms decrypt", want.status, "kms:Decrypt on "+arn)
			fix := found["kms decrypt"][0].Fix
			if exit != want.exit || !strings.Contains(fix, want.fix) || strings.Contains(fix, "event") || strings.Contains(fix, "tried again") {
				t.Errorf("exit %d, want %d; %s", exit, want.exit, fix)
			}
		})
	}
}

// TestCommandsPromiseNoRetry: nothing tries a command again but those who run it.
func TestCommandsPromiseNoRetry(t *testing.T) {
	const arn = "arn:aws:kms:eu-west-1:111122223333:key/1"
	awsStub(t, func(string) (int, string) { return 400, awsError("ThrottlingException") })
	b := newBench(t)
	b.org(nil, orderSource)
	for _, args := range [][]string{
		{"seal", "--kms", arn, "--producer", "shop"}, {"keys", "new", "--kms", arn, "--producer", "shop"}, b.seal("--encrypt-to", arn), b.open(orderSource, "--identity", arn),
	} {
		if r := b.run(orderEvent, args...); r.code != exitUnavailable || !strings.Contains(r.stderr, "run it again") || strings.Contains(r.stderr, "tried again") {
			t.Errorf("%v: exit %d\n%s", args, r.code, r.stderr)
		}
	}
}

// TestPublishRetriesTheBusCheck: --retry-for is for all that publish asks of EventBridge.
func TestPublishRetriesTheBusCheck(t *testing.T) {
	asked, sent := 0, 0
	awsStub(t, func(action string) (int, string) {
		if action == "DescribeEventBus" {
			if asked++; asked < 3 {
				return 400, awsError("ThrottlingException")
			}
			return 200, `{"Name":"central"}`
		}
		sent++
		return 200, `{"FailedEntryCount":0,"Entries":[{"EventId":"1"}]}`
	})
	b := newBench(t)
	b.org(nil, orderSource)
	publish := []string{"publish", "--bus", "central", "--keyring", b.path("shop.keyring"), "--insecure-no-passphrase"}
	if r := b.run(orderEvent, append(publish, "--retry-for", "0s")...); r.code != exitUnavailable || asked != 1 || sent != 0 || !strings.Contains(r.stderr, "could not be checked whether the event bus") {
		t.Errorf("without retries: exit %d, asked %d times, sent %d\n%s", r.code, asked, sent, r.stderr)
	}
	asked = 0
	if r := b.run(orderEvent, publish...); r.code != exitDone || asked != 3 || sent != 1 || r.stdout != "published 1 of 1 event to central\n" {
		t.Errorf("exit %d, asked %d times, sent %d\n%s%s", r.code, asked, sent, r.stdout, r.stderr)
	}
}

// TestQuarantineByPrefix: a record is named by the beginning of its ID, or of the hash in it, if no other
// begins so.
func TestQuarantineByPrefix(t *testing.T) {
	b := newBench(t)
	key := make([]byte, consumer.MinQuarantineKey)
	b.check(os.WriteFile(b.path("q.key"), keyText(key), 0o600))
	store, err := quarantine.NewDir(b.path("bin"), key)
	b.check(err)
	for i := range 8 {
		b.check(store.Put(t.Context(), consumer.Record{
			Consumer: "billing", At: b.now.Add(time.Duration(-i) * time.Hour), Reason: envelope.ReasonModified, UnverifiedID: fmt.Sprint("o-", i),
			Message: consumer.Message{Body: []byte("{}")},
		}))
	}
	files, err := filepath.Glob(filepath.Join(b.path("bin"), "*.json"))
	b.check(err)
	id := strings.TrimSuffix(filepath.Base(files[3]), ".json")
	day, hash := id[:8], hashOf(id)
	command := func(name string, more ...string) []string {
		return append([]string{"quarantine", name, "--from", b.path("bin"), "--key-file", b.path("q.key")}, more...) // a plain directory
	}
	for name, c := range map[string]struct {
		given string
		code  int
		says  string
	}{
		"whole":         {id, exitDone, ""},
		"beginning":     {id[:20], exitDone, ""},
		"hash":          {hash, exitDone, ""},
		"some hash":     {hash[:minPrefix], exitDone, ""},
		"too short":     {hash[:minPrefix-1], exitUsage, "at least 8 characters"},
		"ambiguous":     {day, exitUsage, id[:9]},
		"of none":       {"ffffffff0000", exitRejected, "no such record"},
		"not beginning": {hash[4:], exitRejected, "no such record"},
	} {
		r := b.run("", command("show", "--output", "json", c.given)...)
		var shown recordView
		b.check(json.Unmarshal([]byte(r.stdout), &shown))
		if r.code != c.code || r.code == exitDone && shown.ID != id || !strings.Contains(r.stderr, c.says) {
			t.Errorf("%s: exit %d, %q\n%s", name, r.code, shown.ID, r.stderr)
		}
	}
	if r := b.run("", command("show", day)...); strings.Count(r.stderr, "Z-") != mostMatches || !strings.Contains(r.stderr, " and others") {
		t.Errorf("which match is not told:\n%s", r.stderr)
	}
	b.terminal, b.columns = true, 80
	if list := stripColour(b.must("", command("list")...)); !strings.Contains(list, hash[:shownHash]+" ") || strings.Contains(list, id) || !strings.HasSuffix(list, "8 records\n") {
		t.Errorf("the list shows no beginnings:\n%s", list)
	}
	b.terminal = false
	dry := b.must("", command("reopen", "--dry-run", "--output", "json", hash[:minPrefix], id[:22])...)
	if strings.Count(dry, id) != 1 {
		t.Errorf("reopened:\n%s", dry)
	}
	b.must("", command("remove", hash[:minPrefix])...)
	if _, err := os.Stat(files[3]); !os.IsNotExist(err) {
		t.Error("not removed")
	}
	if list := b.must("", "quarantine", "list", "--from", "dir:"+b.path("bin"), "--key-file", b.path("q.key")); !strings.HasSuffix(list, "7 records\n") {
		t.Errorf("dir: is no longer known:\n%s", list)
	}
}

func TestPlaceOf(t *testing.T) {
	for from, want := range map[string][2]string{
		"bin": {"dir", "bin"}, "./a:b": {"dir", "./a:b"}, "dir:bin": {"dir", "bin"}, "/var/q": {"dir", "/var/q"}, `C:\q`: {"dir", `C:\q`},
		"s3://b/p": {"s3", "//b/p"}, "sqs:https://q": {"sqs", "https://q"}, "gs://b": {"", ""}, "": {"", ""}, "dir:": {"dir", ""},
	} {
		if place, rest := placeOf(from); place != want[0] || rest != want[1] {
			t.Errorf("placeOf(%q) = %q, %q", from, place, rest)
		}
	}
}

func TestVersionFlag(t *testing.T) {
	b := newBench(t)
	if flag, command := b.must("", "--version"), b.must("", "version"); flag != command || !strings.HasPrefix(flag, "sealbus ") {
		t.Errorf("%q, %q", flag, command)
	}
	if got, err := jsonMember(b.must("", "--version", "--output", "json"), "platform"); got == "" || err != nil {
		t.Errorf("for programs: %q, %v", got, err)
	}
	if r := b.run("", "open", "--version"); r.code != exitUsage {
		t.Errorf("of a command: exit %d", r.code)
	}
}

// TestCompletion: the help names it, each shell has a script, and the values of flags are offered.
func TestCompletion(t *testing.T) {
	b := newBench(t)
	if help := b.must("", "--help"); !strings.Contains(help, "  completion") {
		t.Errorf("the help does not name it:\n%s", help)
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if script := b.must("", "completion", shell); !strings.Contains(script, "sealbus") || len(script) < 1000 {
			t.Errorf("%s: %q", shell, script)
		}
	}
	b.org(nil, orderSource)
	b.must("", "keys", "export", "--keyring", b.path("shop.keyring"), "--insecure-no-passphrase", "--out", b.path("pub.json"))
	b.must("", "trust", "add", "--policy", b.path("policy.yaml"), "--producer", "shop", b.path("pub.json"))
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
		{[]string{"keys", "new", "--alg", "ML"}, "ML-DSA-65\n:4\n"},
		{[]string{"trust", "add", "--policy", b.path("policy.yaml"), "--producer", ""}, "shop\n:4\n"},
		{[]string{"trust", "add", "--policy", b.path("policy.yaml"), "--consumer", ""}, ":4\n"},
		{[]string{"trust", "add", "--policy", b.path("none"), "--producer", ""}, ":4\n"},
	} {
		if got := b.must("", append([]string{"__complete"}, c.args...)...); got != c.want {
			t.Errorf("%v: %q, want %q", c.args, got, c.want)
		}
	}
}

// TestPlurals: one is not many.
func TestPlurals(t *testing.T) {
	for got, want := range map[string]string{
		count(0, "event"): "0 events", count(1, "event"): "1 event", count(2, "event"): "2 events", countOf(1, "entry", "entries"): "1 entry",
		countVerdict(1, verdictDuplicate): "1 duplicate", countVerdict(2, verdictDuplicate): "2 duplicates", countVerdict(1, verdictRetry): "1 retry",
		countVerdict(2, verdictRetry): "2 retries", countVerdict(2, verdictVerified): "2 verified",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) < 40 {
		t.Fatal(len(files), err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, many := range []string{"event(s)", "record(s)", "key(s)", `%d events"`, `%d records"`, `%d keys"`, `"%d bytes"`} {
			if strings.Contains(string(source), many) && name != "trust.go" { // "more than %d keys" is of a limit
				t.Errorf("%s: %s: use count", name, many)
			}
		}
	}
}
