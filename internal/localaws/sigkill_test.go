package localaws_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sealbus/sealbus/internal/localaws"
)

// childDir is the environment variable that makes TestServesUntilItIsKilled the process of
// TestProcessIsKilled.
const childDir = "LOCALAWS_TEST_DIR"

func TestServesUntilItIsKilled(t *testing.T) {
	dir := os.Getenv(childDir)
	if dir == "" {
		return // it is a part of the next test
	}
	s, err := localaws.Start(&localaws.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("\nserving %s\n", s.URL())
	_, _ = io.Copy(io.Discard, os.Stdin) // the end of the parent is the end of the child
	os.Exit(1)
}

// process is a server in another process.
type process struct {
	cmd *exec.Cmd
	url string
}

func startProcess(t *testing.T, dir string) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestServesUntilItIsKilled$")
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: cmd}
	t.Cleanup(p.kill)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if url, ok := strings.CutPrefix(lines.Text(), "serving "); ok {
			p.url = url
			return p
		}
	}
	t.Fatal("the process serves nothing")
	return nil
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait() // it was killed, or is gone
}

// textsIn are the texts of the events in a queue, up to the number of messages that it has.
func textsIn(t *testing.T, client *sqs.Client, url string) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	for {
		out, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: aws.String(url),
			MaxNumberOfMessages: 10, VisibilityTimeout: 3600})
		if err != nil {
			t.Fatal(err)
		}
		if len(out.Messages) == 0 {
			return found
		}
		for _, m := range out.Messages {
			var e struct{ Detail struct{ Text string } }
			if err := json.Unmarshal([]byte(*m.Body), &e); err != nil {
				t.Fatal(err)
			}
			found[e.Detail.Text] = true
		}
	}
}

// TestProcessIsKilled: publishers at the same time, and a process that gets SIGKILL while they publish. Each
// event that was acknowledged is in the queue.
func TestProcessIsKilled(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t, &localaws.Options{Dir: dir})
	queues := &queues{w, newQueueClient(w.server.URL()), newClock()}
	_, arn := queues.create("q", nil)
	w.rule("default", `{"source":["`+command+`"]}`, arn)
	w.check(w.server.Close())

	var mu sync.Mutex
	acknowledged := map[string]bool{}
	for round := range 3 {
		p := startProcess(t, dir)
		enough := make(chan struct{}, 5)
		var publishers sync.WaitGroup
		for n := range 4 {
			publishers.Go(func() {
				defer func() { enough <- struct{}{} }()
				client := newClient(p.url)
				for i := 0; ; i++ {
					texts, entries := batch(fmt.Sprintf("%d-%d-%d", round, n, i))
					_, err := client.PutEvents(context.Background(), &eventbridge.PutEventsInput{Entries: entries})
					if err != nil {
						return // it was killed
					}
					mu.Lock()
					for _, text := range texts {
						acknowledged[text] = true
					}
					mu.Unlock()
					if i == 10 && n == 0 {
						enough <- struct{}{}
					}
				}
			})
		}
		<-enough
		p.kill()
		publishers.Wait()
	}
	w.begin()
	drain, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	w.check(w.server.Drain(drain))
	found := textsIn(t, newQueueClient(w.server.URL()), w.server.URL()+"/000000000000/q")
	for text := range acknowledged {
		if !found[text] {
			t.Errorf("%s was acknowledged and is lost", text)
		}
	}
	t.Logf("%d events were acknowledged, %d are there", len(acknowledged), len(found))
	if len(acknowledged) < 100 {
		t.Error("the run is too short to say anything")
	}
}

func batch(name string) (texts []string, entries []types.PutEventsRequestEntry) {
	for i := range 10 {
		text := fmt.Sprintf("%s-%d", name, i)
		texts = append(texts, text)
		entries = append(entries, entry(fmt.Sprintf(`{"text":%q}`, text)))
	}
	return texts, entries
}

// BenchmarkPutEvents puts ten entries that go to a queue, without and with a directory, by one caller and by
// several at a time, who share what the disk takes.
func BenchmarkPutEvents(b *testing.B) {
	for _, callers := range []int{1, 16} {
		for _, kind := range []string{"memory", "dir"} {
			b.Run(fmt.Sprintf("%s/callers=%d", kind, callers), func(b *testing.B) {
				var o localaws.Options
				if kind == "dir" {
					o.Dir = b.TempDir()
				}
				s, err := localaws.Start(&o)
				if err != nil {
					b.Fatal(err)
				}
				defer s.Close()
				if _, err := newQueueClient(s.URL()).CreateQueue(b.Context(),
					&sqs.CreateQueueInput{QueueName: aws.String("q")}); err != nil {
					b.Fatal(err)
				}
				client := newClient(s.URL())
				_, err = client.PutRule(b.Context(), &eventbridge.PutRuleInput{Name: aws.String("r"),
					EventPattern: aws.String(`{"source":["` + command + `"]}`)})
				if err != nil {
					b.Fatal(err)
				}
				_, err = client.PutTargets(b.Context(), &eventbridge.PutTargetsInput{Rule: aws.String("r"),
					Targets: []types.Target{{Id: aws.String("1"),
						Arn: aws.String("arn:aws:sqs:us-east-1:000000000000:q")}}})
				if err != nil {
					b.Fatal(err)
				}
				putInParallel(b, client, callers)
			})
		}
	}
}

func putInParallel(b *testing.B, client *eventbridge.Client, callers int) {
	_, entries := batch("x")
	work := make(chan struct{})
	var group sync.WaitGroup
	for range callers {
		group.Go(func() {
			for range work {
				if _, err := client.PutEvents(b.Context(), &eventbridge.PutEventsInput{Entries: entries}); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for b.Loop() {
		work <- struct{}{}
	}
	close(work)
	group.Wait()
}
