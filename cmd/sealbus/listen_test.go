package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sealbus/sealbus/internal/localaws"
)

// liveText is a stream that is read while it is written.
type liveText struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *liveText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *liveText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// listening is a listen command that runs.
type listening struct {
	*bench
	stdout, stderr liveText
	url            string // of --http
	stop           context.CancelFunc
	ended          chan int
}

func (b *bench) listen(more ...string) *listening {
	b.t.Helper()
	l := &listening{bench: b, ended: make(chan int, 1)}
	ctx, cancel := context.WithCancel(b.t.Context())
	l.stop = cancel
	env := environment{
		now: func() time.Time { return b.now }, getenv: func(string) string { return "" },
		terminal: func(io.Writer) bool { return b.terminal },
	}
	args := append([]string{"listen", "--trust", b.path("trust.dsse"), "--roots", b.path("roots.json"), "--allow-source", orderSource}, more...)
	go func() { l.ended <- run(ctx, args, strings.NewReader(""), &l.stdout, &l.stderr, env) }()
	b.t.Cleanup(func() { l.end() })
	return l
}

// serve listens on a free port.
func (b *bench) serve(more ...string) *listening {
	b.t.Helper()
	l := b.listen(append([]string{"--http", "127.0.0.1:0"}, more...)...)
	address := regexp.MustCompile(`listening on (http://\S+/)`)
	l.until("it listens", func() bool {
		if m := address.FindStringSubmatch(l.stderr.String()); m != nil {
			l.url = m[1]
		}
		return l.url != ""
	})
	return l
}

// until waits for what is sure to come.
func (l *listening) until(what string, done func() bool) {
	l.t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(time.Millisecond) {
		select {
		case code := <-l.ended:
			l.ended <- code
			if !done() {
				l.t.Fatalf("%s: ended with %d\n%s%s", what, code, l.stdout.String(), l.stderr.String())
			}
			return
		default:
		}
		if time.Now().After(deadline) {
			l.t.Fatalf("%s: not in time\n%s%s", what, l.stdout.String(), l.stderr.String())
		}
	}
}

// end is Ctrl-C; it returns the exit status.
func (l *listening) end() int {
	l.t.Helper()
	l.stop()
	return l.wait()
}

func (l *listening) wait() int {
	l.t.Helper()
	select {
	case code := <-l.ended:
		l.ended <- code
		return code
	case <-time.After(time.Minute):
		l.t.Fatalf("it does not end\n%s", l.stderr.String())
		return -1
	}
}

func (l *listening) post(body string) (int, *heardResult) {
	l.t.Helper()
	status, answer := l.send(http.MethodPost, body, http.Header{"Content-Type": {"application/cloudevents+json"}})
	var h heardResult
	if err := json.Unmarshal(answer, &h); err != nil {
		l.t.Fatalf("%d %s: %v", status, answer, err)
	}
	return status, &h
}

func (l *listening) send(method, body string, header http.Header) (int, []byte) {
	l.t.Helper()
	req, err := http.NewRequestWithContext(l.t.Context(), method, l.url, strings.NewReader(body))
	l.check(err)
	req.Header = header
	resp, err := http.DefaultClient.Do(req)
	l.check(err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	l.check(err)
	return resp.StatusCode, answer
}

// receiver is what --forward-to posts to.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	status []int // of the answers; the last one stays
	answer string
	got    []*http.Request
	bodies []string
}

func newReceiver(t *testing.T, status ...int) *receiver {
	r := &receiver{status: status}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got, r.bodies = append(r.got, req), append(r.bodies, string(body))
	status := r.status[0]
	if len(r.status) > 1 {
		r.status = r.status[1:]
	}
	if status/100 == 3 {
		w.Header().Set("Location", "/elsewhere")
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, r.answer)
}

func (r *receiver) received() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.bodies...)
}

func newListenBench(t *testing.T) *bench {
	b := newBench(t)
	b.org(nil, orderSource)
	return b
}

func (b *bench) sealed(id string) string { return b.must(order(id), b.seal()...) }

