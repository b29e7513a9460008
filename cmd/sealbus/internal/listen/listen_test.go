package listen_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/listen"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/envelope"
)

func TestListenDecrypts(t *testing.T) {
	b := clitest.New(t)
	b.SecretOrg()
	seal := func(id string, more ...string) string { return b.Must(clitest.Order(id), b.Seal(more...)...) }
	to := []string{"--encrypt-to", b.Path("billing.pub.json")}
	receiver := clitest.NewReceiver(t, 200)
	l := b.Serve("--identity", b.Path("billing.keyring"), "--insecure-no-passphrase",
		"--require-encrypted-field", "/item", "--forward-to", receiver.URL, "--output", "json")
	if status, h := l.Post(seal("o-1", to...)); status != 200 || h.Encryption == nil ||
		h.Encryption.Fields != nil || h.Encryption.OpenedWith == "" {
		t.Errorf("%d, %+v", status, h)
	}
	if status, h := l.Post(seal("o-2")); status == 200 || h.Reason != envelope.ReasonNotEncrypted {
		t.Errorf("%d, %+v", status, h)
	}
	if got := receiver.Received(); len(got) != 1 || !strings.Contains(got[0], "chair") {
		t.Errorf("forwarded %q", got)
	}
	blind := b.Serve()
	if status, h := blind.Post(seal("o-3", to...)); status == 200 ||
		h.Reason != envelope.ReasonNotARecipient {
		t.Errorf("%d, %+v", status, h)
	}
	if l := b.Listen("--http", "1", "--require-encrypted"); l.Wait() != ui.ExitUsage ||
		!strings.Contains(l.Stderr.String(), "add --identity KEY") {
		t.Errorf("%s", l.Stderr.String())
	}
}

// TestListenHTTP: each delivery has its answer and its line, and what is posted on is the verified event.
func TestListenHTTP(t *testing.T) {
	b := clitest.NewListenBench(t)
	to := clitest.NewReceiver(t, http.StatusNoContent)
	l := b.Serve("--forward-to", to.URL, "--output", "json")
	sealed := b.Sealed("o-1")
	unsigned := clitest.Order("o-2")
	forged := strings.Replace(b.Sealed("o-3"), `"chair"`, `"throne"`, 1)
	for _, c := range []struct {
		name, body      string
		status          int
		verdict, reason string
	}{
		{"verified", sealed, 200, ui.VerdictVerified, ""},
		{"again", sealed, 200, ui.VerdictDuplicate, "replayed"},
		{"unsigned", unsigned, 403, ui.VerdictRejected, "unsigned"},
		{"forged", forged, 403, ui.VerdictRejected, "modified"},
		{"not JSON", "{", 400, ui.VerdictRejected, "malformed"},
		{"empty", " ", 400, ui.VerdictRejected, "malformed"},
		{"too large", `{"specversion":"1.0","x":"` + strings.Repeat("x", 1<<20) +
			`"}`, 413, ui.VerdictRejected, "too_large"},
		{"not a batch", "[" + sealed, 400, ui.VerdictRejected, "malformed"},
		{"an unsealed EventBridge event", `{"source":"https://shop.example/eu","detail-type":"t","detail":` +
			unsigned + `}`, 403, ui.VerdictRejected, "unsigned"},
	} {
		status, h := l.Post(c.body)
		if status != c.status || h.Verdict != c.verdict || string(h.Reason) != c.reason ||
			h.Forwarded != (c.verdict == ui.VerdictVerified) {
			t.Errorf("%s: %d %+v", c.name, status, h)
		}
		if (h.Producer == "shop") != (c.status == 200) || h.Unverified != nil && c.status == 200 {
			t.Errorf("%s: verified %q, unverified %+v", c.name, h.Producer, h.Unverified)
		}
	}
	if got := to.Received(); len(got) != 1 || got[0] != strings.TrimSpace(b.Must(sealed,
		b.Open(clitest.OrderSource)...)) {
		t.Errorf("posted on: %q", got)
	}
	to.Mu.Lock()
	if h := to.Got[0].Header; h.Get("Content-Type") != "application/cloudevents+json; charset=utf-8" ||
		len(h.Get("Idempotency-Key")) != 64 {
		t.Errorf("headers: %v", h)
	}
	to.Mu.Unlock()
	if code := l.End(); code != 0 {
		t.Errorf("exit %d", code)
	}
	if n := strings.Count(l.Stdout.String(), "\n"); n != 9 {
		t.Errorf("%d lines", n)
	}
	const total = "1 verified, 1 duplicate, 7 rejected (malformed 3, modified 1, too_large 1, unsigned 2)"
	if !strings.Contains(l.Stderr.String(), total) {
		t.Errorf("summary: %s", l.Stderr.String())
	}
}

