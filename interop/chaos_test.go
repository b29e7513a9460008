package interop_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
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
	ebtypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/internal/localaws"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
	"github.com/sealbus/sealbus/producer"
	"github.com/sealbus/sealbus/producer/eventbridge"
)

// TestChaos sends events from four producers over a bus that throttles, fails, duplicates, reorders and
// rewrites, through a queue, to consumer processes that are killed and frozen at random, with handlers and a
// store that fail now and then. Each producer seals in a way of its own: plainly, encrypted to a key in a KMS
// that fails now and then, with a session key and a field encrypted, with an Ed25519 and an ML-DSA key. A
// tenth as many forgeries are mixed in. Every genuine event is handled, with the data that was sealed, and
// completed once, an effect is had twice only for a reason, and every forgery is in quarantine for its own
// Reason.
func TestChaos(t *testing.T) {
	t.Run("Redis", func(t *testing.T) {
		s, client := startRedis(t, "--appendfsync", "everysec")
		c := newChaos(t, scale(t, "SEALBUS_CHAOS_EVENTS", 100_000), newRedisStore(t, client))
		c.server = s
		c.config.Redis = s.addr()
		c.run()
	})
	t.Run("DynamoDB", func(t *testing.T) {
		s, client := startTable(t)
		c := newChaos(t, scale(t, "SEALBUS_CHAOS_EVENTS_DYNAMODB", 2_000), newDynamoStore(t, client, nil))
		c.server = s
		c.config.DynamoDB, c.config.Table = "http://"+s.addr(), claimTable
		c.run()
	})
}

// scale is how many events a run has.
func scale(t *testing.T, name string, usual int) int {
	t.Helper()
	text := os.Getenv(name)
	switch n, err := strconv.Atoi(text); {
	case text == "" && testing.Short():
		return usual / 50
	case text == "":
		return usual
	case err != nil || n < 100:
		t.Fatalf("%s=%s: give a number of events, at least 100", name, text)
		return 0
	default:
		return n
	}
}

// How bad the world is, and how long things take in it.
const (
	chaosProducers = 4
	chaosWorkers   = 4
	chaosBatch     = 500             // events of one Publish; a tenth as many forgeries follow
	chaosBacklog   = 4_000           // events on their way before producers wait
	chaosLease     = 2 * time.Second // of a claim
	chaosFreeze    = 5 * time.Second // of a process: longer than lease and visibility
	chaosVisible   = "3"             // seconds until a message that was not deleted comes again
	chaosPatience  = 2 * time.Minute // without any progress
	chaosRestart   = 30 * time.Second
	chaosAudience  = "central"
)

// workerConfig is that of ./worker.
type workerConfig struct {
	Name, AWS, Queue, Quarantine          string
	QuarantineKey                         []byte
	Redis, DynamoDB, Table, Bundle, Roots string
	Sources                               []string
	KMSKey, Identity                      string          // an ARN; a file
	Secret                                map[string]bool // by source: whether the data must have been encrypted
	Audience                              string
	Lease                                 time.Duration
	Pollers                               int
	HandlerErrors, Pauses                 float64
	Pause                                 time.Duration
	StoreFaults                           float64
}

// chaos is one run.
type chaos struct {
	*testing.T
	events  int
	store   replay.Store
	server  *server // that of the store
	aws     *localaws.Server
	bus     *awseventbridge.Client
	queue   *awssqs.Client
	deadURL string
	signers []*keys.LocalSigner
	teams   []team
	config  workerConfig
	program string

	ctx     context.Context // ends when the run is over
	over    context.CancelFunc
	forged  sync.Map // ID -> Reason that it deserves
	forgers atomic.Int64
	trouble sync.WaitGroup // those who make some
	asked   time.Time      // the store, by await
	kills   atomic.Int64
	freezes atomic.Int64

	mu       sync.Mutex
	genuine  map[string]*story // by ID
	waiting  int               // how many of them are published and not handled yet
	progress time.Time
	workers  []*process
}

// story is what happened to one genuine event.
type story struct {
	effects []*effect
}

// effect is one effect of the handler.
type effect struct {
	key string
	end string // "" = not yet; "handled -", "retry in_progress", ...; "killed"
}

// process is one worker.
type process struct {
	cmd    *exec.Cmd
	open   map[string][]*effect // effects whose delivery has not ended, by key
	done   chan struct{}
	doomed atomic.Bool // it is killed already
}

