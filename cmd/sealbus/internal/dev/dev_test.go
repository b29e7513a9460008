package dev_test

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/uitest"
	"github.com/sealbus/sealbus/home"
	"github.com/sealbus/sealbus/internal/localaws"
)

// Each event is a line with its verdict by the trust of the home, and where it went.
func TestEachEventIsToldWithItsVerdict(t *testing.T) {
	b := newHome(t)
	d := begin(b, "--home", b.Dir, "--output", "json")
	sealed := b.Sealed("o-1")
	d.put("central", sealed)
	d.put("central", b.Sealed("o-2"))
	d.put("central", strings.Replace(b.Sealed("o-3"), `"chair"`, `"throne"`, 1))
	d.put("central", clitest.Order("o-4"))
	d.put("central", `{"id":"o-5","source":"https://other.example/","type":"t"}`)
	d.put("centrall", b.Sealed("o-6"))

	if l := d.event("o-1"); l.Verdict != "verified" || l.Producer != "shop" || l.Where != "central" ||
		l.Type != "com.example.order.placed" || len(l.To) != 1 || l.To[0] != "billing" ||
		l.Unverified != nil {
		t.Errorf("sealed: %+v", l)
	}
	if l := d.event("o-3"); l.Verdict != "rejected" || l.Reason != "modified" || l.Producer != "" ||
		l.ID != "" ||
		l.Fix == "" {
		t.Errorf("changed: %+v", l)
	}
	if l := d.event("o-4"); l.Verdict != "rejected" || l.Reason != "unsigned" {
		t.Errorf("not sealed: %+v", l)
	}
	if l := d.event("o-5"); len(l.To) != 0 || l.NoBus {
		t.Errorf("no rule: %+v", l)
	}
	if l := d.event("o-6"); !l.NoBus || l.Where != "centrall" {
		t.Errorf("no such bus: %+v", l)
	}
	d.put("central", sealed)
	if l := d.line("a duplicate", func(l *told) bool { return l.Verdict == "duplicate" }); l.ID != "o-1" {
		t.Errorf("a copy: %+v", l)
	}
	if code := d.End(); code != 0 {
		t.Errorf("exit %d: %s", code, d.Stderr.String())
	}
}

// On a terminal of 80 columns nothing is wider. Nothing in an event does anything to the terminal.
func TestHostileEventsAreHarmlessLines(t *testing.T) {
	b := newHome(t)
	b.Terminal, b.Columns = true, 80
	d := begin(b, "--home", b.Dir)
	text, err := json.Marshal("x" + uitest.Obeyed + "\x1b[31mCANARY" + strings.Repeat("long ", 60))
	b.Check(err)
	evil := `{"specversion":"1.0","id":` + string(text) + `,"source":"https://shop.example/eu","type":` +
		`"com.example.` + strings.Repeat("wide", 20) + `","data":` + string(text) + `}`
	d.put("central", evil)
	d.put("central", b.Sealed("o-1"))
	d.send("quarantine", `{"consumer":`+string(text)+`,"reason":`+string(text)+`,"cause":`+string(text)+
		`,"unverified_id":`+string(text)+`}`)
	d.Until("three lines", func() bool {
		out := d.Stdout.String()
		return strings.Contains(out, "malformed") && strings.Contains(out, "verified") &&
			strings.Contains(out, "refused")
	})
	d.End()
	out := d.Stdout.String()
	if harm := uitest.Harmful(out); harm != "" {
		t.Errorf("%s in\n%q", harm, out)
	}
	if line, wide := uitest.Widest(out); wide > 80 {
		t.Errorf("%d columns: %s", wide, line)
	}
	if lines := strings.Count(out, "\n"); lines > 30 {
		t.Errorf("%d lines for three events\n%s", lines, out)
	}
	if !strings.Contains(uitest.StripColour(out),
		"✓ verified com.example.order.placed o-1 by shop → billing") {
		t.Errorf("%s", out)
	}
}