// TestListenHTTP: each delivery has its answer and its line, and what is posted on is the verified event.
func TestListenHTTP(t *testing.T) {
	b := newListenBench(t)
	to := newReceiver(t, http.StatusNoContent)
	l := b.serve("--forward-to", to.URL, "--output", "json")
	sealed := b.sealed("o-1")
	unsigned := order("o-2")
	forged := strings.Replace(b.sealed("o-3"), `"chair"`, `"throne"`, 1)
	for _, c := range []struct {
		name, body      string
		status          int
		verdict, reason string
	}{
		{"verified", sealed, 200, verdictVerified, ""},
		{"again", sealed, 200, verdictDuplicate, "replayed"},
		{"unsigned", unsigned, 403, verdictRejected, "unsigned"},
		{"forged", forged, 403, verdictRejected, "modified"},
		{"not JSON", "{", 400, verdictRejected, "malformed"},
		{"empty", " ", 400, verdictRejected, "malformed"},
		{"too large", `{"specversion":"1.0","x":"` + strings.Repeat("x", 1<<20) + `"}`, 413, verdictRejected, "too_large"},
		{"not a batch", "[" + sealed, 400, verdictRejected, "malformed"},
		{"an unsealed EventBridge event", `{"source":"https://shop.example/eu","detail-type":"t","detail":` + unsigned + `}`, 403, verdictRejected, "unsigned"},
	} {
		status, h := l.post(c.body)
		if status != c.status || h.Verdict != c.verdict || string(h.Reason) != c.reason || h.Forwarded != (c.verdict == verdictVerified) {
			t.Errorf("%s: %d %+v", c.name, status, h)
		}
		if (h.Producer == "shop") != (c.status == 200) || h.Unverified != nil && c.status == 200 {
			t.Errorf("%s: verified %q, unverified %+v", c.name, h.Producer, h.Unverified)
		}
	}
	if got := to.received(); len(got) != 1 || got[0] != strings.TrimSpace(b.must(sealed, b.open(orderSource)...)) {
		t.Errorf("posted on: %q", got)
	}
	to.mu.Lock()
	if h := to.got[0].Header; h.Get("Content-Type") != "application/cloudevents+json; charset=utf-8" || len(h.Get("Idempotency-Key")) != 64 {
		t.Errorf("headers: %v", h)
	}
	to.mu.Unlock()
	if code := l.end(); code != 0 {
		t.Errorf("exit %d", code)
	}
	if n := strings.Count(l.stdout.String(), "\n"); n != 9 {
		t.Errorf("%d lines", n)
	}
	const total = "1 verified, 1 duplicate, 7 rejected (malformed 3, modified 1, too_large 1, unsigned 2)"
	if !strings.Contains(l.stderr.String(), total) {
		t.Errorf("summary: %s", l.stderr.String())
	}
}

func TestListenHTTPRefusesRequests(t *testing.T) {
	l := newListenBench(t).serve()
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
		status, answer := l.send(c.method, l.sealed("o-1"), header)
		if status != c.status || !bytes.Contains(answer, []byte(`"fix"`)) {
			t.Errorf("%s: %d %s", name, status, answer)
		}
	}
	if status, answer := l.send(http.MethodPost, strings.Repeat(" ", maxPosted+1), http.Header{"Content-Type": {"application/json"}}); status != 413 {
		t.Errorf("a large body: %d %s", status, answer)
	}
	if out := l.stdout.String(); out != "" {
		t.Errorf("standard output: %s", out)
	}
}