func newChaos(t *testing.T, events int, store replay.Store) *chaos {
	t.Helper()
	c := &chaos{T: t, events: events, store: store, genuine: map[string]*story{}, progress: time.Now()}
	c.ctx, c.over = context.WithCancel(t.Context())
	t.Cleanup(c.over)
	c.config = workerConfig{
		Name: "chaos", Audience: chaosAudience, Lease: chaosLease, Pollers: 4,
		QuarantineKey: make([]byte, 32),
		HandlerErrors: 0.02, Pauses: 0.0015, Pause: 100 * time.Millisecond, StoreFaults: 0.001,
	}
	rand.Read(c.config.QuarantineKey)
	t.Cleanup(c.killWorkers)
	c.startAWS()
	c.makeTrust()
	c.program = filepath.Join(t.TempDir(), "worker")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", c.program,
		"./worker").CombinedOutput(); err != nil {
		t.Fatalf("the worker does not build: %v\n%s", err, out)
	}
	return c
}

// startAWS makes the bus with a rule to the queue, its dead-letter queue, and the queue for quarantine.
func (c *chaos) startAWS() {
	c.Helper()
	server, err := localaws.Start(&localaws.Options{
		Region: "eu-west-1",
		Delivery: localaws.Delivery{Duplicate: 0.05, Reorder: 20, Delay: 20 * time.Millisecond,
			Reserialise: true, Retry: true, Workers: 4},
		Faults: localaws.Faults{EntryThrottled: 0.05, Call: 0.01, KeyCall: 0.05},
	})
	if err != nil {
		c.Fatal(err)
	}
	c.Cleanup(func() { server.Close() })
	known := credentials.NewStaticCredentialsProvider("chaos", "chaos", "")
	c.aws, c.config.AWS = server, server.URL()
	c.bus = awseventbridge.New(awseventbridge.Options{Region: "eu-west-1",
		BaseEndpoint: aws.String(server.URL()), Credentials: known})
	c.queue = awssqs.New(awssqs.Options{Region: "eu-west-1", BaseEndpoint: aws.String(server.URL()),
		Credentials: known})
	c.config.Quarantine = c.makeQueue("quarantine", nil)
	c.deadURL = c.makeQueue("orders-dead", nil)
	c.config.Queue = c.makeQueue("orders", map[string]string{
		"VisibilityTimeout": chaosVisible,
		"RedrivePolicy":     `{"deadLetterTargetArn":"arn:aws:sqs:eu-west-1:000000000000:orders-dead","maxReceiveCount":"100"}`,
	})
	name, rule := aws.String("central"), aws.String("everything")
	_, err = c.bus.CreateEventBus(c.ctx, &awseventbridge.CreateEventBusInput{Name: name})
	c.must(err)
	_, err = c.bus.PutRule(c.ctx, &awseventbridge.PutRuleInput{Name: rule, EventBusName: name,
		EventPattern: aws.String(`{"account":["000000000000"]}`)})
	c.must(err)
	_, err = c.bus.PutTargets(c.ctx, &awseventbridge.PutTargetsInput{Rule: rule, EventBusName: name,
		Targets: []ebtypes.Target{
			{Id: aws.String("queue"), Arn: aws.String("arn:aws:sqs:eu-west-1:000000000000:orders")},
		}})
	c.must(err)
}

