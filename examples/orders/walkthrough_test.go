package orders_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awseventbridge "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/examples/orders/orderstest"
)

// block is a marked block of README.md: what is run, what the AWS command line does and the test does
// instead, and what comes out of the block before.
var block = regexp.MustCompile("(?s)<!-- (set up|run|output|aws: [a-z ]+) -->\n```[a-z]+\n(.*?)```")

type step struct{ kind, text string }

func steps(t *testing.T) (list []step) {
	t.Helper()
	doc, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range block.FindAllStringSubmatch(string(doc), -1) {
		list = append(list, step{m[1], m[2]})
	}
	if fences := strings.Count(string(doc), "\n```sh\n"); fences == 0 || fences != len(list)-outputs(list) {
		t.Fatalf("%d blocks of commands, %d of them marked", fences, len(list)-outputs(list))
	}
	return list
}

func outputs(list []step) (n int) {
	for _, s := range list {
		if s.kind == "output" {
			n++
		}
	}
	return n
}

// walk is one reader, who goes through README.md with an AWS inside the process.
type walk struct {
	*testing.T
	w     *orderstest.World
	shell *shell
	dir   string
	last  string // what came out of the last block

	shop, mails *orderstest.Function
	bills       atomic.Pointer[orderstest.Function] // the queue invokes it at any time
	queue       string                              // its ARN
}

// TestWalkThrough: every sealbus command of README.md is run, and comes to what it says.
func TestWalkThrough(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("it takes bash")
	}
	wk := &walk{T: t, w: orderstest.New(t, nil), dir: t.TempDir()}
	wk.shell = newShell(t, bash, wk.dir, wk.environment())
	done := make(map[string]bool)
	for _, s := range steps(t) {
		switch name, isAWS := strings.CutPrefix(s.kind, "aws: "); {
		case isAWS:
			do := wk.instead()[name]
			if do == nil {
				t.Fatalf("README.md has the commands %q, and the test nothing instead", name)
			}
			do()
			done[name] = true
		case s.kind == "run":
			wk.last = wk.shell.run(t, s.text)
			t.Log(wk.last)
		case s.kind == "output":
			if got, want := settled(wk.last), settled(s.text); !strings.Contains(got, want) {
				t.Errorf("README.md says\n%s\nwhat came out is\n%s", want, got)
			}
		}
	}
	for name := range wk.instead() {
		if !done[name] {
			t.Errorf("README.md no longer has %q", name)
		}
	}
	wk.end()
}

// environment leads the commands to the AWS of the test, and has what stacks put out.
func (wk *walk) environment() []string {
	bin := wk.TempDir()
	if err := os.Symlink(orderstest.Build(wk, "cmd/sealbus"), filepath.Join(bin, "sealbus")); err != nil {
		wk.Fatal(err)
	}
	config := filepath.Join(bin, "config")
	if err := os.WriteFile(config, []byte("[profile producer]\n[profile consumer]\n"), 0o600); err != nil {
		wk.Fatal(err)
	}
	return append(wk.w.AWSEnv(), "PATH="+bin+":"+os.Getenv("PATH"), "HOME="+wk.dir, "AWS_CONFIG_FILE="+
		config, "AWS_SHARED_CREDENTIALS_FILE="+config,
		"ORDERS_ACCOUNT="+orderstest.Account, "CENTRAL_BUS=central", "QUARANTINE_BUCKET="+
			wk.w.QuarantineBucket(),
		"BILLING_QUEUE="+wk.w.Bus.URL()+"/"+orderstest.Account+"/billing")
}

func (wk *walk) file(name string) []byte {
	wk.Helper()
	content, err := os.ReadFile(filepath.Join(wk.dir, name))
	if err != nil {
		wk.Fatal(err)
	}
	return content
}

// instead is what the test does where the reader has AWS do something.
func (wk *walk) instead() map[string]func() {
	return map[string]func(){
		"build":                    func() { orderstest.Build(wk, billing); orderstest.Build(wk, producer) },
		"deploy central":           func() {},
		"publish the bundle":       func() { wk.w.Trust(wk.file("roots.json"), wk.file("trust.dsse"), wk.file("orders.keyring")) },
		"deploy consumers":         wk.deploy,
		"deploy producer":          func() { wk.shop = wk.w.Start(producer, wk.w.ProducerEnv("central")) },
		"doctor":                   func() {},
		"invoke the producer":      wk.invokeProducer,
		"look":                     func() { wk.charged("o-1", "o-2") },
		"put the forged event":     wk.putForged,
		"fetch the quarantine key": wk.fetchKey,
		"wait for the verdict":     func() { drain(wk.T, wk.w, wk.queue) },
		"publish the next bundle":  wk.publishNext,
		"look again":               func() { wk.charged("o-1", "o-2", "o-4") },
	}
}

func (wk *walk) deploy() {
	wk.bills.Store(wk.w.Start(billing, wk.w.ConsumerEnv()))
	wk.mails = wk.w.Start(mailer, wk.w.ConsumerEnv())
	wk.queue = topologyOf(wk.T, wk.w, wk.bills.Load, func() *orderstest.Function { return wk.mails })
}