// TestListenBatch: of a batch each event is judged, and the sender comes again if one of them must.
func TestListenBatch(t *testing.T) {
	b := newListenBench(t)
	to := newReceiver(t, 200, 500, 200)
	l := b.serve("--forward-to", to.URL)
	one, two := strings.TrimSpace(b.sealed("o-1")), strings.TrimSpace(b.sealed("o-2"))
	batch := "[" + one + "," + two + "," + order("o-3") + "]"
	for _, want := range []struct {
		status   int
		verdicts string
	}{{503, "verified retry rejected"}, {403, "duplicate verified rejected"}} {
		status, answer := l.send(http.MethodPost, batch, http.Header{"Content-Type": {"application/cloudevents-batch+json"}})
		var list []heardResult
		b.check(json.Unmarshal(answer, &list))
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
			b := newListenBench(t)
			to := newReceiver(t, c.status)
			to.answer = c.answer
			l := b.serve("--forward-to", to.URL)
			sealed := b.sealed("o-1")
			for range 2 {
				if status, h := l.post(sealed); status != 503 || h.Verdict != verdictRetry || h.Reason != "handler_failed" || h.Forwarded || !strings.Contains(h.Cause, c.cause) {
					t.Errorf("%d %+v", status, h)
				}
			}
			to.mu.Lock()
			to.status = []int{200}
			to.mu.Unlock()
			if status, h := l.post(sealed); status != 200 || !h.Forwarded {
				t.Errorf("in the end: %d %+v", status, h)
			}
			if got := to.received(); len(got) != 3 {
				t.Errorf("%d POSTs", len(got))
			}
			if out := l.stdout.String(); strings.Contains(out, "\x1b") || !strings.Contains(out, "handler_failed") {
				t.Errorf("%q", out)
			}
		})
	}
}

// TestListenTerminal: what somebody else wrote does not reach the terminal as it is, and is marked.
func TestListenTerminal(t *testing.T) {
	b := newListenBench(t)
	l := b.serve()
	const evil = `{"specversion":"1.0","id":"a\u202eb","source":"https://shop.example/x","type":"t\u200b"}`
	l.post(evil)
	l.post(`{"specversion":"1.0","id":"\u001b[2J","source":"s","type":"t"}`)
	l.post(strings.Replace(evil, `a\u202eb`, strings.Repeat("long", 100), 1))
	out := l.stdout.String()
	if strings.ContainsAny(out, "\x1b\u202e\u200b") || !strings.Contains(out, `?a\u202eb`) || !strings.Contains(out, "?https://shop.example/x") {
		t.Errorf("%q", out)
	}
	if strings.Contains(out, strings.Repeat("long", 50)) {
		t.Error("a long ID is not cut")
	}
}

// TestListenTerminalJSON: lines and answers in JSON come to terminals, too (curl), and encoding/json leaves
// most of this as it is.
func TestListenTerminalJSON(t *testing.T) {
	b := newListenBench(t)
	l := b.serve("--output", "json")
	const evil = `"\u202e \u200b \ue000 \ud834\udd73 \u00a0é😀"`
	doc := `{"specversion":"1.0","id":"i","source":"https://shop.example/x","type":` + evil + `}`
	var want string
	b.check(json.Unmarshal([]byte(evil), &want))
	for name, doc := range map[string]string{"one": doc, "a batch": "[" + doc + "]"} {
		_, answer := l.send(http.MethodPost, doc, http.Header{"Content-Type": {"application/json"}})
		for _, text := range []string{string(answer), l.stdout.String()} {
			if strings.ContainsFunc(strings.TrimRight(text, "\n"), func(r rune) bool { return r != '\n' && unprintable(r) }) {
				t.Errorf("%s: %q", name, text)
			}
		}
		var h heardResult
		b.check(json.Unmarshal(bytes.Trim(answer, "[]\n"), &h))
		if h.Unverified == nil || h.Unverified.Type != want {
			t.Errorf("%s: %s", name, answer)
		}
	}
}

