package gateway_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awseventbridge "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
	"github.com/sealbus/sealbus/internal/testbed/program"
	"github.com/sealbus/sealbus/webhook"
)

// wholeLoad is the environment variable for the whole form of TestLoad: 200 senders, 20 kills in 30 s for
// each size, and the throughput beside a bare loop.
const wholeLoad = "SEALBUS_GATEWAY_LOAD"

const (
	maxRSS     = 64 << 10                                         // KiB
	loadSecret = "whsec_c2VhbGJ1cyBsb2FkIHRlc3Qgc2VjcmV0IDAxMjM=" // of the test only
	loadConfig = `endpoints:
  load:
    path: /hooks/load
    provider: standardwebhooks
    secrets: ["file:load.secret"]
    source: https://shop.example/eu/github
`
)

// TestLoad kills a gateway under load: all that it acknowledged is on the bus, and it stays within its
// memory. A reload refuses nothing. At SIGTERM it ends with 0, and what it acknowledged is on the bus, too.
// An entry of EventBridge has less than 1 MiB, so the large bodies leave 4 KiB for attributes and signature.
func TestLoad(t *testing.T) {
	t.Setenv("GOMEMLIMIT", "") // the gateway's own
	file := t.TempDir() + "/sealbus"
	if err := program.Build(file, "cmd/sealbus", ""); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		// bytes; acknowledged deliveries between two kills, and senders, of the short form
		size, every, senders int
	}{{"1KiB", 1 << 10, 50, 20}, {"1MiB", 1<<20 - 4<<10, 3, 4}} {
		t.Run(c.name, func(t *testing.T) {
			l := newLoad(t, file, c.size)
			kills, senders := 3, c.senders
			pause := func() { l.untilAcked(l.acks.Load() + int64(c.every)) }
			if os.Getenv(wholeLoad) == "1" {
				kills, senders = 20, 200
				pause = func() { time.Sleep(30 * time.Second / 20) }
				l.back = time.Second // the gateway asks for 5 s
				l.compare(senders)
			}
			stop := l.send(senders, &l.url)
			l.untilAcked(l.acks.Load() + 1)
			l.reload(c.size < 1<<16) // before a kill: a sender that has an old address gets no answer
			for range kills {
				pause()
				l.kill()
				l.start()
			}
			l.untilAcked(l.acks.Load() + int64(c.every))
			l.end()
			stop()
			l.judge()
		})
	}
}

// load is a bus in this process, which outlives the gateways, and the gateway beside it.
type load struct {
	*testing.T
	bench     *clitest.Bench
	file      string
	body      []byte
	back      time.Duration // when a sender comes again after it was not acknowledged
	bus       *httptest.Server
	client    *awseventbridge.Client
	onBus     sync.Map // IDs of the events
	acked     sync.Map // IDs of the deliveries that were answered 2xx
	ids, acks atomic.Int64
	refused   sync.Map     // how often, by what the sender was told
	refusals  atomic.Int64 // all of them
	url       atomic.Pointer[string]
	cmd       *exec.Cmd
	reloads   chan struct{}
	read      chan struct{} // closed when all of the gateway's talk is read
	peak      int           // of RSS, KiB
}

func newLoad(t *testing.T, file string, size int) *load {
	l := &load{T: t, bench: clitest.New(t), file: file, back: 100 * time.Millisecond,
		reloads: make(chan struct{}, 1)}
	l.bench.Org(nil, clitest.OrderSource)
	l.bench.Check(os.WriteFile(l.bench.Path("load.secret"), []byte(loadSecret), 0o600))
	l.bench.Check(os.WriteFile(l.bench.Path("load.yaml"), []byte(loadConfig), 0o600))
	const line = `{"price":12.5,"qty":2,"sku":"A/1","text":"a thing of an order, with a name of some length"},`
	lines := strings.Repeat(line, max(1, (size-16)/len(line)))
	body := `{"lines":[` + strings.TrimSuffix(lines, ",") + `]}`
	l.body = []byte(body + strings.Repeat(" ", size-len(body)))
	l.bus = httptest.NewServer(http.HandlerFunc(l.put))
	t.Cleanup(l.bus.Close)
	l.bench.FakeAWS(nil) // keeps the AWS configuration of the machine out
	l.client = awseventbridge.New(awseventbridge.Options{Region: "us-east-1",
		BaseEndpoint: aws.String(l.bus.URL),
		Credentials:  credentials.NewStaticCredentialsProvider("AKIAEXAMPLE", "secret", "")})
	l.start()
	t.Cleanup(func() { _ = l.cmd.Process.Kill() }) // it has ended, unless the test failed
	return l
}