func (c *chaos) must(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

func (c *chaos) makeQueue(name string, attributes map[string]string) (url string) {
	c.Helper()
	out, err := c.queue.CreateQueue(c.ctx, &awssqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
	c.must(err)
	return *out.QueueUrl
}

func producerName(i int) string   { return fmt.Sprintf("team%d", i) }
func producerSource(i int) string { return fmt.Sprintf("https://team%d.example/", i) }

// makeTrust makes the producers' keys, and the files that workers trust.
func (c *chaos) makeTrust() {
	c.Helper()
	var list []*trust.Key
	for i := range chaosProducers {
		signer, err := keys.GenerateSigner(keys.Ed25519, producerName(i))
		c.must(err)
		c.signers = append(c.signers, signer)
		list = append(list, &trust.Key{
			Verifier: signer.Verifier(), Producer: producerName(i),
			Sources: []string{producerSource(i) + "*"}, Types: []string{"com.example.*"},
			Accounts: []string{"000000000000"},
		})
		c.config.Sources = append(c.config.Sources, producerSource(i)+"*")
	}
	list = append(list, c.makeTeams()...)
	root, err := trust.GenerateRootKey(keys.Ed25519)
	c.must(err)
	roots, err := trust.NewRoots(1, 1, root.Verifier())
	c.must(err)
	bundle, err := trust.NewBundle(trust.BundleOptions{Version: 1, Issued: time.Now().Add(-time.Minute),
		Expires: time.Now().Add(24 * time.Hour)}, list...)
	c.must(err)
	signed, err := trust.SignBundle(c.ctx, bundle, root)
	c.must(err)
	pinned, err := trust.SignRoots(c.ctx, roots, root)
	c.must(err)
	dir := c.TempDir()
	c.config.Bundle, c.config.Roots = filepath.Join(dir, "bundle.dsse"), filepath.Join(dir, "roots.json")
	c.must(os.WriteFile(c.config.Bundle, signed, 0o600))
	c.must(os.WriteFile(c.config.Roots, pinned, 0o600))
}

// run plays it all, and then looks at what happened.
func (c *chaos) run() {
	c.Helper()
	for range chaosWorkers {
		c.startWorker()
	}
	var producers sync.WaitGroup
	c.trouble.Go(c.makeTrouble)
	for i := range chaosProducers {
		producers.Go(func() { c.produce(i) })
	}
	producers.Wait()
	c.await("every genuine event is handled", func() bool { return c.left() == 0 })
	c.over() // no more trouble
	c.trouble.Wait()
	c.await("the queue is empty", func() bool { return c.depth(c.config.Queue) == 0 })
	c.stopWorkers()
	c.judge()
}

// await looks until it is so, for as long as there is progress.
func (c *chaos) await(what string, so func() bool) {
	c.Helper()
	for !so() {
		c.mu.Lock()
		idle := time.Since(c.progress)
		c.mu.Unlock()
		if err := c.askStore(idle); err != nil { // an emulator that hangs: an operator would do the same
			c.Logf("no progress for %v, and the store says %v: its server starts again. It said:\n%s", idle, err,
				c.server.output)
			c.server.kill()
			c.server.restart()
		}
		if idle > chaosPatience {
			c.Fatalf("no progress for %v before %s; %d are left, the queue holds %d, the dead-letter queue %d; "+
				"%d workers, %d kills, %d freezes; the store says: %v", idle, what, c.left(),
				c.depth(c.config.Queue), c.depth(c.deadURL), c.running(), c.kills.Load(), c.freezes.Load(),
				c.claim())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// askStore asks the store once in a while, when there is no progress. An error says that the store is at
// fault.
func (c *chaos) askStore(idle time.Duration) error {
	if idle < chaosRestart || time.Since(c.asked) < chaosRestart {
		return nil
	}
	c.asked = time.Now()
	return c.claim()
}

// claim is what the store says to a claim of the test itself.
func (c *chaos) claim() error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), 10*time.Second)
	defer cancel()
	var key [32]byte
	rand.Read(key[:])
	_, _, err := c.store.Claim(ctx, key, key, time.Now().Add(time.Hour), time.Second)
	return err
}

func (c *chaos) running() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.workers)
}

func (c *chaos) left() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.waiting
}

// depth is how many messages a queue holds, those in flight included.
func (c *chaos) depth(url string) (n int) {
	names := []sqsAttribute{"ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible",
		"ApproximateNumberOfMessagesDelayed"}
	out, err := c.queue.GetQueueAttributes(context.WithoutCancel(c.ctx),
		&awssqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: names})
	if err != nil {
		c.Errorf("depth of %s: %v", url, err)
		return 0
	}
	for _, text := range out.Attributes {
		count, _ := strconv.Atoi(text)
		n += count
	}
	return n
}

// produce publishes one producer's share, and forgeries between.
func (c *chaos) produce(team int) {
	bus, err := eventbridge.New(c.bus, "central", &eventbridge.Options{RetryFor: chaosPatience})
	if err != nil {
		c.Error(err)
		return
	}
	p, err := producer.New(c.teams[team].signs, bus, &producer.Options{
		Audience: chaosAudience, Encrypt: c.teams[team].encrypt, EncryptFields: c.teams[team].fields,
	})
	if err != nil {
		c.Error(err)
		return
	}
	for from := 0; from < c.events/chaosProducers; from += chaosBatch {
		for c.left() > chaosBacklog && c.ctx.Err() == nil {
			time.Sleep(5 * time.Millisecond)
		}
		var batch []event.Event
		for i := from; i < min(from+chaosBatch, c.events/chaosProducers); i++ {
			batch = append(batch, order(team, fmt.Sprintf("team%d-%d", team, i), i))
		}
		c.expect(batch)
		if err := c.publish(p, batch); err != nil {
			c.Errorf("Publish: %v", err)
			return
		}
		c.forge(team, len(batch)/10)
	}
}