// TestListenAligned: columns stand under each other, with and without colours.
func TestListenAligned(t *testing.T) {
	view := newListenView(style{colour: true})
	first := view.line(&heard{Time: "2026-11-21T12:00:00Z", Verdict: verdictVerified, Producer: "shop", Source: "https://shop.example/eu", Type: "t", ID: "o-1"})
	second := view.line(&heard{Time: "2026-11-21T12:00:01Z", Verdict: verdictQuarantined, Reason: "source_not_allowed", Unverified: &claim{Source: "https://other.example/a/source/that/is/rather/long", Type: "t", ID: "1"}, Cause: "why"})
	third := view.line(&heard{Time: "2026-11-21T12:00:02Z", Verdict: verdictVerified, Producer: "shop", Source: "https://shop.example/eu", Type: "t", ID: "o-2"})
	bare := func(p *printer) string { return regexp.MustCompile(`\x1b\[[0-9]+m`).ReplaceAllString(p.String(), "") }
	if head, line, _ := strings.Cut(bare(first), "\n"); strings.Index(head, "PRODUCER") != strings.Index(line, "shop ") {
		t.Errorf("\n%s", bare(first))
	}
	if s, u := bare(third), bare(second); len([]rune(s[:strings.Index(s, "https")])) != len([]rune(u[:strings.Index(u, "?https")])) {
		t.Errorf("\n%s%s", u, s)
	}
	if !strings.Contains(bare(second), " ?https://other.example/a/so…  ?t ") || strings.Index(bare(third), "o-2") != strings.Index(bare(first)[strings.Index(bare(first), "\n")+1:], "o-1") {
		t.Errorf("\n%s%s%s", bare(first), bare(second), bare(third))
	}
}

func TestListenLimit(t *testing.T) {
	b := newListenBench(t)
	l := b.serve("--limit", "2")
	l.post(b.sealed("o-1"))
	l.post(order("o-2"))
	if code := l.wait(); code != 0 || !strings.Contains(l.stderr.String(), "1 verified, 1 rejected (unsigned 1)") {
		t.Errorf("exit %d\n%s", code, l.stderr.String())
	}
}

func TestListenQuarantine(t *testing.T) {
	b := newListenBench(t)
	b.must("", "quarantine", "key", "new", "--out", b.path("q.key"))
	l := b.serve("--quarantine", "dir:"+b.path("q"), "--quarantine-key-file", b.path("q.key"))
	if status, h := l.post(order("o-1")); status != 403 || h.Verdict != verdictQuarantined || h.Reason != "unsigned" {
		t.Errorf("%d %+v", status, h)
	}
	if files, _ := filepath.Glob(b.path("q/*.json")); len(files) != 1 {
		t.Errorf("in quarantine: %v", files)
	}
	if list := b.must("", "quarantine", "list", "--from", "dir:"+b.path("q"), "--key-file", b.path("q.key")); !strings.Contains(list, "unsigned") {
		t.Errorf("in quarantine: %s", list)
	}
	b.check(os.RemoveAll(b.path("q")))
	b.check(os.WriteFile(b.path("q"), nil, 0o600)) // in the way
	if status, h := l.post(order("o-2")); status != 503 || h.Verdict != verdictRetry || !strings.Contains(h.Cause, "not in quarantine") {
		t.Errorf("without its directory: %d %+v", status, h)
	}
}