// put is the bus: PutEvents, which takes an entry whose detail is JSON and smaller than 1 MiB. It costs less
// than localaws, whose share would hide that of the gateway.
func (l *load) put(w http.ResponseWriter, r *http.Request) {
	body := make([]byte, r.ContentLength)
	if _, err := io.ReadFull(r.Body, body); err != nil {
		return // a part of a call puts nothing: the gateway was killed
	}
	var call struct{ Entries []struct{ Detail string } }
	var event struct{ ID string }
	if err := json.Unmarshal(body, &call); err != nil {
		l.Errorf("a call of %d bytes: %v", len(body), err)
	}
	for _, e := range call.Entries { // there is one; DescribeEventBus has none
		if err := json.Unmarshal([]byte(e.Detail), &event); err == nil && len(e.Detail) < 1<<20 {
			l.onBus.Store(event.ID, true)
		} else {
			l.Errorf("an entry of %d bytes: %v", len(e.Detail), err)
		}
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	_, _ = io.WriteString(w, `{"Name":"central","FailedEntryCount":0,"Entries":[{"EventId":"1"}]}`)
}

// start starts a gateway, and reads its talk as long as it lives.
func (l *load) start() {
	l.Helper()
	l.cmd = exec.Command(l.file, "gateway", "--config", l.bench.Path("load.yaml"),
		"--keyring", l.bench.Path("shop.keyring"), "--insecure-no-passphrase", "--bus", "central",
		"--endpoint", l.bus.URL, "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	talk, err := l.cmd.StderrPipe()
	l.bench.Check(err)
	l.bench.Check(l.cmd.Start())
	address, read := make(chan string, 1), make(chan struct{})
	l.read = read
	go func() {
		defer close(read)
		defer close(address)
		lines := bufio.NewScanner(talk)
		for lines.Scan() {
			if _, rest, ok := strings.Cut(lines.Text(), "listening on "); ok {
				url, _, _ := strings.Cut(rest, ",")
				address <- url + "hooks/load"
			}
			if strings.Contains(lines.Text(), "was loaded again") {
				l.reloads <- struct{}{}
			}
		}
	}()
	url, ok := <-address
	if !ok {
		l.Fatalf("the gateway did not start: %v", l.cmd.Wait())
	}
	l.url.Store(&url)
}

// measure notes the peak of the gateway's RSS.
func (l *load) measure() {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", l.cmd.Process.Pid))
	if err != nil {
		l.Log("RSS IS NOT MEASURED: there is no /proc")
		return
	}
	if found := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status); found != nil {
		kib, _ := strconv.Atoi(string(found[1]))
		l.peak = max(l.peak, kib)
	}
}

func (l *load) kill() {
	l.measure()
	l.bench.Check(l.cmd.Process.Kill())
	<-l.read
	_ = l.cmd.Wait() // "signal: killed"
}

// reload reads the configuration again, five times. No small delivery is refused meanwhile; of large ones,
// more than fit into the memory are.
func (l *load) reload(small bool) {
	l.Helper()
	before := l.refusals.Load()
	for range 5 {
		l.bench.Check(l.cmd.Process.Signal(syscall.SIGHUP))
		<-l.reloads
		l.untilAcked(l.acks.Load() + 1)
	}
	if n := l.refusals.Load() - before; small && n > 0 {
		l.Errorf("%d deliveries were refused during reloads", n)
	}
}

func (l *load) end() {
	l.Helper()
	l.measure()
	l.bench.Check(l.cmd.Process.Signal(syscall.SIGTERM))
	<-l.read
	if err := l.cmd.Wait(); err != nil {
		l.Errorf("after SIGTERM: %v", err)
	}
}

func (l *load) untilAcked(n int64) {
	l.Helper()
	for l.acks.Load() < n {
		if l.Context().Err() != nil {
			l.FailNow()
		}
		time.Sleep(time.Millisecond)
	}
}

// send lets senders send to the URL until stop is called. Each sends a delivery again until it is
// acknowledged.
func (l *load) send(senders int, to *atomic.Pointer[string]) (stop func()) {
	ctx, cancel := context.WithCancel(l.Context())
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: senders}}
	var all sync.WaitGroup
	for range senders {
		all.Go(func() {
			for ctx.Err() == nil {
				id := fmt.Sprintf("load-%d", l.ids.Add(1))
				signed, err := webhook.Sign(id, time.Now(), l.body, []webhook.Secret{{Text: loadSecret}})
				if err != nil {
					l.Error(err)
					return
				}
				for ctx.Err() == nil && !l.deliver(ctx, client, *to.Load(), id, signed) {
					time.Sleep(l.back) // no sender comes back at once
				}
			}
		})
	}
	return func() {
		cancel()
		all.Wait()
		client.CloseIdleConnections()
	}
}