// The text at the beginning fits into 80 columns, and its line of variables can be copied.
func TestBeginningFitsTheTerminal(t *testing.T) {
	b := newHome(t)
	b.Terminal, b.Columns = true, 80
	d := begin(b, "--home", b.Dir)
	d.End()
	talk := uitest.StripColour(d.Stderr.String())
	if line, wide := uitest.Widest(strings.ReplaceAll(talk, b.Dir, "shop")); wide > 80 {
		t.Errorf("%d columns: %s", wide, line)
	}
	if harm := uitest.Harmful(talk); harm != "" {
		t.Error(harm)
	}
	joined := strings.Join(strings.Fields(strings.ReplaceAll(talk, "\\\n", " ")), " ")
	if want := "export AWS_ENDPOINT_URL=" + d.endpoint + " AWS_REGION=us-east-1 AWS_ACCESS_KEY_ID=dev " +
		"AWS_SECRET_ACCESS_KEY=dev"; !strings.Contains(joined, want) {
		t.Errorf("no %q in\n%s", want, talk)
	}
	for _, want := range []string{"queue       billing", "no IAM", "no quotas", "one process",
		"queue URLs  " + d.endpoint + "/000000000000/NAME"} {
		if !strings.Contains(joined, strings.Join(strings.Fields(want), " ")) {
			t.Errorf("no %q in\n%s", want, talk)
		}
	}
}

// Without a home it runs, and says that it cannot judge, and which command helps.
func TestWithoutAHomeNothingIsJudged(t *testing.T) {
	clitest.IsolateAWS(t)
	b := clitest.New(t)
	t.Chdir(b.Dir)
	d := begin(b, "--output", "json")
	d.put("central", `{"id":"o-1","source":"https://other.example/","type":"t"}`)
	if l := d.event("o-1"); l.Verdict != "not judged" || l.Unverified.Type != "t" {
		t.Errorf("%+v", l)
	}
	d.End()

	text := begin(b)
	text.End()
	if talk := text.Stderr.String(); !strings.Contains(talk, "cannot be judged") || !strings.Contains(talk,
		"sealbus init") {
		t.Errorf("%s", talk)
	}

	later := begin(b, "--output", "json")
	b.Org(nil, clitest.OrderSource)
	b.Check(os.Mkdir(b.Path("state"), 0o700))
	b.Check(home.MarkMadeHere(b.Dir))
	b.Check(os.WriteFile(b.Path("sealbus.yaml"), []byte(homeYAML), 0o600))
	later.Until("the home is taken up", func() bool { return strings.Contains(later.Stderr.String(), "home "+b.Dir) })
	later.put("central", b.Sealed("o-2"))
	if l := later.event("o-2"); l.Verdict != "verified" || len(l.To) != 1 {
		t.Errorf("after init: %+v", l)
	}
}

// A second init and a new bundle are taken up: queue, judge and bucket.
func TestHomeIsFollowed(t *testing.T) {
	b := newHome(t)
	d := begin(b, "--home", b.Dir, "--output", "json")
	d.put("central", b.Sealed("o-1"))
	if l := d.event("o-1"); l.Verdict != "verified" {
		t.Errorf("%+v", l)
	}
	b.Check(os.WriteFile(b.Path("sealbus.yaml"),
		[]byte(homeYAML+"  stock: {sources: ['https://shop.example/eu']}\n"), 0o600))
	d.Until("stock is there", func() bool { return strings.Contains(d.Stderr.String(), "new consumer stock") })
	d.put("central", b.Sealed("o-2"))
	if l := d.event("o-2"); len(l.To) != 2 {
		t.Errorf("%+v", l)
	}

	sealed := b.Sealed("o-3") // under a key that the next bundle does not have
	b.Check(os.Remove(b.Path("shop.keyring")))
	b.Org(nil, clitest.OrderSource)
	d.Until("the trust is new", func() bool { return strings.Contains(d.Stderr.String(), "new trust") })
	d.put("central", sealed)
	if l := d.event("o-3"); l.Verdict != "rejected" || l.Reason != "unknown_key" {
		t.Errorf("%+v", l)
	}
	client := s3.NewFromConfig(d.config(), func(o *s3.Options) {
		o.UsePathStyle, o.HTTPClient = true, &http.Client{Transport: localaws.Transport{}}
	})
	for _, name := range []string{"roots.json", "trust.dsse"} {
		out, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("sealbus"),
			Key: &name})
		b.Check(err)
		got, err := io.ReadAll(out.Body)
		b.Check(err)
		if want, _ := os.ReadFile(b.Path(name)); string(got) != string(want) {
			t.Errorf("%s in the bucket is another than in the home", name)
		}
	}

	b.Check(os.WriteFile(b.Path("sealbus.yaml"), []byte("version: 1\nnonsense: 1\n"), 0o600))
	d.Until("the fault is said", func() bool { return strings.Contains(d.Stderr.String(), "cannot be taken up") })
	d.put("central", b.Sealed("o-4"))
	if l := d.event("o-4"); l.Verdict != "verified" || len(l.To) != 2 {
		t.Errorf("while the home is broken: %+v", l)
	}
}