func TestListenUsage(t *testing.T) {
	b := newListenBench(t)
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"neither":         {nil, "--queue or --http"},
		"both":            {[]string{"--queue", "http://q", "--http", "1"}, "--queue or --http"},
		"not a queue":     {[]string{"--queue", "billing"}, "is not a URL"},
		"not a target":    {[]string{"--http", "1", "--forward-to", "localhost:3000"}, "is not a URL"},
		"not http":        {[]string{"--http", "1", "--forward-to", "ftp://user:secret@h"}, `"...@h" is not a URL`},
		"not an address":  {[]string{"--http", "1:2:3"}, "is no address"},
		"delete":          {[]string{"--http", "1", "--delete"}, "--delete is for --queue"},
		"limit":           {[]string{"--http", "1", "--limit", "-1"}, "--limit -1"},
		"no key":          {[]string{"--http", "1", "--quarantine", "dir:q"}, "belong together"},
		"what quarantine": {[]string{"--http", "1", "--quarantine", "gs://q", "--quarantine-key-file", b.path("roots.json")}, `--quarantine: "gs://q" is no quarantine`},
		"each time":       {[]string{"--queue", "http://q", "--quarantine", "dir:q", "--quarantine-key-file", "k"}, "each time it comes"},
		"account":         {[]string{"--http", "1", "--account", "7"}, "--account"},
		"redis":           {[]string{"--http", "1", "--redis", "http://user:secret@h"}, "not a URL of Redis"},
		"another's name":  {[]string{"--queue", "http://q", "--redis", "redis://user:secret@h", "--name", "billing"}, "remembered as handled by billing"},
	} {
		l := b.listen(c.args...)
		if code := l.wait(); code != exitUsage || !strings.Contains(l.stderr.String(), c.want) || strings.Contains(l.stderr.String(), "secret") {
			t.Errorf("%s: exit %d\n%s", name, code, l.stderr.String())
		}
	}
	if l := b.listen("--http", "1", "--quarantine", "dir:"+b.path("q"), "--quarantine-key-file", b.path("roots.json")); l.wait() != exitUsage || !strings.Contains(l.stderr.String(), "not a quarantine key") {
		t.Errorf("without a key\n%s", l.stderr.String())
	}
	if l := b.listen("--http", "1", "--trust", b.path("roots.json")); l.wait() != exitUsage {
		t.Errorf("without trust\n%s", l.stderr.String())
	}
}

func TestListenAddress(t *testing.T) {
	for in, want := range map[string]string{
		"8080": "127.0.0.1:8080", ":8080": "127.0.0.1:8080", "0.0.0.0:8080": "0.0.0.0:8080", "localhost:1": "localhost:1", "[::1]:0": "[::1]:0", "": "", "a:": "", "::1": "",
	} {
		if got, err := listenAddress(in); got != want || (err != nil) != (want == "") {
			t.Errorf("%q: %q %v", in, got, err)
		}
	}
}

// testQueue is a queue of the fake.
type testQueue struct {
	t      *testing.T
	client *sqs.Client
	server *localaws.Server
	url    string
}

func newTestQueue(b *bench, attributes map[string]string) *testQueue {
	b.t.Helper()
	server := b.fakeAWS(nil)
	q := &testQueue{t: b.t, server: server, client: sqs.New(sqs.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(server.URL()), Credentials: credentials.NewStaticCredentialsProvider("AKIAEXAMPLE", "secret", ""),
	})}
	out, err := q.client.CreateQueue(b.t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("billing"), Attributes: attributes})
	b.check(err)
	q.url = aws.ToString(out.QueueUrl)
	return q
}

// fakeAWS also keeps the AWS configuration of the machine out of the test.
func (b *bench) fakeAWS(opts *localaws.Options) *localaws.Server {
	b.t.Helper()
	b.bareAWS()
	server, err := localaws.Start(opts)
	b.check(err)
	b.t.Cleanup(func() { b.check(server.Close()) })
	return server
}

func (b *bench) bareAWS() {
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": b.path("none"), "AWS_SHARED_CREDENTIALS_FILE": b.path("none"), "AWS_PROFILE": "", "AWS_ENDPOINT_URL": "",
	} {
		b.t.Setenv(name, value)
	}
}

func (q *testQueue) send(body string) {
	q.t.Helper()
	if _, err := q.client.SendMessage(q.t.Context(), &sqs.SendMessageInput{QueueUrl: &q.url, MessageBody: &body}); err != nil {
		q.t.Fatal(err)
	}
}

// left is how many messages the queue has, whether they can be seen or not.
func (q *testQueue) left() string {
	q.t.Helper()
	out, err := q.client.GetQueueAttributes(q.t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &q.url, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll}})
	if err != nil {
		q.t.Fatal(err)
	}
	return out.Attributes["ApproximateNumberOfMessages"] + "+" + out.Attributes["ApproximateNumberOfMessagesNotVisible"]
}

func (b *bench) poll(q *testQueue, more ...string) *listening {
	return b.listen(append([]string{"--queue", q.url, "--endpoint", q.server.URL()}, more...)...)
}

