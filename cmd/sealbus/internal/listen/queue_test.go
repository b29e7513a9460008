package listen_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/internal/localaws"
)

func poll(b *clitest.Bench, q *clitest.Queue, more ...string) *clitest.Listening {
	return b.Listen(append([]string{"--queue", q.URL, "--endpoint", q.Server.URL()}, more...)...)
}

// TestListenQueuePeek: looking leaves everything where it is, and tells each message once however often it
// comes.
func TestListenQueuePeek(t *testing.T) {
	b := clitest.NewListenBench(t)
	// A message that was looked at comes again at once.
	q := clitest.NewQueue(b, map[string]string{"VisibilityTimeout": "0"})
	q.Send(b.Sealed("o-1"))
	q.Send(clitest.Order("o-2"))
	q.Send("no event at all")
	l := poll(b, q, "--output", "json")
	l.Until("three lines", func() bool { return strings.Count(l.Stdout.String(), "\n") >= 3 })
	calls := q.Server.Calls()
	l.Until("it comes again", func() bool { return q.Server.Calls() > calls+3 })
	if code := l.End(); code != 0 {
		t.Errorf("exit %d", code)
	}
	if out := l.Stdout.String(); strings.Count(out, "\n") != 3 || strings.Count(out, `"message_id"`) != 3 {
		t.Errorf("%s", out)
	}
	if left := q.Left(); left != "3+0" {
		t.Errorf("left: %s", left)
	}
	if talk := l.Stderr.String(); !strings.Contains(talk, "stay on the queue") ||
		!strings.Contains(talk, "1 verified, 2 rejected (malformed 1, unsigned 1)") {
		t.Errorf("%s", talk)
	}
}

// TestListenQueueForward: a message leaves the queue when the receiver has it, and not before. A refused
// event never gets there.
func TestListenQueueForward(t *testing.T) {
	b := clitest.NewListenBench(t)
	q := clitest.NewQueue(b, map[string]string{"VisibilityTimeout": "1"})
	to := clitest.NewReceiver(t, 503, 200)
	q.Send(b.Sealed("o-1"))
	q.Send(strings.Replace(b.Sealed("o-2"), `"chair"`, `"throne"`, 1))
	q.Send(`{"source":"https://shop.example/eu","detail-type":"com.example.order.placed","account":"000000000000",` +
		`"detail":` + strings.TrimSpace(b.Sealed("o-3")) + `}`)
	l := poll(b, q, "--forward-to", to.URL)
	l.Until("only the forged one is left", func() bool { return q.Left() == "1+0" || q.Left() == "0+1" })
	l.End()
	got := strings.Join(to.Received(), "\n")
	if len(to.Received()) != 3 || strings.Contains(got, "throne") || !strings.Contains(got, `"o-1"`) ||
		!strings.Contains(got, `"o-3"`) || strings.Contains(got, "dssematerial") {
		t.Errorf("posted on: %s", got)
	}
	if out := l.Stdout.String(); strings.Count(out, "modified") != 1 ||
		strings.Count(out, "handler_failed") != 1 {
		t.Errorf("%s", out)
	}
}

// TestListenQueueDelete: with a quarantine nothing is left.
func TestListenQueueDelete(t *testing.T) {
	b := clitest.NewListenBench(t)
	b.Must("", "quarantine", "key", "new", "--out", b.Path("q.key"))
	q := clitest.NewQueue(b, nil)
	q.Send(b.Sealed("o-1"))
	q.Send(b.Sealed("o-1"))
	q.Send(clitest.Order("o-2"))
	l := poll(b, q, "--delete", "--limit", "3", "--quarantine", "dir:"+
		b.Path("q"), "--quarantine-key-file", b.Path("q.key"))
	if code := l.Wait(); code != 0 || !strings.Contains(l.Stderr.String(),
		"1 verified, 1 duplicate, 1 quarantined (unsigned 1)") {
		t.Errorf("exit %d\n%s", code, l.Stderr.String())
	}
	if left := q.Left(); left != "0+0" {
		t.Errorf("left: %s", left)
	}
	if files, _ := filepath.Glob(b.Path("q/*.json")); len(files) != 1 {
		t.Errorf("in quarantine: %v", files)
	}
}

func TestListenQueueFails(t *testing.T) {
	b := clitest.NewListenBench(t)
	server := b.FakeAWS(&localaws.Options{Deny: func(action string) bool { return action == "ReceiveMessage" }})
	q := &clitest.Queue{Server: server, URL: server.URL() + "/000000000000/none"}
	if l := poll(b, q); l.Wait() != ui.ExitUsage ||
		!strings.Contains(l.Stderr.String(), "allow sqs:ReceiveMessage") {
		t.Errorf("%s", l.Stderr.String())
	}
	q.Server = b.FakeAWS(nil)
	q.URL = q.Server.URL() + "/000000000000/none"
	if l := poll(b, q); l.Wait() != ui.ExitUsage ||
		!strings.Contains(l.Stderr.String(), "check --queue and --region") {
		t.Errorf("%s", l.Stderr.String())
	}
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_DEFAULT_REGION", "")
	if l := poll(b, q); l.Wait() != ui.ExitUsage || !strings.Contains(l.Stderr.String(), "no AWS region") {
		t.Errorf("%s", l.Stderr.String())
	}
}

// TestListenQueueKeepsWhatItCouldNotTell: a message whose line cannot be written stays on the queue, unless
// the receiver has it.
func TestListenQueueKeepsWhatItCouldNotTell(t *testing.T) {
	b := clitest.NewListenBench(t)
	to := clitest.NewReceiver(t, 200)
	for want, args := range map[string][]string{"0+1": {"--delete"}, "0+0": {"--forward-to", to.URL}} {
		q := clitest.NewQueue(b, nil)
		l := poll(b, q, args...)
		l.Stdout.Cut()
		q.Send(b.Sealed("o-1"))
		if code := l.Wait(); code != ui.ExitUnavailable {
			t.Errorf("%s: exit %d\n%s", args, code, l.Stderr.String())
		}
		if left := q.Left(); left != want {
			t.Errorf("%s: left: %s", args, left)
		}
	}
}