func TestListenHTTPRefusesRequests(t *testing.T) {
	l := clitest.NewListenBench(t).Serve()
	for name, c := range map[string]struct {
		method, contentType, version string
		status                       int
		origin                       string
	}{
		"GET":         {http.MethodGet, "application/json", "", 405, ""},
		"a web page":  {http.MethodPost, "text/plain", "", 415, ""},
		"rebinding":   {http.MethodPost, "application/json", "", 403, "http://attacker.example:8080"},
		"sandboxed":   {http.MethodPost, "application/json", "", 403, "null"},
		"a form":      {http.MethodPost, "application/x-www-form-urlencoded", "", 415, ""},
		"no type":     {http.MethodPost, "", "", 415, ""},
		"binary mode": {http.MethodPost, "application/json", "1.0", 415, ""},
	} {
		header := http.Header{"Content-Type": {c.contentType}}
		if c.version != "" {
			header.Set("Ce-Specversion", c.version)
		}
		if c.origin != "" {
			header.Set("Origin", c.origin)
		}
		status, answer := l.Send(c.method, l.Sealed("o-1"), header)
		if status != c.status || !bytes.Contains(answer, []byte(`"fix"`)) {
			t.Errorf("%s: %d %s", name, status, answer)
		}
	}
	if status, answer := l.Send(http.MethodPost, strings.Repeat(" ", listen.MaxPosted+1),
		http.Header{"Content-Type": {"application/json"}}); status != 413 {
		t.Errorf("a large body: %d %s", status, answer)
	}
	if out := l.Stdout.String(); out != "" {
		t.Errorf("standard output: %s", out)
	}
}

// TestListenBatch: of a batch each event is judged, and the sender comes again if one of them must.
func TestListenBatch(t *testing.T) {
	b := clitest.NewListenBench(t)
	to := clitest.NewReceiver(t, 200, 500, 200)
	l := b.Serve("--forward-to", to.URL)
	one, two := strings.TrimSpace(b.Sealed("o-1")), strings.TrimSpace(b.Sealed("o-2"))
	batch := "[" + one + "," + two + "," + clitest.Order("o-3") + "]"
	for _, want := range []struct {
		status   int
		verdicts string
	}{{503, "verified retry rejected"}, {403, "duplicate verified rejected"}} {
		status, answer := l.Send(http.MethodPost, batch,
			http.Header{"Content-Type": {"application/cloudevents-batch+json"}})
		var list []clitest.HeardResult
		b.Check(json.Unmarshal(answer, &list))
		var verdicts []string
		for _, h := range list {
			verdicts = append(verdicts, h.Verdict)
		}
		if got := strings.Join(verdicts, " "); status != want.status || got != want.verdicts {
			t.Errorf("%d %s, want %+v", status, got, want)
		}
	}
}