func (wk *walk) invokeProducer() {
	if _, err := wk.shop.Invoke(wk.Context(),
		[]byte(`{"order":"o-1","total":12.50,"currency":"EUR"}`)); err != nil {
		wk.Fatalf("%v\n%s", err, wk.shop.Log())
	}
}

// charged waits for all deliveries, and wants these orders charged and no others.
func (wk *walk) charged(want ...string) {
	wk.Helper()
	drain(wk.T, wk.w, wk.queue)
	var got []string
	for _, id := range wk.w.Tables.Charges("order") {
		got = append(got, id)
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		wk.Fatalf("charged are %v, not %v\n%s", got, want, wk.bills.Load().Log())
	}
}

func (wk *walk) putForged() {
	var entries []struct{ Source, DetailType, Detail, EventBusName string }
	if err := json.Unmarshal(wk.file("forged.json"), &entries); err != nil || len(entries) != 1 ||
		!strings.Contains(entries[0].Detail, "0.01") {
		wk.Fatalf("%v: %+v", err, entries)
	}
	e := entries[0]
	client, _ := clients(wk.w)
	out, err := client.PutEvents(wk.Context(),
		&awseventbridge.PutEventsInput{Entries: []types.PutEventsRequestEntry{{
			EventBusName: &e.EventBusName, Source: &e.Source, DetailType: &e.DetailType,
			Detail: aws.String(e.Detail),
		}}})
	if err != nil || out.FailedEntryCount > 0 {
		wk.Fatalf("%v %+v", err, out)
	}
	drain(wk.T, wk.w, wk.queue)
}

func (wk *walk) fetchKey() {
	wk.shell.run(wk.T, "export AWS_PROFILE=consumer\n")
	if err := os.WriteFile(filepath.Join(wk.dir, "quarantine.key"), []byte(wk.w.QuarantineKey()+"\n"),
		0o600); err != nil {
		wk.Fatal(err)
	}
}

// publishNext publishes the bundle and, instead of waiting until the function asks for it, starts the
// function anew.
func (wk *walk) publishNext() {
	wk.w.PutBundle(wk.file("trust.dsse"))
	old := wk.bills.Swap(wk.w.Start(billing, wk.w.ConsumerEnv()))
	old.Kill()
}

// end: what is in quarantine at the end is the forged event alone.
func (wk *walk) end() {
	reasons := wk.w.Reasons("billing")
	if len(reasons) != 1 || reasons[envelope.ReasonModified] != 1 {
		wk.Errorf("in quarantine: %v", reasons)
	}
}

// shell is a bash that goes on from block to block.
type shell struct {
	in  io.WriteCloser
	out *bufio.Reader
}

const endOfBlock = "--- end of block ---"

func newShell(t *testing.T, bash, dir string, env []string) *shell {
	t.Helper()
	cmd := exec.Command(bash, "-eu", "-o", "pipefail")
	cmd.Dir, cmd.Env = dir, env
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	return &shell{in, bufio.NewReader(out)}
}

// run runs a block, which must not fail, and returns what it writes.
func (s *shell) run(t *testing.T, text string) string {
	t.Helper()
	if _, err := fmt.Fprintf(s.in, "{\n%s\n} </dev/null\necho '%s'\n", text, endOfBlock); err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for {
		line, err := s.out.ReadString('\n')
		if line == endOfBlock+"\n" {
			return all.String()
		}
		all.WriteString(line)
		if err != nil {
			t.Fatalf("%s\nfailed:\n%s", text, &all)
		}
	}
}

var changing = []struct {
	re   *regexp.Regexp
	text string
}{
	{regexp.MustCompile(`\d{4}-?\d\d-?\d\dT[0-9:.]+Z(-[0-9a-f]+…?)?`), "TIME"},
	{regexp.MustCompile(`[A-Za-z0-9_-]{12}…`), "KEY"},
	{regexp.MustCompile(`[A-Za-z0-9_-]{43}`), "KEY"},
	{regexp.MustCompile(` +`), " "},
}

// settled is text without what is another each time.
func settled(text string) string {
	for _, c := range changing {
		text = c.re.ReplaceAllString(text, c.text)
	}
	return text
}

// sealbusCommand is one in a block, with its flags.
var sealbusCommand = regexp.MustCompile(`sealbus ((?:[a-z]+ ?)+)((?:\\\n|[^\n|;&#])*)`)

// TestFlagsOfCommands: also a command that takes AWS has the flags that it is given.
func TestFlagsOfCommands(t *testing.T) {
	sealbus, looked := orderstest.Build(t, "cmd/sealbus"), 0
	for _, s := range steps(t) {
		for _, m := range sealbusCommand.FindAllStringSubmatch(s.text, -1) {
			words := strings.Fields(m[1])
			words = words[:min(len(words), 3)]
			help, err := exec.Command(sealbus, append(words, "--help")...).CombinedOutput()
			if err != nil {
				t.Errorf("sealbus %s --help: %v\n%s", m[1], err, help)
			}
			for _, flag := range regexp.MustCompile(`--[a-z-]+`).FindAllString(m[2], -1) {
				if looked++; !strings.Contains(string(help), "\n  "+flag+" ") {
					t.Errorf("sealbus %s has no %s", m[1], flag)
				}
			}
		}
	}
	if looked < 30 {
		t.Errorf("only %d flags were found", looked)
	}
}