// TestListenQueuePeek: looking leaves everything where it is, and tells each message once however often it
// comes.
func TestListenQueuePeek(t *testing.T) {
	b := newListenBench(t)
	q := newTestQueue(b, map[string]string{"VisibilityTimeout": "0"}) // what is looked at comes again at once
	q.send(b.sealed("o-1"))
	q.send(order("o-2"))
	q.send("no event at all")
	l := b.poll(q, "--output", "json")
	l.until("three lines", func() bool { return strings.Count(l.stdout.String(), "\n") >= 3 })
	calls := q.server.Calls()
	l.until("it comes again", func() bool { return q.server.Calls() > calls+3 })
	if code := l.end(); code != 0 {
		t.Errorf("exit %d", code)
	}
	if out := l.stdout.String(); strings.Count(out, "\n") != 3 || strings.Count(out, `"message_id"`) != 3 {
		t.Errorf("%s", out)
	}
	if left := q.left(); left != "3+0" {
		t.Errorf("left: %s", left)
	}
	if talk := l.stderr.String(); !strings.Contains(talk, "stay on the queue") || !strings.Contains(talk, "1 verified, 2 rejected (malformed 1, unsigned 1)") {
		t.Errorf("%s", talk)
	}
}

// TestListenQueueForward: a message leaves the queue when the receiver has it, and not before. What is
// refused never gets there.
func TestListenQueueForward(t *testing.T) {
	b := newListenBench(t)
	q := newTestQueue(b, map[string]string{"VisibilityTimeout": "1"})
	to := newReceiver(t, 503, 200)
	q.send(b.sealed("o-1"))
	q.send(strings.Replace(b.sealed("o-2"), `"chair"`, `"throne"`, 1))
	q.send(`{"source":"https://shop.example/eu","detail-type":"com.example.order.placed","account":"000000000000","detail":` + strings.TrimSpace(b.sealed("o-3")) + `}`)
	l := b.poll(q, "--forward-to", to.URL)
	l.until("only the forged one is left", func() bool { return q.left() == "1+0" || q.left() == "0+1" })
	l.end()
	got := strings.Join(to.received(), "\n")
	if len(to.received()) != 3 || strings.Contains(got, "throne") || !strings.Contains(got, `"o-1"`) || !strings.Contains(got, `"o-3"`) || strings.Contains(got, "dssematerial") {
		t.Errorf("posted on: %s", got)
	}
	if out := l.stdout.String(); strings.Count(out, "modified") != 1 || strings.Count(out, "handler_failed") != 1 {
		t.Errorf("%s", out)
	}
}

// TestListenQueueDelete: with a quarantine nothing is left.
func TestListenQueueDelete(t *testing.T) {
	b := newListenBench(t)
	b.must("", "quarantine", "key", "new", "--out", b.path("q.key"))
	q := newTestQueue(b, nil)
	q.send(b.sealed("o-1"))
	q.send(b.sealed("o-1"))
	q.send(order("o-2"))
	l := b.poll(q, "--delete", "--limit", "3", "--quarantine", "dir:"+b.path("q"), "--quarantine-key-file", b.path("q.key"))
	if code := l.wait(); code != 0 || !strings.Contains(l.stderr.String(), "1 verified, 1 duplicate, 1 quarantined (unsigned 1)") {
		t.Errorf("exit %d\n%s", code, l.stderr.String())
	}
	if left := q.left(); left != "0+0" {
		t.Errorf("left: %s", left)
	}
	if files, _ := filepath.Glob(b.path("q/*.json")); len(files) != 1 {
		t.Errorf("in quarantine: %v", files)
	}
}