// TestListenForward: only a 2xx answer is one; a redirect leads nowhere.
func TestListenForward(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		answer string
		cause  string
	}{
		"an error":   {500, "", "it answers 500"},
		"with words": {422, "no \x1b[31mchairs", "it answers 422: no \x1b[31mchairs"},
		"a redirect": {307, "", `a redirect to "/elsewhere", which is not followed`},
		"to a GET":   {303, "", `a redirect to "/elsewhere", which is not followed`},
	} {
		t.Run(name, func(t *testing.T) {
			b := clitest.NewListenBench(t)
			to := clitest.NewReceiver(t, c.status)
			to.Answer = c.answer
			l := b.Serve("--forward-to", to.URL)
			sealed := b.Sealed("o-1")
			for range 2 {
				if status, h := l.Post(sealed); status != 503 || h.Verdict != ui.VerdictRetry ||
					h.Reason != "handler_failed" || h.Forwarded || !strings.Contains(h.Cause, c.cause) {
					t.Errorf("%d %+v", status, h)
				}
			}
			to.Mu.Lock()
			to.Status = []int{200}
			to.Mu.Unlock()
			if status, h := l.Post(sealed); status != 200 || !h.Forwarded {
				t.Errorf("in the end: %d %+v", status, h)
			}
			if got := to.Received(); len(got) != 3 {
				t.Errorf("%d POSTs", len(got))
			}
			if out := l.Stdout.String(); strings.Contains(out, "\x1b") ||
				!strings.Contains(out, "handler_failed") {
				t.Errorf("%q", out)
			}
		})
	}
}

// TestListenTerminal: foreign text does not reach the terminal as it is, and is marked.
func TestListenTerminal(t *testing.T) {
	b := clitest.NewListenBench(t)
	l := b.Serve()
	const evil = `{"specversion":"1.0","id":"a\u202eb","source":"https://shop.example/x","type":"t\u200b"}`
	l.Post(evil)
	l.Post(`{"specversion":"1.0","id":"\u001b[2J","source":"s","type":"t"}`)
	l.Post(strings.Replace(evil, `a\u202eb`, strings.Repeat("long", 100), 1))
	out := l.Stdout.String()
	if strings.ContainsAny(out, "\x1b\u202e\u200b") || !strings.Contains(out, `?a\u202eb`) ||
		!strings.Contains(out, "?https://shop.example/x") {
		t.Errorf("%q", out)
	}
	if strings.Contains(out, strings.Repeat("long", 50)) {
		t.Error("a long ID is not cut")
	}
}

// TestListenTerminalJSON: lines and answers in JSON come to terminals, too (curl), and encoding/json leaves
// most of this as it is.
func TestListenTerminalJSON(t *testing.T) {
	b := clitest.NewListenBench(t)
	l := b.Serve("--output", "json")
	const evil = `"\u202e \u200b \ue000 \ud834\udd73 \u00a0é😀"`
	doc := `{"specversion":"1.0","id":"i","source":"https://shop.example/x","type":` + evil + `}`
	var want string
	b.Check(json.Unmarshal([]byte(evil), &want))
	for name, doc := range map[string]string{"one": doc, "a batch": "[" + doc + "]"} {
		_, answer := l.Send(http.MethodPost, doc, http.Header{"Content-Type": {"application/json"}})
		for _, text := range []string{string(answer), l.Stdout.String()} {
			if strings.ContainsFunc(strings.TrimRight(text, "\n"),
				func(r rune) bool { return r != '\n' && ui.Unprintable(r) }) {
				t.Errorf("%s: %q", name, text)
			}
		}
		var h clitest.HeardResult
		b.Check(json.Unmarshal(bytes.Trim(answer, "[]\n"), &h))
		if h.Unverified == nil || h.Unverified.Type != want {
			t.Errorf("%s: %s", name, answer)
		}
	}
}

func TestListenLimit(t *testing.T) {
	b := clitest.NewListenBench(t)
	l := b.Serve("--limit", "2")
	l.Post(b.Sealed("o-1"))
	l.Post(clitest.Order("o-2"))
	if code := l.Wait(); code != 0 || !strings.Contains(l.Stderr.String(),
		"1 verified, 1 rejected (unsigned 1)") {
		t.Errorf("exit %d\n%s", code, l.Stderr.String())
	}
}

