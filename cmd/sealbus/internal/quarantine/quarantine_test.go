package quarantine_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
	cmd "github.com/sealbus/sealbus/cmd/sealbus/internal/quarantine"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/quarantine"
	"github.com/sealbus/sealbus/consumer/quarantine/s3"
	"github.com/sealbus/sealbus/consumer/quarantine/sqs"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/localaws"
	"github.com/sealbus/sealbus/keys/trust"
)

// shopAccount is the account that newShop allows.
const shopAccount = "000000000000"

// bin is a quarantine, and the queue of the consumer that fills it.
type bin struct {
	*clitest.Bench
	t      *testing.T
	key    []byte
	store  quarantine.Store
	from   []string // the flags that say where it is
	client *awssqs.Client
	queue  string // the consumer's
}

// newBin has trust in the producer shop, and the AWS configuration of the machine kept out.
func newBin(t *testing.T, opts *localaws.Options) *bin {
	b, bus := clitest.NewShop(t, opts)
	q := &bin{Bench: b, t: t}
	b.Must("", "quarantine", "key", "new", "--out", b.Path("q.key"))
	text, err := os.ReadFile(b.Path("q.key"))
	b.Check(err)
	q.key, err = base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	b.Check(err)
	q.client = awssqs.New(awssqs.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(bus.URL),
		HTTPClient:  &http.Client{Transport: localaws.Transport{}},
		Credentials: credentials.NewStaticCredentialsProvider("AKIAEXAMPLE", "secret", ""),
	})
	q.queue = q.newQueue("billing")
	return q
}

func (q *bin) newQueue(name string) string {
	out, err := q.client.CreateQueue(q.t.Context(), &awssqs.CreateQueueInput{QueueName: &name})
	q.Check(err)
	return *out.QueueUrl
}

func (q *bin) at(from string, s quarantine.Store, err error, more ...string) *bin {
	q.t.Helper()
	q.Check(err)
	q.store, q.from = s, append([]string{"--from", from, "--key-file", q.Path("q.key")}, more...)
	return q
}

// The three places.
func inDir(t *testing.T) *bin { return inDirOf(t, "bin") }

func inDirOf(t *testing.T, name string) *bin {
	q := newBin(t, nil)
	q.Check(os.Mkdir(q.Path("bin"), 0o700))
	s, err := quarantine.NewDir(q.Path("bin"), clitest.QuarantineKeys(name, q.key))
	return q.at("dir:"+q.Path("bin"), s, err)
}

func inBucket(t *testing.T) *bin { return inBucketOf(t, "bin") }

func inBucketOf(t *testing.T, name string) *bin {
	q := newBin(t, nil)
	server := httptest.NewServer(gofakes3.New(s3mem.New()).Server())
	t.Cleanup(server.Close)
	client := awss3.New(awss3.Options{
		Region: "us-east-1", BaseEndpoint: &server.URL, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider("AKIAEXAMPLE", "secret", ""),
	})
	_, err := client.CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: aws.String("acme")})
	q.Check(err)
	s, err := s3.New(client, "acme", clitest.QuarantineKeys(name, q.key), &s3.Options{Prefix: "billing"})
	return q.at("s3://acme/billing/", s, err, "--endpoint", server.URL)
}

func inQueue(t *testing.T) *bin {
	q := newBin(t, nil)
	url := q.newQueue("quarantine")
	s, err := sqs.New(&hasty{q.client}, url, clitest.BinKeys(q.key), nil)
	return q.at("sqs:"+url, s, err)
}

// hasty does not wait for messages: the fake has one server, and an empty answer of it is true.
type hasty struct{ *awssqs.Client }

func (h *hasty) ReceiveMessage(ctx context.Context, in *awssqs.ReceiveMessageInput,
	with ...func(*awssqs.Options)) (*awssqs.ReceiveMessageOutput, error) {
	short := *in
	short.WaitTimeSeconds = 0
	return h.Client.ReceiveMessage(ctx, &short, with...)
}