func order(team int, id string, n int) event.Event {
	ev := event.New()
	ev.SetID(id)
	ev.SetSource(producerSource(team) + "orders")
	ev.SetType("com.example.order.placed")
	ev.SetTime(time.Now())
	data := fmt.Sprintf(`{"amount":%d.5,"customer":"Zoë \"%d\"","lines":[{"qty":2,"sku":"A/1"},{"qty":1,"sku":"B"}],"note":null}`, n, team)
	if err := ev.SetData("application/json", json.RawMessage(data)); err != nil {
		panic(err)
	}
	return ev
}

// expect notes events before they are published: a worker may be faster than the answer.
func (c *chaos) expect(batch []event.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, ev := range batch {
		c.genuine[ev.ID()] = &story{}
	}
	c.waiting += len(batch)
}

func (c *chaos) startWorker() {
	cmd := exec.Command(c.program)
	config, err := json.Marshal(c.config)
	if err != nil {
		c.Error(err)
		return
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	in, err1 := cmd.StdinPipe() // held open: the worker ends with it
	out, err2 := cmd.StdoutPipe()
	err = errors.Join(err1, err2)
	if err == nil {
		err = cmd.Start()
	}
	if err == nil {
		_, err = in.Write(config)
	}
	if err != nil {
		c.Errorf("a worker does not start: %v", err)
		return
	}
	p := &process{cmd: cmd, open: map[string][]*effect{}, done: make(chan struct{})}
	c.mu.Lock()
	c.workers = append(c.workers, p)
	c.mu.Unlock()
	go func() {
		defer close(p.done)
		c.listen(p, out)
		if err := cmd.Wait(); err != nil && cmd.ProcessState.ExitCode() > 0 {
			c.Errorf("a worker failed: %v\n%s", err, &stderr)
		}
		c.bury(p)
	}()
}

// listen reads what a worker did until it ends.
func (c *chaos) listen(p *process, out io.Reader) {
	for lines := bufio.NewScanner(out); lines.Scan(); {
		words := strings.Fields(lines.Text())
		switch {
		case len(words) == 3 && words[0] == "effect":
			c.hadEffect(p, words[1], words[2])
		case len(words) == 1 && words[0] == "linger":
			c.tempt(p)
		case len(words) == 4 && words[0] == "end":
			c.hadEnd(p, words[1], words[2]+" "+words[3])
		case len(words) != 1 || words[0] != "ready":
			c.Errorf("a worker said %q", lines.Text())
		}
	}
}

func (c *chaos) hadEffect(p *process, key, id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.progress = time.Now()
	s := c.genuine[id]
	if s == nil {
		c.Errorf("the handler was given %q, which nobody published", id)
		return
	}
	e := &effect{key: key}
	s.effects = append(s.effects, e)
	p.open[key] = append(p.open[key], e)
	if len(s.effects) == 1 {
		c.waiting--
	}
}

func (c *chaos) hadEnd(p *process, key, end string) {
	if end == "retry handler_failed" {
		return // before its effect
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(p.open[key]) == 0 {
		c.Errorf("a delivery ended as %q without an effect", end)
		return
	}
	p.open[key][0].end = end
	if p.open[key] = p.open[key][1:]; len(p.open[key]) == 0 {
		delete(p.open, key)
	}
}

// bury notes what the process took with it.
func (c *chaos) bury(p *process) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, list := range p.open {
		for _, e := range list {
			e.end = "killed"
		}
	}
	for i, w := range c.workers {
		if w == p {
			c.workers = append(c.workers[:i], c.workers[i+1:]...)
			break
		}
	}
}

// tempt is given a process between an effect and its completion.
func (c *chaos) tempt(p *process) {
	switch mathrand.IntN(4) {
	case 0:
		c.kill(p)
	case 1:
		c.trouble.Go(func() { c.freeze(p) })
	}
}

func (c *chaos) kill(p *process) {
	if c.ctx.Err() != nil || p.doomed.Swap(true) {
		return
	}
	if p.cmd.Process.Kill() == nil {
		c.kills.Add(1)
		c.startWorker()
	}
}

// makeTrouble kills and freezes processes at moments that have nothing to do with what they are doing.
func (c *chaos) makeTrouble() {
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-time.After(time.Duration(mathrand.IntN(2000)) * time.Millisecond):
		}
		c.mu.Lock()
		var p *process
		if len(c.workers) > 0 {
			p = c.workers[mathrand.IntN(len(c.workers))]
		}
		c.mu.Unlock()
		switch {
		case p == nil:
		case mathrand.IntN(3) == 0:
			c.freeze(p)
		default:
			c.kill(p)
		}
	}
}