func TestListenQuarantine(t *testing.T) {
	b := clitest.NewListenBench(t)
	b.Must("", "quarantine", "key", "new", "--out", b.Path("q.key"))
	l := b.Serve("--quarantine", "dir:"+b.Path("q"), "--quarantine-key-file", b.Path("q.key"))
	if status, h := l.Post(clitest.Order("o-1")); status != 403 || h.Verdict != ui.VerdictQuarantined ||
		h.Reason != "unsigned" {
		t.Errorf("%d %+v", status, h)
	}
	if files, _ := filepath.Glob(b.Path("q/*.json")); len(files) != 1 {
		t.Errorf("in quarantine: %v", files)
	}
	if list := b.Must("", "quarantine", "list", "--from", "dir:"+
		b.Path("q"), "--key-file", b.Path("q.key")); !strings.Contains(list, "unsigned") {
		t.Errorf("in quarantine: %s", list)
	}
	b.Check(os.RemoveAll(b.Path("q")))
	b.Check(os.WriteFile(b.Path("q"), nil, 0o600)) // in the way
	if status, h := l.Post(clitest.Order("o-2")); status != 503 || h.Verdict != ui.VerdictRetry ||
		!strings.Contains(h.Cause, "not in quarantine") {
		t.Errorf("without its directory: %d %+v", status, h)
	}
}

func TestListenUsage(t *testing.T) {
	b := clitest.NewListenBench(t)
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"neither": {nil, "--queue or --http"},
		"both": {[]string{"--queue", "http://q", "--http", "1"},
			"--queue and --http exclude each other"},
		"not a queue":  {[]string{"--queue", "billing"}, "is not a URL"},
		"not a target": {[]string{"--http", "1", "--forward-to", "localhost:3000"}, "is not a URL"},
		"not http": {[]string{"--http", "1", "--forward-to", "ftp://user:secret@h"},
			`"...@h" is not a URL`},
		"not an address": {[]string{"--http", "1:2:3"}, "is no address"},
		"delete":         {[]string{"--http", "1", "--delete"}, "--delete is for --queue"},
		"limit":          {[]string{"--http", "1", "--limit", "-1"}, "--limit -1"},
		"no key":         {[]string{"--http", "1", "--quarantine", "dir:q"}, "belong together"},
		"what quarantine": {[]string{"--http", "1", "--quarantine", "gs://q", "--quarantine-key-file",
			b.Path("roots.json")}, `--quarantine: "gs://q" is not the place of a quarantine`},
		"each time": {[]string{"--queue", "http://q", "--quarantine", "dir:q", "--quarantine-key-file",
			"k"}, "each time it comes"},
		"account": {[]string{"--http", "1", "--account", "7"}, "--account"},
		"redis":   {[]string{"--http", "1", "--redis", "http://user:secret@h"}, "not a URL of Redis"},
		"another's name": {[]string{"--queue", "http://q", "--redis", "redis://user:secret@h", "--name",
			"billing"}, "remembered as handled by billing"},
	} {
		l := b.Listen(c.args...)
		if code := l.Wait(); code != ui.ExitUsage || !strings.Contains(l.Stderr.String(), c.want) ||
			strings.Contains(l.Stderr.String(), "secret") {
			t.Errorf("%s: exit %d\n%s", name, code, l.Stderr.String())
		}
	}
	if l := b.Listen("--http", "1", "--quarantine", "dir:"+
		b.Path("q"), "--quarantine-key-file", b.Path("roots.json")); l.Wait() != ui.ExitUsage ||
		!strings.Contains(l.Stderr.String(), "not a quarantine key") {
		t.Errorf("without a key\n%s", l.Stderr.String())
	}
	if l := b.Listen("--http", "1", "--trust", b.Path("roots.json")); l.Wait() != ui.ExitUsage {
		t.Errorf("without trust\n%s", l.Stderr.String())
	}
}