// A function at a URL gets what came into its queue. The end of each message is told.
func TestFunctionAtAURL(t *testing.T) {
	b := newHome(t)
	function := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var batch struct {
			Records []struct{ MessageID, Body string }
		}
		if err := json.NewDecoder(r.Body).Decode(&batch); err != nil {
			t.Error(err)
		}
		failures := []map[string]string{}
		for _, m := range batch.Records {
			if strings.Contains(m.Body, "o-2") {
				failures = append(failures, map[string]string{"itemIdentifier": m.MessageID})
			}
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"batchItemFailures": failures})
	}))
	defer function.Close()
	d := begin(b, "--home", b.Dir, "--output", "json", "--function", "billing="+function.URL)
	d.put("central", b.Sealed("o-1"))
	d.put("central", b.Sealed("o-2"))
	for id, want := range map[string]string{"o-1": "handled", "o-2": "failed"} {
		l := d.line("the end of "+id, func(l *told) bool { return l.What == "function" && l.ID == id })
		if l.Outcome != want || l.Where != "billing" || l.Verdict != "" {
			t.Errorf("%+v", l)
		}
	}
	attributes, err := sqs.NewFromConfig(d.config()).GetQueueAttributes(t.Context(),
		&sqs.GetQueueAttributesInput{
			QueueUrl: aws.String(d.queueURL("billing")), AttributeNames: []sqstypes.QueueAttributeName{"All"}})
	b.Check(err)
	if a := attributes.Attributes; a["ApproximateNumberOfMessagesNotVisible"] != "1" ||
		a["ApproximateNumberOfMessages"] != "0" {
		t.Errorf("in the queue: %v", a)
	}
}

// Flags that cannot be meant are refused with what to do.
func TestRefusals(t *testing.T) {
	b := newHome(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	b.Check(err)
	defer func() { _ = taken.Close() }()
	port := strconv.Itoa(taken.Addr().(*net.TCPAddr).Port)
	b.Check(os.WriteFile(b.Path("text"), []byte("x"), 0o600))
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"the port is in use":  {[]string{"--port", port}, "another --port"},
		"no port":             {[]string{"--port", "70000"}, "no port"},
		"no address":          {[]string{"--unsafe-listen", "everywhere"}, "HOST:PORT"},
		"no function":         {[]string{"--function", "billing"}, "NAME=PROGRAM"},
		"a function's name":   {[]string{"--function", "a/b=http://127.0.0.1:1/"}, "name of a queue"},
		"a dead-letter queue": {[]string{"--function", "a-dlq=http://127.0.0.1:1/"}, "name of a queue"},
		"a consumer that is not": {[]string{"--home", b.Dir, "--function", "biling=http://127.0.0.1:1/"},
			"no consumer biling, but billing"},
		"twice": {[]string{"--function", "a=http://127.0.0.1:1/", "--function",
			"a=http://127.0.0.1:1/"}, "twice"},
		"a program that is none":  {[]string{"--function", "billing=" + b.Path("text")}, "no program"},
		"a program that is not":   {[]string{"--function", "billing=" + b.Path("none")}, "go build"},
		"a home that is not":      {[]string{"--home", b.Path("none")}, "none"},
		"an argument":             {[]string{"billing"}, "unexpected argument"},
		"a place that is no home": {[]string{"--home", t.TempDir()}, "sealbus init"},
	} {
		r := b.Run("", append([]string{"dev"}, c.args...)...)
		if r.Code != ui.ExitUsage || !strings.Contains(r.Stderr, c.want) {
			t.Errorf("%s: exit %d\n%s", name, r.Code, r.Stderr)
		}
	}
}