// deliver sends a delivery once.
func (l *load) deliver(
	ctx context.Context, client *http.Client, url, id string, signed []webhook.Field,
) bool {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(l.body))
	if err != nil {
		l.Error(err)
		return false
	}
	r.Header.Set("Content-Type", "application/json")
	for _, f := range signed {
		r.Header.Set(f.Name, f.Value)
	}
	resp, err := client.Do(r)
	if err != nil {
		l.count("no answer")
		return false
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		l.count(resp.Status)
		return false
	}
	l.acked.Store(id, true)
	l.acks.Add(1)
	return true
}

func (l *load) count(answer string) {
	l.refusals.Add(1)
	n, _ := l.refused.LoadOrStore(answer, new(atomic.Int64))
	n.(*atomic.Int64).Add(1)
}

// judge compares what was acknowledged with what the bus has.
func (l *load) judge() {
	l.Helper()
	acked, lost := 0, 0
	l.acked.Range(func(id, _ any) bool {
		acked++
		if _, there := l.onBus.Load(id); !there {
			lost++
		}
		return true
	})
	l.refused.Range(func(answer, n any) bool {
		l.Logf("%s: %d times", answer, n.(*atomic.Int64).Load())
		return true
	})
	l.Logf("%d acknowledged, %d lost, RSS at most %.1f MiB", acked, lost, float64(l.peak)/1024)
	if lost > 0 || acked == 0 {
		l.Errorf("%d of %d acknowledged deliveries are not on the bus", lost, acked)
	}
	if l.peak > maxRSS && os.Getenv(wholeLoad) == "1" { // on a busy machine the collector may come late
		l.Errorf("RSS of %d KiB: more than %d", l.peak, maxRSS)
	}
}

// compare prints the throughput of the gateway and of a bare loop, one after the other. Each is measured once
// it has answered as many deliveries as there are senders, for 10 s and as many deliveries again at least.
func (l *load) compare(senders int) {
	bare := httptest.NewServer(http.HandlerFunc(l.bare))
	defer bare.Close()
	var to [2]atomic.Pointer[string]
	to[0].Store(&bare.URL)
	to[1].Store(l.url.Load())
	var sum [2]float64
	for i := range to {
		stop, n := l.send(senders, &to[i]), int64(senders)
		l.untilAcked(l.acks.Load() + n)
		began, before := time.Now(), l.acks.Load()
		time.Sleep(10 * time.Second)
		l.untilAcked(before + n)
		sum[i] = float64(l.acks.Load()-before) / time.Since(began).Seconds()
		stop()
	}
	l.Logf("deliveries/s: bare %.1f, gateway %.1f, ratio %.2f", sum[0], sum[1], sum[1]/sum[0])
}

// bare puts a delivery on the bus as it comes: nothing is verified, sealed or bounded.
func (l *load) bare(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	detail := `{"id":"` + r.Header.Get("Webhook-Id") + `","data":` + string(body) + `}`
	out, err := l.client.PutEvents(r.Context(), &awseventbridge.PutEventsInput{
		Entries: []types.PutEventsRequestEntry{{EventBusName: aws.String("central"),
			Source: aws.String("bare"), DetailType: aws.String("bare"), Detail: &detail}}})
	if err != nil || out.FailedEntryCount > 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}