// TestListenTakesReopenedRecords: the record that listen put away, and an operator reopened, is judged again
// as the event that it holds, over both transports. Nothing is put away twice.
func TestListenTakesReopenedRecords(t *testing.T) {
	b := clitest.NewListenBench(t)
	b.Must("", "quarantine", "key", "new", "--out", b.Path("q.key"))
	from := []string{"--from", "dir:" + b.Path("q"), "--key-file", b.Path("q.key")}
	quarantine := []string{"--name", "billing", "--quarantine", "dir:" +
		b.Path("q"), "--quarantine-key-file", b.Path("q.key")}
	record := func() string {
		t.Helper()
		return b.Must("", append(append([]string{"quarantine", "reopen"}, from...), "--all", "--to",
			"stdout")...)
	}
	strict := b.Serve(append(quarantine, "--allow-type", "com.example.invoice.*")...)
	if _, h := strict.Post(b.Sealed("o-1")); h.Verdict != ui.VerdictQuarantined ||
		h.Reason != "type_not_allowed" {
		t.Fatalf("%+v", h)
	}
	strict.End()
	b.Now = b.Now.Add(time.Second) // what is put away later is not reopened in the same run
	first := record()
	strict = b.Serve(append(quarantine, "--allow-type", "com.example.invoice.*")...)
	// Still the wrong type: the event is put away once more, and not the record of it.
	if status, h := strict.Post(first); status != 403 || h.Verdict != ui.VerdictQuarantined ||
		h.Reason != "type_not_allowed" || h.Unverified != nil && h.Unverified.ID != "o-1" {
		t.Errorf("%d %+v", status, h)
	}
	strict.End()
	if shown := b.Must("", append([]string{"quarantine", "list", "--output", "json"},
		from...)...); strings.Contains(shown, "quarantinerecord") ||
		strings.Count(shown, `"format":"cloudevent"`) != 2 {
		t.Errorf("in quarantine: %s", shown)
	}

	b.Now = b.Now.Add(time.Second)
	to := clitest.NewReceiver(t, 200)
	over := b.Serve(append(quarantine, "--forward-to", to.URL)...)
	if status, h := over.Post(first); status != 200 || h.Verdict != ui.VerdictVerified || h.ID != "o-1" ||
		h.Producer != "shop" {
		t.Errorf("over HTTP: %d %+v", status, h)
	}
	// The record is genuine, so nothing says that it is another consumer's.
	if _, h := over.Post(first); h.Verdict != ui.VerdictDuplicate ||
		strings.Contains(h.Fix, "--quarantine-key-file") {
		t.Errorf("once more: %+v", h)
	}
	over.End()
	if got := to.Received(); len(got) != 1 || !strings.Contains(got[0], `"o-1"`) {
		t.Errorf("posted on: %q", got)
	}

	q := clitest.NewQueue(b, nil)
	out := b.Run("", append(append([]string{"quarantine", "reopen"}, from...), "--all", "--to-queue",
		q.URL)...)
	if out.Code != 0 || !strings.Contains(out.Stderr, `the consumer "billing" takes them`) {
		t.Errorf("exit %d\n%s%s", out.Code, out.Stdout, out.Stderr)
	}
	l := poll(b, q, append(quarantine, "--delete", "--limit", "2")...)
	if code := l.Wait(); code != 0 || !strings.Contains(l.Stderr.String(), "1 verified, 1 duplicate") {
		t.Errorf("exit %d\n%s%s", code, l.Stdout.String(), l.Stderr.String())
	}
	if left, _ := filepath.Glob(b.Path("q/*.json")); len(left) != 0 || q.Left() != "0+0" {
		t.Errorf("left in quarantine %v, on the queue %s", left, q.Left())
	}
}