// freeze stops a process for longer than its claims live, as Lambda does between invocations.
func (c *chaos) freeze(p *process) {
	if c.ctx.Err() != nil || p.cmd.Process.Signal(syscall.SIGSTOP) != nil {
		return
	}
	c.freezes.Add(1)
	time.Sleep(chaosFreeze)
	p.cmd.Process.Signal(syscall.SIGCONT)
}

// stopWorkers lets them finish.
func (c *chaos) stopWorkers() {
	c.Helper()
	c.mu.Lock()
	workers := append([]*process(nil), c.workers...)
	c.mu.Unlock()
	for _, p := range workers {
		p.cmd.Process.Signal(syscall.SIGTERM)
	}
	for _, p := range workers {
		<-p.done
	}
}

// killWorkers leaves no process behind, however the test ends.
func (c *chaos) killWorkers() {
	c.mu.Lock()
	workers := append([]*process(nil), c.workers...)
	c.mu.Unlock()
	for _, p := range workers {
		p.doomed.Store(true)
		p.cmd.Process.Kill()
		<-p.done
	}
}

// judge holds what happened against what was promised.
func (c *chaos) judge() {
	c.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	why := map[string]int{}
	again := 0
	for id, s := range c.genuine {
		c.judgeEffects(id, s, why)
		again += len(s.effects) - 1
	}
	c.completed()
	forgeries := c.quarantined()
	if n := c.depth(c.deadURL); n > 0 {
		c.Errorf("%d messages are in the dead-letter queue", n)
	}
	c.Logf("%d events, %d forgeries; %d kills, %d freezes; %d effects were had again, for %v",
		len(c.genuine), forgeries, c.kills.Load(), c.freezes.Load(), again, why)
}

// judgeEffects: at least one effect, at most one completion, one key, and a reason for every effect that
// another followed.
func (c *chaos) judgeEffects(id string, s *story, why map[string]int) {
	c.Helper()
	if len(s.effects) == 0 {
		c.Errorf("%s was never handled", id)
		return
	}
	handled, excused := 0, 0
	for _, e := range s.effects {
		if e.key != s.effects[0].key {
			c.Errorf("%s has two idempotency keys", id)
		}
		switch e.end {
		case "handled -":
			handled++
		case "killed", "retry in_progress", "retry store_unavailable": // a kill, a lost lease, an outage
			excused++
			if len(s.effects) > 1 {
				why[e.end]++
			}
		default:
			c.Errorf("%s: a delivery with an effect ended as %q", id, e.end)
		}
	}
	if handled > 1 {
		c.Errorf("%s was completed %d times", id, handled)
	}
	if len(s.effects)-1 > excused {
		c.Errorf("%s had %d effects, and %d have an excuse", id, len(s.effects), excused)
	}
}

// completed asks the store itself: a worker that was killed could not tell that it had completed.
func (c *chaos) completed() {
	c.Helper()
	ids := make(chan string)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for id := range ids {
				c.checkCompleted(id, c.genuine[id].effects)
			}
		})
	}
	for id := range c.genuine {
		ids <- id
	}
	close(ids)
	wg.Wait()
}

func (c *chaos) checkCompleted(id string, effects []*effect) {
	if len(effects) == 0 {
		return
	}
	var key, digest [32]byte
	if _, err := hex.Decode(key[:], []byte(effects[0].key)); err != nil {
		c.Errorf("%s: %v", id, err)
		return
	}
	_, status, err := c.store.Claim(c.Context(), key, digest, time.Now().Add(time.Hour), time.Minute)
	if err != nil || status != replay.Completed && status != replay.CompletedOther {
		c.Errorf("%s is not completed: %v, %v", id, status, err)
	}
}