// One directory serves one process.
func TestDirectoryInUse(t *testing.T) {
	b := newHome(t)
	begin(b, "--home", b.Dir, "--dir", b.Path("kept"), "--output", "json")
	r := b.Run("", "dev", "--port", "0", "--dir", b.Path("kept"))
	if r.Code != ui.ExitUsage || !strings.Contains(r.Stderr, "another --dir") {
		t.Errorf("exit %d\n%s", r.Code, r.Stderr)
	}
}

// The variables are one line for a shell, and an object for programs.
func TestPrintEnv(t *testing.T) {
	b := clitest.New(t)
	want := "export AWS_ENDPOINT_URL=http://127.0.0.1:4571 AWS_REGION=us-east-1 AWS_ACCESS_KEY_ID=dev AWS_SECRET_ACCESS_KEY=dev\n"
	if got := b.Must("", "dev", "--port", "4571", "--print-env"); got != want {
		t.Errorf("%s", got)
	}
	var v map[string]string
	b.Check(json.Unmarshal([]byte(b.Must("", "dev", "--print-env", "--output", "json")), &v))
	if v["AWS_ENDPOINT_URL"] != "http://127.0.0.1:4570" || len(v) != 4 {
		t.Errorf("%v", v)
	}
}

// A queue that gave a message up is told with the message.
func TestDeadLettersAreTold(t *testing.T) {
	b := newHome(t)
	d := begin(b, "--home", b.Dir, "--output", "json")
	client, queue := sqs.NewFromConfig(d.config()), d.queueURL("billing")
	_, err := client.SetQueueAttributes(t.Context(), &sqs.SetQueueAttributesInput{QueueUrl: &queue,
		Attributes: map[string]string{"VisibilityTimeout": "0", "RedrivePolicy": `{"maxReceiveCount":"1",` +
			`"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:billing-dlq"}`}})
	b.Check(err)
	d.put("central", b.Sealed("o-1"))
	d.event("o-1")
	d.Until("it is received and given up", func() bool {
		_, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &queue})
		b.Check(err)
		return strings.Contains(d.Stdout.String(), "dead_letter")
	})
	l := d.line("a dead letter", func(l *told) bool { return l.What == "dead_letter" })
	if l.Where != "billing-dlq" || l.From != "billing" || l.ID != "o-1" || l.Verdict != "" {
		t.Errorf("%+v", l)
	}
}

// An encrypted event is judged without a key to open it.
func TestEncryptedEventsAreJudged(t *testing.T) {
	b := newHome(t)
	d := begin(b, "--home", b.Dir, "--output", "json")
	for _, sealed := range b.EncryptedOrders() {
		d.put("central", sealed)
	}
	for _, id := range []string{"o-1", "o-2"} {
		if l := d.event(id); l.Verdict != "verified" || !l.Encrypted || l.Producer != "shop" {
			t.Errorf("%+v", l)
		}
	}
	b.NoCanary("the lines", d.Stdout.String()+d.Stderr.String())
}

// The line of a message that a function acknowledged says handled of the first of a verified event alone. It
// says quarantined if the function has put it there.
func TestAcknowledgedIsNotHandled(t *testing.T) {
	b := newHome(t)
	var d *dev
	function := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var batch struct{ Records []struct{ Body string } }
		if err := json.NewDecoder(r.Body).Decode(&batch); err != nil {
			t.Error(err)
		}
		for _, m := range batch.Records {
			if !strings.Contains(m.Body, "o-3") {
				continue
			}
			record, err := json.Marshal(map[string]any{"consumer": "billing", "reason": "modified",
				"unverified_id": "o-3", "body": []byte(m.Body)})
			if err != nil {
				t.Error(err)
			}
			d.send("quarantine", string(record))
		}
	}))
	defer function.Close()
	d = begin(b, "--home", b.Dir, "--output", "json", "--function", "billing="+function.URL)
	changed := func(id string) string { return strings.Replace(b.Sealed(id), `"chair"`, `"throne"`, 1) }
	sealed := b.Sealed("o-1")
	d.put("central", sealed)
	of := func(id string) told {
		return d.line("the end of "+id, func(l *told) bool {
			return l.What == "function" && (l.ID == id || l.Unverified != nil && l.Unverified.ID == id)
		})
	}
	if l := of("o-1"); l.Outcome != "handled" {
		t.Errorf("%+v", l)
	}
	d.put("central", changed("o-2"))
	d.put("central", changed("o-3"))
	for id, want := range map[string]string{"o-2": "acknowledged", "o-3": "quarantined"} {
		if l := of(id); l.Outcome != want || l.Verdict != "" || l.ID != "" {
			t.Errorf("%+v", l)
		}
	}
	d.put("central", sealed)
	if l := d.line("the end of the copy", func(l *told) bool {
		return l.What == "function" && l.ID == "o-1" && l.Outcome != "handled"
	}); l.Outcome != "acknowledged" {
		t.Errorf("%+v", l)
	}
}