// TestListenRefusesForeignRecords: what is not authentic, or of another consumer or quarantine, has no say in
// account or replay name, and is kept whole as what it is.
func TestListenRefusesForeignRecords(t *testing.T) {
	b := clitest.NewListenBench(t)
	for _, name := range []string{"q", "other"} {
		b.Must("", "quarantine", "key", "new", "--out", b.Path(name+".key"))
	}
	put := func(name, consumer string) string {
		t.Helper()
		place := "dir:" + b.Path(name+consumer)
		l := b.Serve("--name", consumer, "--allow-type", "com.example.invoice.*", "--quarantine", place,
			"--quarantine-key-file", b.Path(name+".key"))
		if _, h := l.Post(b.Sealed("o-1")); h.Verdict != ui.VerdictQuarantined {
			t.Fatalf("%+v", h)
		}
		l.End()
		b.Now = b.Now.Add(time.Second)
		return b.Must("", "quarantine", "reopen", "--from", place, "--key-file", b.Path(name+".key"), "--all",
			"--to", "stdout")
	}
	genuine := put("q", "billing")
	for name, c := range map[string]struct {
		record string
		args   []string
		reason string
	}{
		"another key":        {put("other", "billing"), nil, "bad_signature"},
		"another consumer":   {put("q", "payroll"), nil, "audience_mismatch"},
		"another quarantine": {genuine, []string{"--quarantine-name", "elsewhere"}, "audience_mismatch"},
		"an account edited": {strings.Replace(genuine, `"account":""`, `"account":"111122223333"`, 1), nil,
			"bad_signature"},
		"a replay edited": {strings.Replace(genuine, `"replay_name":""`, `"replay_name":"april"`, 1), nil,
			"bad_signature"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			l := b.Serve(append([]string{"--name", "billing", "--quarantine", "dir:" +
				dir, "--quarantine-key-file", b.Path("q.key")}, c.args...)...)
			_, h := l.Post(c.record)
			if h.Verdict != ui.VerdictQuarantined || string(h.Reason) != c.reason ||
				!strings.Contains(h.Fix, "--quarantine-key-file") {
				t.Errorf("%+v", h)
			}
			l.End()
			views := clitest.JSONLines[clitest.RecordResult](t,
				b.Must("", "quarantine", "list", "--from", "dir:"+
					dir, "--key-file", b.Path("q.key"), "--output", "json"))
			if len(views) != 1 || views[0].Format != "quarantinerecord" || views[0].Account != "" ||
				views[0].ReplayName != "" {
				t.Fatalf("in quarantine: %+v", views)
			}
			if body := b.Must("", "quarantine", "show", "--from", "dir:"+
				dir, "--key-file", b.Path("q.key"), "--body",
				views[0].ID); body != strings.TrimSpace(c.record) {
				t.Errorf("kept %q", body)
			}
		})
	}
	// Without a quarantine there is no key, and a record is never taken for an event.
	l := b.Serve()
	if status, h := l.Post(genuine); status != 403 || h.Verdict != ui.VerdictRejected ||
		h.Reason != "bad_signature" || !strings.Contains(h.Fix, "--quarantine") {
		t.Errorf("without a quarantine: %d %+v", status, h)
	}
}

// TestListenHTTPAcknowledgesNothingUntold: a sender whose event has no line is to come again, unless the
// receiver has the event.
func TestListenHTTPAcknowledgesNothingUntold(t *testing.T) {
	b := clitest.NewListenBench(t)
	to := clitest.NewReceiver(t, 200)
	for _, full := range []bool{false, true} {
		for want, args := range map[int][]string{503: nil, 200: {"--forward-to", to.URL}} {
			l := b.Serve(args...)
			if l.Stdout.Cut(); full {
				l.Stdout.Fill()
			}
			if status, h := l.Post(b.Sealed("o-1")); status != want {
				t.Errorf("%s: %d %+v", args, status, h)
			}
			if code := l.Wait(); code != ui.ExitUnavailable {
				t.Errorf("%s, full: %t: exit %d\n%s", args, full, code, l.Stderr.String())
			}
		}
	}
}