func TestListenQueueFails(t *testing.T) {
	b := newListenBench(t)
	server := b.fakeAWS(&localaws.Options{Deny: func(action string) bool { return action == "ReceiveMessage" }})
	q := &testQueue{t: t, server: server, url: server.URL() + "/000000000000/none"}
	if l := b.poll(q); l.wait() != exitUsage || !strings.Contains(l.stderr.String(), "allow sqs:ReceiveMessage") {
		t.Errorf("%s", l.stderr.String())
	}
	q.server = b.fakeAWS(nil)
	q.url = q.server.URL() + "/000000000000/none"
	if l := b.poll(q); l.wait() != exitUsage || !strings.Contains(l.stderr.String(), "check --queue and --region") {
		t.Errorf("%s", l.stderr.String())
	}
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_DEFAULT_REGION", "")
	if l := b.poll(q); l.wait() != exitUsage || !strings.Contains(l.stderr.String(), "no AWS region") {
		t.Errorf("%s", l.stderr.String())
	}
}

func TestRegionOfQueue(t *testing.T) {
	for url, want := range map[string]string{
		"https://sqs.eu-west-1.amazonaws.com/111122223333/billing":     "eu-west-1",
		"https://sqs.cn-north-1.amazonaws.com.cn/111122223333/billing": "cn-north-1",
		"https://eu-west-1.queue.amazonaws.com/111122223333/billing":   "eu-west-1",
		"https://sqs-fips.us-east-1.amazonaws.com/111122223333/q":      "us-east-1",
		"https://sqs.eu-west-1.api.aws/111122223333/billing":           "eu-west-1",
		"https://vpce-1.sqs.eu-west-1.vpce.amazonaws.com/1/billing":    "eu-west-1",
		"http://localhost:4566/queue/eu-west-1/000000000000/billing":   "eu-west-1",
		"https://sqs.eu-west-1.amazonaws.com.evil.example/1/billing":   "",
		"https://sqs.eu-west-1.amazonaws.evil.example/1/billing":       "",
		"http://127.0.0.1:9324/000000000000/billing":                   "",
		"https://sqs.eu-west-1.example.com/111122223333/billing":       "",
		"billing": "",
		"::":      "",
	} {
		if got := regionOfQueue(url); got != want {
			t.Errorf("%s is in %q, want %q", url, got, want)
		}
	}
}

// TestListenTakesReopenedRecords: the record that listen put away, and an operator reopened, is judged again
// as the event that it holds, over both transports. Nothing is put away twice.
func TestListenTakesReopenedRecords(t *testing.T) {
	b := newListenBench(t)
	b.must("", "quarantine", "key", "new", "--out", b.path("q.key"))
	from := []string{"--from", "dir:" + b.path("q"), "--key-file", b.path("q.key")}
	quarantine := []string{"--name", "billing", "--quarantine", "dir:" + b.path("q"), "--quarantine-key-file", b.path("q.key")}
	record := func() string {
		t.Helper()
		return b.must("", append(append([]string{"quarantine", "reopen"}, from...), "--all", "--to", "stdout")...)
	}
	strict := b.serve(append(quarantine, "--allow-type", "com.example.invoice.*")...)
	if _, h := strict.post(b.sealed("o-1")); h.Verdict != verdictQuarantined || h.Reason != "type_not_allowed" {
		t.Fatalf("%+v", h)
	}
	strict.end()
	b.now = b.now.Add(time.Second) // what is put away later is not reopened in the same run
	first := record()
	strict = b.serve(append(quarantine, "--allow-type", "com.example.invoice.*")...)
	// Still the wrong type: the event is put away once more, and not the record of it.
	if status, h := strict.post(first); status != 403 || h.Verdict != verdictQuarantined || h.Reason != "type_not_allowed" || h.Unverified != nil && h.Unverified.ID != "o-1" {
		t.Errorf("%d %+v", status, h)
	}
	strict.end()
	if shown := b.must("", append([]string{"quarantine", "list", "--output", "json"}, from...)...); strings.Contains(shown, "quarantinerecord") || strings.Count(shown, `"format":"cloudevent"`) != 2 {
		t.Errorf("in quarantine: %s", shown)
	}

	b.now = b.now.Add(time.Second)
	to := newReceiver(t, 200)
	over := b.serve(append(quarantine, "--forward-to", to.URL)...)
	if status, h := over.post(first); status != 200 || h.Verdict != verdictVerified || h.ID != "o-1" || h.Producer != "shop" {
		t.Errorf("over HTTP: %d %+v", status, h)
	}
	// The record is genuine, so nothing says that it is another consumer's.
	if _, h := over.post(first); h.Verdict != verdictDuplicate || strings.Contains(h.Fix, "--quarantine-key-file") {
		t.Errorf("once more: %+v", h)
	}
	over.end()
	if got := to.received(); len(got) != 1 || !strings.Contains(got[0], `"o-1"`) {
		t.Errorf("posted on: %q", got)
	}

	q := newTestQueue(b, nil)
	out := b.run("", append(append([]string{"quarantine", "reopen"}, from...), "--all", "--to-queue", q.url)...)
	if out.code != 0 || !strings.Contains(out.stderr, `the consumer "billing" takes them`) {
		t.Errorf("exit %d\n%s%s", out.code, out.stdout, out.stderr)
	}
	l := b.poll(q, append(quarantine, "--delete", "--limit", "2")...)
	if code := l.wait(); code != 0 || !strings.Contains(l.stderr.String(), "1 verified, 1 duplicate") {
		t.Errorf("exit %d\n%s%s", code, l.stdout.String(), l.stderr.String())
	}
	if left, _ := filepath.Glob(b.path("q/*.json")); len(left) != 0 || q.left() != "0+0" {
		t.Errorf("left in quarantine %v, on the queue %s", left, q.left())
	}
}