// A timestamp that cannot be renewed still lives: that is said, and the home is served and followed.
func TestTimestampThatIsNotRenewedStopsNothing(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("files have no mode")
	}
	clitest.IsolateAWS(t)
	b := clitest.New(t)
	b.Now = time.Now()
	dir := b.Path("shop")
	b.Must("", "init", "orders", "--source", "https://shop.example/*", "--type", "com.example.*", "--dir", dir)
	b.Must("", "init", "billing", "--consumer", "--dir", dir)
	b.Check(os.Chmod(b.Path("shop/secret/timestamp.key"), 0o644))
	b.Now = b.Now.Add(5 * 24 * time.Hour)
	d := begin(b, "--home", dir, "--output", "json")
	const said = "warning: the timestamp was not renewed: "
	if talk := d.Stderr.String(); !strings.Contains(talk, said) || !strings.Contains(talk, "timestamp.key") {
		t.Errorf("%s", talk)
	}
	d.put("central", b.Must(clitest.Order("o-1"), "seal", "--home", dir))
	if l := d.event("o-1"); l.Verdict != "verified" || len(l.To) != 1 {
		t.Errorf("%+v", l)
	}
	config, err := os.ReadFile(b.Path("shop/sealbus.yaml"))
	b.Check(err)
	b.Check(os.WriteFile(b.Path("shop/sealbus.yaml"), []byte(strings.Replace(string(config), "consumers:\n",
		"consumers:\n  stock: {sources: ['https://shop.example/eu']}\n", 1)), 0o600))
	d.Until("stock is there", func() bool { return strings.Contains(d.Stderr.String(), "new consumer stock") })
	b.Check(os.Chmod(b.Path("shop/secret/timestamp.key"), 0o600))
	d.Until("the timestamp is renewed", func() bool { return strings.Contains(d.Stderr.String(), "new trust") })
	if n := strings.Count(d.Stderr.String(), "was not renewed"); n != 1 {
		t.Errorf("it is said %d times\n%s", n, d.Stderr.String())
	}
}

// A consumer whose name cannot be of a queue is announced without one, also when it comes later.
func TestConsumerWithoutAQueue(t *testing.T) {
	b := newHome(t)
	b.Check(os.WriteFile(b.Path("sealbus.yaml"),
		[]byte(homeYAML+"  a.b: {sources: ['https://shop.example/eu']}\n"), 0o600))
	d := begin(b, "--home", b.Dir, "--output", "json")
	var started struct{ Queues map[string]string }
	b.Check(json.Unmarshal([]byte(d.Stdout.String()), &started))
	if len(started.Queues) != 1 || started.Queues["billing"] == "" {
		t.Errorf("queues: %v", started.Queues)
	}
	b.Check(os.WriteFile(b.Path("sealbus.yaml"), []byte(homeYAML+"  a.b: {sources: ['https://shop.example/eu']}\n"+
		"  c.d: {sources: ['https://shop.example/eu']}\n"), 0o600))
	d.Until("it is said", func() bool {
		return strings.Contains(d.Stderr.String(), "new consumer c.d, without a queue")
	})
	d.End()
	text := begin(b, "--home", b.Dir)
	text.End()
	talk := text.Stderr.String()
	if !strings.Contains(talk, `"a.b" gets no queue`) || strings.Contains(talk, "a.b-dlq") ||
		!strings.Contains(talk, "billing and billing-dlq") {
		t.Errorf("%s", talk)
	}
}