func everyPlace(t *testing.T, test func(t *testing.T, q *bin)) {
	for name, open := range map[string]func(*testing.T) *bin{"dir": inDir, "s3": inBucket, "sqs": inQueue} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// command is a quarantine command on the bin.
func (q *bin) command(name string, more ...string) []string {
	return append(append([]string{"quarantine", name}, q.from...), more...)
}

func (q *bin) trustFlags() []string {
	return []string{"--trust", q.Path("trust.dsse"), "--roots", q.Path("roots.json")}
}

// ids are the IDs in the store whose event claims to be one of these; all without any.
func (q *bin) ids(claimed ...string) (ids []string) {
	q.t.Helper()
	for e, err := range q.store.List(q.t.Context(), nil) {
		q.Check(err)
		for _, c := range claimed {
			if e.Record != nil && e.Record.UnverifiedID == c {
				ids = append(ids, e.ID)
			}
		}
		if len(claimed) == 0 {
			ids = append(ids, e.ID)
		}
	}
	return ids
}

// consumer is one that takes these types; nil = all.
func (q *bin) consumer(name string, store replay.Store, types []string,
	permissions ...consumer.Permission) *consumer.Consumer {
	q.t.Helper()
	policy := &envelope.Policy{Sources: []string{clitest.OrderSource}, Types: types,
		Now: func() time.Time { return q.Now }}
	c, err := consumer.New(name, q.bundle(), store, policy, &consumer.Options{
		Quarantine:  q.store,
		Logger:      slog.New(slog.DiscardHandler),
		Permissions: permissions,
	})
	q.Check(err)
	return c
}

// bundle is the trust in the files.
func (q *bin) bundle() *trust.Bundle {
	q.t.Helper()
	signed, err := os.ReadFile(q.Path("trust.dsse"))
	q.Check(err)
	text, err := os.ReadFile(q.Path("roots.json"))
	q.Check(err)
	roots, err := trust.ParseRoots(text)
	q.Check(err)
	bundle, err := trust.OpenBundle(signed, roots,
		&trust.Options{Now: func() time.Time { return q.Now }})
	q.Check(err)
	return bundle
}

// refuse has the consumer refuse an order for its type, a second before now.
func (q *bin) refuse(name string, ids ...string) {
	q.t.Helper()
	now := q.Now
	defer func() { q.Now = now }()
	q.Now = now.Add(-time.Second)
	c := q.consumer(name, replay.NewMemory(nil), []string{"com.example.invoice.*"})
	for _, id := range ids {
		sealed := q.Must(clitest.Order(id), q.Seal("--now", q.Now.Format(time.RFC3339))...)
		r, err := c.Handle(q.t.Context(), consumer.Message{Body: []byte(sealed), Account: shopAccount},
			func(context.Context, consumer.Delivery[[]byte]) error { return nil })
		if err != nil || r.Outcome != consumer.Quarantined || r.Reason() != envelope.ReasonTypeNotAllowed {
			q.t.Fatalf("%+v, %v", r, err)
		}
	}
}

// received are the bodies on the consumer's queue.
func (q *bin) received() (bodies []string) {
	q.t.Helper()
	for {
		out, err := q.client.ReceiveMessage(q.t.Context(),
			&awssqs.ReceiveMessageInput{QueueUrl: &q.queue, MaxNumberOfMessages: 10, VisibilityTimeout: 600})
		q.Check(err)
		if len(out.Messages) == 0 {
			return bodies
		}
		for _, m := range out.Messages {
			bodies = append(bodies, *m.Body)
		}
	}
}

// The whole way: refused, listed, shown, sent again, handled once, and gone.
func TestQuarantineReopen(t *testing.T) {
	everyPlace(t, func(t *testing.T, q *bin) {
		q.refuse("billing", "o-1", "o-2", "o-3")
		list := q.Must("", q.command("list")...)
		if strings.Count(list, "type_not_allowed") != 3 ||
			!strings.Contains(list, `"o-2" "com.example.order.placed" from "https://shop.example/eu"`) ||
			!strings.HasSuffix(list, "3 records\n") {
			t.Errorf("list:\n%s", list)
		}
		views := clitest.JSONLines[cmd.RecordView](t, q.Must("", q.command("list", "--output", "json")...))
		if len(views) != 3 || !views[0].Authentic || views[0].Consumer != "billing" ||
			views[0].Quarantine != "bin" || views[0].UnverifiedSource != "https://shop.example/eu" {
			t.Errorf("%+v", views)
		}
		id := q.ids("o-2")[0]
		shown := q.Run("", q.command("show", append(q.trustFlags(), id)...)...)
		if shown.Code != ui.ExitDone || !strings.Contains(shown.Stdout, "judged now  verified") ||
			!strings.Contains(shown.Stdout, "type_not_allowed") {
			t.Errorf("show: exit %d\n%s%s", shown.Code, shown.Stdout, shown.Stderr)
		}
		if body := q.Must("", q.command("show", "--body", id)...); !strings.Contains(q.Must(body,
			q.Open(clitest.OrderSource, "--account", shopAccount)...), `"o-2"`) {
			t.Errorf("body: %s", body)
		}
		out := q.Must("", q.command("reopen", append(q.trustFlags(), "--to-queue", q.queue, id)...)...)
		if out != id+"  sent, and removed from the quarantine\n" || len(q.ids()) != 2 {
			t.Errorf("reopen: %s, left are %v", out, q.ids())
		}
		out = q.Must("", q.command("reopen", "--to-queue", q.queue, "--all", "--reason", "type_not_allowed",
			"--output", "json")...)
		if got := clitest.JSONLines[cmd.Reopened](t, out); len(got) != 2 || !got[0].Reopened ||
			!got[1].Removed || len(q.ids()) != 0 {
			t.Errorf("reopen --all: %+v", got)
		}
		q.handles("o-1", "o-2", "o-3")
	})
}

// handles delivers what is on the queue to the consumer whose types are right by now, twice.
func (q *bin) handles(want ...string) {
	q.t.Helper()
	var handled []string
	c := q.consumer("billing", replay.NewMemory(nil), nil)
	bodies := q.received()
	for _, body := range append(bodies, bodies...) {
		_, err := c.Handle(q.t.Context(), consumer.Message{Body: []byte(body),
			Format: consumer.QuarantineRecord}, func(_ context.Context, d consumer.Delivery[[]byte]) error {
			handled = append(handled, d.Event.ID())
			return nil
		})
		q.Check(err)
	}
	if slices.Sort(handled); !slices.Equal(handled, want) {
		q.t.Errorf("handled %v, want %v", handled, want)
	}
}

func TestQuarantineReopenToStdout(t *testing.T) {
	q := inDir(t)
	q.refuse("billing", "o-1", "o-2")
	r := q.Run("", q.command("reopen", "--to", "stdout", "--all")...)
	if r.Code != ui.ExitDone || strings.Count(r.Stdout, "\n") != 2 || len(q.ids()) != 2 {
		t.Fatalf("exit %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	for line := range strings.Lines(r.Stdout) {
		if _, err := clitest.BinKeys(q.key).Parse([]byte(line)); err != nil {
			t.Error(err)
		}
	}
}

func TestQuarantineDryRunAndKeep(t *testing.T) {
	everyPlace(t, func(t *testing.T, q *bin) {
		q.refuse("billing", "o-1")
		r := q.Run("", q.command("reopen", append(q.trustFlags(), "--dry-run", "--all")...)...)
		if r.Code != ui.ExitDone || !strings.Contains(r.Stdout, "would be sent; judged now: verified") ||
			len(q.received()) != 0 || len(q.ids()) != 1 {
			t.Errorf("exit %d\n%s%s", r.Code, r.Stdout, r.Stderr)
		}
		r = q.Run("", q.command("reopen", "--keep", "--to-queue", q.queue, q.ids()[0])...)
		if r.Code != ui.ExitDone || !strings.Contains(r.Stdout, "kept") || len(q.received()) != 1 ||
			len(q.ids()) != 1 {
			t.Errorf("exit %d\n%s%s", r.Code, r.Stdout, r.Stderr)
		}
	})
}

// An event that would be refused now is not sent. An event that is only late is sent: the consumer may have a
// permission for that.
func TestQuarantineJudgedNow(t *testing.T) {
	q := inDir(t)
	q.refuse("billing", "o-1")
	id := q.ids()[0]
	refused := append(q.trustFlags(), "--allow-type", "com.example.invoice.*")
	r := q.Run("", q.command("reopen", append(refused, "--to-queue", q.queue, id)...)...)
	if r.Code != ui.ExitRejected || !strings.Contains(r.Stderr, "type_not_allowed") ||
		len(q.received()) != 0 || len(q.ids()) != 1 {
		t.Errorf("exit %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	if r := q.Run("", q.command("show", append(refused, id)...)...); r.Code != ui.ExitRejected ||
		!strings.Contains(r.Stdout, "judged now  rejected type_not_allowed") {
		t.Errorf("show: exit %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	if r := q.Run("", q.command("show", "--trust", q.Path("nowhere"), "--roots", q.Path("roots.json"),
		id)...); r.Code != ui.ExitUsage {
		t.Errorf("without trust: exit %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	sealed := q.Now
	q.Now = q.Now.Add(30 * time.Hour)
	r = q.Run("", q.command("reopen", append(q.trustFlags(), "--to-queue", q.queue, id)...)...)
	if r.Code != ui.ExitDone || !strings.Contains(r.Stderr, "Permission") || len(q.ids()) != 0 {
		t.Errorf("late: exit %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	handled := 0
	c := q.consumer("billing", replay.NewMemory(nil), nil, consumer.Permission{
		ID: "p", Quarantine: "bin", From: sealed.Add(-time.Hour), To: sealed.Add(time.Hour),
		Until: q.Now.Add(time.Hour),
	})
	for _, body := range q.received() {
		_, err := c.Handle(t.Context(), consumer.Message{Body: []byte(body),
			Format: consumer.QuarantineRecord}, func(context.Context, consumer.Delivery[[]byte]) error {
			handled++
			return nil
		})
		q.Check(err)
	}
	if handled != 1 {
		t.Errorf("%d handled under the permission", handled)
	}
}

// An attacker who can write to the quarantine, but has no key, gets nothing reopened.
func TestQuarantineForgeries(t *testing.T) {
	q := inDir(t)
	q.refuse("billing", "o-1")
	good := q.ids()[0]
	doc, err := os.ReadFile(filepath.Join(q.Path("bin"), good+".json"))
	q.Check(err)
	other := bytes.Repeat([]byte("o"), consumer.MinQuarantineKey)
	rec, err := clitest.BinKeys(q.key).Parse(doc)
	q.Check(err)
	otherID, otherDoc, err := quarantine.Encode(clitest.BinKeys(other), *rec)
	q.Check(err)
	moved := good[:len(good)-32] + strings.Repeat("0", 32)
	for id, doc := range map[string][]byte{
		good[:len(good)-32] + strings.Repeat("1", 32): bytes.Replace(doc, []byte(`"billing"`),
			[]byte(`"payroll"`), 1),
		otherID: otherDoc, // under a key of the forger's own
		moved:   doc,      // authentic, under another name
	} {
		q.Check(os.WriteFile(filepath.Join(q.Path("bin"), id+".json"), doc, 0o600))
		for _, args := range [][]string{{id}, {"--to", "stdout", id}} {
			if args[0] != "--to" {
				args = append([]string{"--to-queue", q.queue}, args...)
			}
			r := q.Run("", q.command("reopen", args...)...)
			if r.Code != ui.ExitRejected || r.Stdout != "" || !strings.Contains(r.Stderr, "not authentic") {
				t.Errorf("%s: exit %d\n%s%s", id, r.Code, r.Stdout, r.Stderr)
			}
		}
		r := q.Run("", q.command("show", "--output", "json", id)...)
		if r.Code != ui.ExitRejected || !strings.Contains(r.Stdout, `"reason":"not_authentic"`) ||
			strings.Contains(r.Stdout, "shop.example") {
			t.Errorf("show %s: exit %d\n%s%s", id, r.Code, r.Stdout, r.Stderr)
		}
	}
	r := q.Run("", q.command("list", "--output", "json")...)
	views := clitest.JSONLines[cmd.RecordView](t, r.Stdout)
	if r.Code != ui.ExitRejected || len(views) != 4 {
		t.Errorf("list: exit %d\n%s", r.Code, r.Stdout)
	}
	for _, v := range views {
		if v.Authentic != (v.ID == good) || !v.Authentic &&
			(v.Consumer != "" || v.UnverifiedID != "" || v.Error != cmd.NotAuthentic) {
			t.Errorf("listed %+v", v)
		}
	}
	r = q.Run("", q.command("reopen", "--all", "--to-queue", q.queue, "--output", "json")...)
	sent := 0
	for _, out := range clitest.JSONLines[cmd.Reopened](t, r.Stdout) {
		if out.Reopened {
			sent++
		}
	}
	if r.Code != ui.ExitRejected || sent != 1 || len(q.received()) != 1 || len(q.ids()) != 3 {
		t.Errorf("reopen --all: exit %d, left are %v\n%s%s", r.Code, q.ids(), r.Stdout, r.Stderr)
	}
	q.Must("", q.command("remove", q.ids()...)...)
	if left := q.ids(); len(left) != 0 {
		t.Errorf("left are %v", left)
	}
}

// A record of another consumer is not reopened with those of this one, and a consumer that gets it does not
// open it.
func TestQuarantineOfAnotherConsumer(t *testing.T) {
	everyPlace(t, func(t *testing.T, q *bin) {
		q.refuse("billing", "o-1")
		q.refuse("payroll", "o-2")
		r := q.Run("", q.command("reopen", "--all", "--to-queue", q.queue)...)
		if r.Code != ui.ExitRejected || !strings.Contains(r.Stderr, "--consumer") || len(q.received()) != 1 ||
			len(q.ids()) != 1 {
			t.Errorf("exit %d\n%s%s", r.Code, r.Stdout, r.Stderr)
		}
		left := "billing"
		if len(q.ids("o-2")) > 0 {
			left = "payroll"
		}
		if r := q.Run("", q.command("reopen", "--all", "--consumer", left, "--to-queue",
			q.queue)...); r.Code != ui.ExitDone || len(q.received()) != 1 || len(q.ids()) != 0 {
			t.Errorf("exit %d\n%s%s", r.Code, r.Stdout, r.Stderr)
		}
	})
}

// A record in a record is no event.
func TestQuarantineOfRecords(t *testing.T) {
	q := inDir(t)
	q.refuse("payroll", "o-2")
	id := q.ids()[0]
	record := q.Must("", q.command("reopen", "--to", "stdout", id)...)
	q.Must("", q.command("remove", id)...)
	c := q.consumer("billing", replay.NewMemory(nil), nil)
	result, err := c.Handle(t.Context(), consumer.Message{Body: []byte(record),
		Format: consumer.QuarantineRecord}, func(context.Context, consumer.Delivery[[]byte]) error {
		t.Error("the handler was called")
		return nil
	})
	if err != nil || result.Reason() != envelope.ReasonAudienceMismatch {
		t.Fatalf("%+v, %v", result, err)
	}
	q.Now = q.Now.Add(time.Minute)
	id = q.ids()[0]
	if r := q.Run("", q.command("reopen", "--to-queue", q.queue, id)...); r.Code != ui.ExitRejected ||
		len(q.received()) != 0 || len(q.ids()) != 1 || !strings.Contains(r.Stderr, "before it is removed") {
		t.Errorf("exit %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	if r := q.Run("", q.command("show", append(q.trustFlags(), id)...)...); r.Code != ui.ExitRejected ||
		!strings.Contains(r.Stdout, "judged now  rejected") {
		t.Errorf("show: exit %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	if body := q.Must("", q.command("show", "--body", id)...); body != record {
		t.Errorf("body: %s", body)
	}
}

// An event that is refused again while --all runs is not reopened in the same run.
func TestQuarantineAllEnds(t *testing.T) {
	q := inDir(t)
	q.refuse("billing", "o-1")
	late := consumer.Record{Consumer: "billing", At: q.Now, Reason: envelope.ReasonExpired,
		Message: consumer.Message{Body: []byte("{}")}}
	q.Check(q.store.Put(t.Context(), late))
	if r := q.Run("", q.command("reopen", "--all", "--to-queue", q.queue)...); r.Code != ui.ExitDone ||
		len(q.received()) != 1 || len(q.ids()) != 1 {
		t.Errorf("exit %d, left are %v\n%s%s", r.Code, q.ids(), r.Stdout, r.Stderr)
	}
}

// Nothing that an event claims reaches the terminal as it is, nor does the name of an object.
func TestQuarantineSpoofing(t *testing.T) {
	evil := "\x1b[2J\x1b]0;owned\x07\u009b31m\u202Egnp.\r\nID  all is well\u2028\x00\u05d0" +
		strings.Repeat("A", 5000)
	for name, open := range map[string]func(*testing.T, string) *bin{"dir": inDirOf, "s3": inBucketOf} {
		t.Run(name, func(t *testing.T) { spoof(t, open(t, evil), evil) })
	}
}

func spoof(t *testing.T, q *bin, evil string) {
	r := consumer.Record{
		Consumer: "billing" + evil, Quarantine: evil, At: q.Now.Add(-time.Minute),
		Reason: envelope.Reason("modified" + evil), Cause: evil, Advice: evil,
		Message:      consumer.Message{Body: []byte("{}"), Account: evil, ReplayName: evil},
		UnverifiedID: evil, UnverifiedSource: evil, UnverifiedType: evil,
	}
	q.Check(q.store.Put(t.Context(), r))
	if dir, ok := strings.CutPrefix(q.from[1], "dir:"); ok {
		q.Check(os.WriteFile(filepath.Join(dir, "\x1b[2J\u202E.json"), []byte("{}"), 0o600))
	}
	id := q.ids(evil)
	if len(id) == 0 { // text that no JSON carries was repaired
		t.Fatal("it is not there")
	}
	for _, args := range [][]string{
		q.command("list"), q.command("list", "--output", "json"), q.command("show", id[0]),
		q.command("show", "--output", "json", id[0]),
		q.command("show", append(q.trustFlags(), id[0])...), q.command("reopen", "--dry-run", "--all"),
		q.command("reopen", "--dry-run", id[0], "\x1b[2J"),
		q.command("remove", "\x1b[2J"),
	} {
		got := q.Run("", args...)
		for _, text := range []string{got.Stdout, got.Stderr} {
			for _, line := range strings.Split(text, "\n") {
				if strings.IndexFunc(line, ui.Unprintable) >= 0 {
					t.Errorf("%q: %.300q", args[1:], line)
				}
			}
		}
		if strings.Contains(args[1], "list") && !strings.Contains(strings.Join(args, " "), "json") {
			for line := range strings.Lines(got.Stdout) {
				if len(line) > 1000 {
					t.Errorf("a line of %d bytes", len(line))
				}
			}
		}
	}
	views := clitest.JSONLines[cmd.RecordView](t, q.Run("",
		q.command("show", "--output", "json", id[0])...).Stdout)
	if views[0].UnverifiedID != evil {
		t.Errorf("for programs it is %.80q", views[0].UnverifiedID)
	}
}

// Text that is written without escapes is not written to a terminal.
func TestQuarantineRawOnTerminal(t *testing.T) {
	q := inDir(t)
	evil := "\x1b[2J\u009b31m"
	q.Check(q.store.Put(t.Context(), consumer.Record{Consumer: "billing", At: q.Now.Add(-time.Minute),
		UnverifiedID: evil, Message: consumer.Message{Body: []byte(evil)}}))
	id := q.ids()[0]
	q.Terminal = true
	for _, args := range [][]string{q.command("show", "--body", id),
		q.command("reopen", "--to", "stdout", id)} {
		if r := q.Run("", args...); r.Code != ui.ExitUsage || r.Stdout != "" ||
			!strings.Contains(r.Stderr, "terminal") {
			t.Errorf("%q: exit %d\n%q%s", args, r.Code, r.Stdout, r.Stderr)
		}
	}
	q.Must("", q.command("show", "--body", "--output", "json", id)...)
	q.Must("", q.command("reopen", "--to", "stdout", "--dry-run", id)...)
	q.Terminal = false
	if body := q.Must("", q.command("show", "--body", id)...); body != evil {
		t.Errorf("redirected: %q", body)
	}
}

// Nothing is removed that was not sent.
func TestQuarantineQueueDown(t *testing.T) {
	denied := ""
	q := newBin(t, &localaws.Options{Deny: func(action string) bool { return action == denied }})
	q.Check(os.Mkdir(q.Path("bin"), 0o700))
	s, err := quarantine.NewDir(q.Path("bin"), clitest.BinKeys(q.key))
	q.at("dir:"+q.Path("bin"), s, err).refuse("billing", "o-1", "o-2")
	denied = "SendMessage"
	r := q.Run("", q.command("reopen", "--all", "--to-queue", q.queue, "--output", "json")...)
	if got := clitest.JSONLines[cmd.Reopened](t, r.Stdout); r.Code != ui.ExitUsage || len(got) != 1 ||
		got[0].Reopened || got[0].Error != "usage" ||
		!strings.Contains(got[0].Fix, "sqs:SendMessage") || len(q.ids()) != 2 {
		t.Errorf("exit %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	denied = ""
	if r := q.Run("", q.command("reopen", "--all", "--to-queue", q.queue+
		"-missing")...); r.Code != ui.ExitUsage || len(q.ids()) != 2 {
		t.Errorf("exit %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
}

// A record that was sent and could not be removed is reported, and may be sent again.
func TestQuarantineNotRemoved(t *testing.T) {
	denied := ""
	q := newBin(t, &localaws.Options{Deny: func(action string) bool { return action == denied }})
	url := q.newQueue("quarantine")
	s, err := sqs.New(&hasty{q.client}, url, clitest.BinKeys(q.key), nil)
	q.at("sqs:"+url, s, err).refuse("billing", "o-1")
	denied = "DeleteMessage"
	r := q.Run("", q.command("reopen", "--all", "--to-queue", q.queue, "--output", "json")...)
	if got := clitest.JSONLines[cmd.Reopened](t, r.Stdout); r.Code != ui.ExitUnavailable ||
		!got[0].Reopened || got[0].Removed || len(q.ids()) != 1 {
		t.Errorf("exit %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	denied = ""
	q.Must("", q.command("reopen", "--all", "--to-queue", q.queue)...)
	q.handles("o-1")
}

// A record that no queue holds is written instead.
func TestQuarantineTooLargeForAQueue(t *testing.T) {
	q := inDir(t)
	q.Check(q.store.Put(t.Context(), consumer.Record{Consumer: "billing", At: q.Now.Add(-time.Second),
		Message: consumer.Message{Body: make([]byte, 1<<20)}}))
	q.refuse("billing", "o-1")
	r := q.Run("", q.command("reopen", "--all", "--to-queue", q.queue)...)
	if r.Code != ui.ExitRejected || !strings.Contains(r.Stderr, "--to stdout") || len(q.ids()) != 1 ||
		len(q.received()) != 1 {
		t.Errorf("exit %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
}

// Nor does what only this queue does not take: a large forgery would keep all that came after it from being
// reopened.
func TestQuarantineTooLargeForThisQueue(t *testing.T) {
	q := inDir(t)
	narrow, err := q.client.CreateQueue(t.Context(),
		&awssqs.CreateQueueInput{QueueName: aws.String("narrow"),
			Attributes: map[string]string{"MaximumMessageSize": "262144"}})
	q.Check(err)
	q.queue = *narrow.QueueUrl
	q.Check(q.store.Put(t.Context(), consumer.Record{Consumer: "billing", At: q.Now.Add(-time.Minute),
		Message: consumer.Message{Body: make([]byte, 256<<10)}}))
	q.refuse("billing", "o-1")
	r := q.Run("", q.command("reopen", "--all", "--to-queue", q.queue)...)
	if r.Code != ui.ExitRejected || !strings.Contains(r.Stderr, "--to stdout") || len(q.ids()) != 1 ||
		len(q.received()) != 1 {
		t.Errorf("exit %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
}

func TestQuarantineUsage(t *testing.T) {
	q := inDir(t)
	key := q.Path("q.key")
	q.Check(os.WriteFile(q.Path("short.key"), []byte("c2hvcnQ=\n"), 0o600))
	id := "20261121T115900.000000000Z-" + strings.Repeat("0", 32)
	to := []string{"--to-queue", q.queue}
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"no place": {[]string{"quarantine", "list", "--key-file", key}, ui.ExitUsage, "--from"},
		"no key":   {[]string{"quarantine", "list", "--from", "dir:x"}, ui.ExitUsage, "--key-file"},
		"unknown place": {[]string{"quarantine", "list", "--key-file", key, "--from", "gs://b"},
			ui.ExitUsage, "sqs:"},
		"a path": {[]string{"quarantine", "list", "--key-file", key, "--from", "bin"},
			ui.ExitUsage, "bin does not exist"},
		"missing directory": {[]string{"quarantine", "list", "--key-file", key, "--from", "dir:" +
			q.Path("nowhere")}, ui.ExitUsage, "does not exist"},
		"a file": {[]string{"quarantine", "list", "--key-file", key, "--from", "dir:" + key},
			ui.ExitUsage, "not a directory"},
		"no bucket": {[]string{"quarantine", "list", "--key-file", key, "--from", "s3://"},
			ui.ExitUsage, "s3://BUCKET"},
		"odd prefix": {[]string{"quarantine", "list", "--key-file", key, "--from", "s3://b/a*"},
			ui.ExitUsage, "prefix"},
		"queue name": {[]string{"quarantine", "list", "--key-file", key, "--from", "sqs:billing"},
			ui.ExitUsage, "URL of a queue"},
		"FIFO": {[]string{"quarantine", "list", "--key-file", key, "--from", "sqs:" + q.queue +
			".fifo"}, ui.ExitUsage, "standard queue"},
		"missing queue": {[]string{"quarantine", "list", "--key-file", key, "--from", "sqs:" + q.queue +
			"-no"}, ui.ExitUsage, "queue"},
		"short key": {[]string{"quarantine", "list", "--key-file", q.Path("short.key"), "--from",
			"dir:x"}, ui.ExitUsage, "at least 32 bytes"},
		"missing key file": {[]string{"quarantine", "list", "--key-file", q.Path("no"), "--from", "dir:x"},
			ui.ExitUsage, "does not exist"},
		"unknown reason":    {q.command("list", "--reason", "because"), ui.ExitUsage, "because"},
		"negative limit":    {q.command("list", "--limit", "-1"), ui.ExitUsage, "--limit"},
		"no record":         {q.command("show", id), ui.ExitRejected, "no such record"},
		"no ID":             {q.command("show"), ui.ExitUsage, "missing argument ID"},
		"nothing to reopen": {q.command("reopen", to...), ui.ExitUsage, "--all"},
		"nowhere to":        {q.command("reopen", id), ui.ExitUsage, "--to-queue"},
		"two ways": {q.command("reopen", append(to, "--to", "stdout", id)...), ui.ExitUsage,
			"drop one"},
		"no way":      {q.command("reopen", "--to", "stderr", id), ui.ExitUsage, "--to stdout"},
		"all and one": {q.command("reopen", append(to, "--all", id)...), ui.ExitUsage, "drop one"},
		"filter without": {q.command("reopen", append(to, "--reason", "expired", id)...), ui.ExitUsage,
			"add --all"},
		"no such record": {q.command("reopen", append(to, id)...), ui.ExitRejected, "no such record"},
		"not a URL":      {q.command("reopen", "--to-queue", "billing", id), ui.ExitUsage, "--to-queue"},
		"roots alone":    {q.command("show", "--roots", "r", id), ui.ExitUsage, "--trust"},
		"scope alone": {q.command("show", "--allow-source", "https://a.example/*", id), ui.ExitUsage,
			"--trust"},
		"bad pattern": {q.command("show", append(q.trustFlags(), "--allow-source", "https://*", id)...),
			ui.ExitUsage, "--allow-source"},
		"no age": {q.command("show", append(q.trustFlags(), "--max-age", "0s", id)...),
			ui.ExitUsage, "--max-age"},
		"great age": {q.command("show", append(q.trustFlags(), "--max-age", "100000h", id)...),
			ui.ExitUsage, "MaxAge"},
		"nothing to remove": {q.command("remove"), ui.ExitUsage, "missing argument ID"},
		"not there":         {q.command("remove", id), ui.ExitRejected, "no such record"},
		"key file is there": {[]string{"quarantine", "key", "new", "--out", key}, ui.ExitUsage,
			"not overwritten"},
		"key to nowhere": {[]string{"quarantine", "key", "new"}, ui.ExitUsage, "--out"},
	} {
		t.Run(name, func(t *testing.T) {
			if r := q.Run("", c.args...); r.Code != c.code || !strings.Contains(r.Stderr, c.says) ||
				r.Stdout != "" {
				t.Errorf("exit %d\n%s%s", r.Code, r.Stdout, r.Stderr)
			}
			var result ui.ErrorResult
			r := q.Run("", append(c.args, "--output", "json")...)
			if err := json.Unmarshal([]byte(lastLine(r.Stdout)), &result); r.Code != c.code || err != nil ||
				result.Message == "" {
				t.Errorf("for programs: exit %d, %v\n%s", r.Code, err, r.Stdout)
			}
		})
	}
}

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndexByte(text, '\n')+1:]
}