// TestListenRefusesForeignRecords: what is not authentic, or of another consumer or quarantine, has no say in
// account or replay name, and is kept whole as what it is.
func TestListenRefusesForeignRecords(t *testing.T) {
	b := newListenBench(t)
	for _, name := range []string{"q", "other"} {
		b.must("", "quarantine", "key", "new", "--out", b.path(name+".key"))
	}
	put := func(name, consumer string) string {
		t.Helper()
		place := "dir:" + b.path(name+consumer)
		l := b.serve("--name", consumer, "--allow-type", "com.example.invoice.*", "--quarantine", place, "--quarantine-key-file", b.path(name+".key"))
		if _, h := l.post(b.sealed("o-1")); h.Verdict != verdictQuarantined {
			t.Fatalf("%+v", h)
		}
		l.end()
		b.now = b.now.Add(time.Second)
		return b.must("", "quarantine", "reopen", "--from", place, "--key-file", b.path(name+".key"), "--all", "--to", "stdout")
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
		"an account edited":  {strings.Replace(genuine, `"account":""`, `"account":"111122223333"`, 1), nil, "bad_signature"},
		"a replay edited":    {strings.Replace(genuine, `"replay_name":""`, `"replay_name":"april"`, 1), nil, "bad_signature"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			l := b.serve(append([]string{"--name", "billing", "--quarantine", "dir:" + dir, "--quarantine-key-file", b.path("q.key")}, c.args...)...)
			_, h := l.post(c.record)
			if h.Verdict != verdictQuarantined || string(h.Reason) != c.reason || !strings.Contains(h.Fix, "--quarantine-key-file") {
				t.Errorf("%+v", h)
			}
			l.end()
			views := jsonLines[recordResult](t, b.must("", "quarantine", "list", "--from", "dir:"+dir, "--key-file", b.path("q.key"), "--output", "json"))
			if len(views) != 1 || views[0].Format != "quarantinerecord" || views[0].Account != "" || views[0].ReplayName != "" {
				t.Fatalf("in quarantine: %+v", views)
			}
			if body := b.must("", "quarantine", "show", "--from", "dir:"+dir, "--key-file", b.path("q.key"), "--body", views[0].ID); body != strings.TrimSpace(c.record) {
				t.Errorf("kept %q", body)
			}
		})
	}
	// Without a quarantine there is no key, and a record is never taken for an event.
	l := b.serve()
	if status, h := l.post(genuine); status != 403 || h.Verdict != verdictRejected || h.Reason != "bad_signature" || !strings.Contains(h.Fix, "--quarantine") {
		t.Errorf("without a quarantine: %d %+v", status, h)
	}
}
