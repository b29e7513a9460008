package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awseventbridge "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"github.com/sealbus/sealbus/internal/localaws"
)

// central is a fake EventBridge with the bus "central", and what its one target got.
type central struct {
	url   string
	drain func()
	mu    sync.Mutex
	got   []string
}

// newCentral also keeps the AWS configuration of the machine out of the test.
func newCentral(b *bench, opts *localaws.Options) *central {
	b.t.Helper()
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": b.path("none"), "AWS_SHARED_CREDENTIALS_FILE": b.path("none"), "AWS_PROFILE": "", "AWS_ENDPOINT_URL": "", "AWS_ENDPOINT_URL_EVENTBRIDGE": "",
	} {
		b.t.Setenv(name, value)
	}
	server, err := localaws.Start(opts)
	b.check(err)
	b.t.Cleanup(func() { b.check(server.Close()) })
	c := &central{url: server.URL()}
	client := awseventbridge.New(awseventbridge.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(c.url), Credentials: credentials.NewStaticCredentialsProvider("AKIAEXAMPLE", "secret", ""),
	})
	name, rule := aws.String("central"), aws.String("all")
	_, err = client.CreateEventBus(b.t.Context(), &awseventbridge.CreateEventBusInput{Name: name})
	b.check(err)
	_, err = client.PutRule(b.t.Context(), &awseventbridge.PutRuleInput{Name: rule, EventBusName: name, EventPattern: aws.String(`{"source":[{"exists":true}]}`)})
	b.check(err)
	_, err = client.PutTargets(b.t.Context(), &awseventbridge.PutTargetsInput{Rule: rule, EventBusName: name, Targets: []types.Target{{
		Id: aws.String("1"), Arn: aws.String(server.Function("f", func(_ context.Context, event []byte) error {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.got = append(c.got, string(event))
			return nil
		})),
	}}})
	b.check(err)
	c.drain = func() { b.check(server.Drain(b.t.Context())) }
	return c
}

func (b *bench) publish(c *central, more ...string) []string {
	return append([]string{"publish", "--keyring", b.path("shop.keyring"), "--insecure-no-passphrase", "--bus", "central", "--endpoint", c.url}, more...)
}

func newShop(t *testing.T, opts *localaws.Options) (*bench, *central) {
	b := newBench(t)
	b.org([]string{"000000000000"}, orderSource)
	return b, newCentral(b, opts)
}

func order(id string) string { return strings.Replace(orderEvent, `"o-1"`, `"`+id+`"`, 1) }

// TestPublish: what is published can be opened by who gets it, in both layouts, from every form of input.
func TestPublish(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		more []string
		want int
	}{
		"one event":     {order("o-1"), nil, 1},
		"pretty":        {reformatted(t, []byte(order("o-1"))), nil, 1},
		"lines":         {order("o-1") + "\n\n" + order("o-2") + "\r\n" + order("o-3"), nil, 3},
		"array":         {" [" + order("o-1") + "," + order("o-2") + "]\n", nil, 2},
		"embedded":      {order("o-1"), []string{"--layout", "embedded", "--audience", "central", "--expires", "1h"}, 1},
		"exact":         {order("o-1"), []string{"--exact"}, 1},
		"explicit file": {order("o-1"), []string{"-"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			b, bus := newShop(t, nil)
			r := b.run(c.in, b.publish(bus, c.more...)...)
			if want := fmt.Sprintf("published %d of %s to central\n", c.want, count(c.want, "event")); r.code != 0 || r.stdout != want {
				t.Fatalf("exit %d\n%s%s", r.code, r.stdout, r.stderr)
			}
			bus.drain()
			if len(bus.got) != c.want {
				t.Fatalf("%d deliveries", len(bus.got))
			}
			for _, delivery := range bus.got {
				b.must(delivery, b.open(orderSource)...)
			}
		})
	}
}

func TestPublishFile(t *testing.T) {
	b, bus := newShop(t, nil)
	var lines strings.Builder
	const n = 1200 // more than a batch, and than an array may have
	for i := range n {
		lines.WriteString(order(fmt.Sprint("o-", i)) + "\n")
	}
	b.check(os.WriteFile(b.path("events.jsonl"), []byte(lines.String()), 0o600))
	r := b.run("", b.publish(bus, "--output", "json", b.path("events.jsonl"))...)
	if r.code != 0 || !strings.Contains(r.stderr, "500 of 1200 events done") {
		t.Fatalf("exit %d\n%s", r.code, r.stderr)
	}
	for i, line := range strings.Split(strings.TrimSpace(r.stdout), "\n") {
		if want := fmt.Sprintf(`{"id":"o-%d","published":true}`, i); line != want {
			t.Fatalf("line %d: %s", i, line)
		}
	}
	if r := b.run("["+strings.Repeat(order("o")+",", 1000)+order("o")+"]", b.publish(bus)...); r.code != exitRejected || !strings.Contains(r.stderr, "one event a line") {
		t.Errorf("a large array: exit %d\n%s", r.code, r.stderr)
	}
}

// TestPublishPartly: every event has its line, and the exit status tells whether trying again helps.
func TestPublishPartly(t *testing.T) {
	large := strings.Replace(order("large"), `12.50`, `"`+strings.Repeat("x", 1<<20)+`"`, 1)
	scalar := strings.Replace(order("scalar"), `{"total":12.50,"item":"chair"}`, `7`, 1)
	results := func(out string) (list []publishedResult) {
		for line := range strings.Lines(out) {
			var r publishedResult
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				t.Fatal(err)
			}
			list = append(list, r)
		}
		return list
	}
	t.Run("refused", func(t *testing.T) {
		b, bus := newShop(t, nil)
		r := b.run(order("o-1")+scalar+order("o-2"), b.publish(bus, "--layout", "embedded", "--output", "json")...)
		list := results(r.stdout)
		if r.code != exitRejected || len(list) != 3 || !list[0].Published || !list[2].Published || list[1].Error != "rejected" || list[1].Fix == "" {
			t.Errorf("exit %d\n%s%s", r.code, r.stdout, r.stderr)
		}
	})
	t.Run("too large", func(t *testing.T) {
		b, bus := newShop(t, nil)
		if r := b.run(large+order("o-2"), b.publish(bus)...); r.code != exitRejected || bus.got != nil {
			t.Errorf("exit %d\n%.500s", r.code, r.stderr)
		}
	})
	t.Run("throttled", func(t *testing.T) {
		b, bus := newShop(t, &localaws.Options{Faults: localaws.Faults{EntryThrottled: 1}})
		r := b.run(order("o-1")+order("o-2"), b.publish(bus, "--output", "json", "--retry-for", "0s")...)
		list := results(r.stdout)
		if r.code != exitUnavailable || len(list) != 2 || list[0].Error != "unavailable" || list[1].Code != "ThrottlingException" || list[1].Published {
			t.Errorf("exit %d\n%s%s", r.code, r.stdout, r.stderr)
		}
	})
	t.Run("throttled, then refused", func(t *testing.T) {
		b, bus := newShop(t, &localaws.Options{Faults: localaws.Faults{EntryThrottled: 1}})
		if r := b.run(order("o-1")+scalar, b.publish(bus, "--layout", "embedded", "--retry-for", "0s")...); r.code != exitUnavailable {
			t.Errorf("exit %d\n%s%s", r.code, r.stdout, r.stderr)
		}
	})
	t.Run("told to people", func(t *testing.T) {
		b, bus := newShop(t, &localaws.Options{Faults: localaws.Faults{EntryThrottled: 1}})
		r := b.run(strings.Repeat(order("o-1"), 15), b.publish(bus, "--retry-for", "0s")...)
		if r.code != exitUnavailable || strings.Count(r.stderr, "was not published") != shownFailures || !strings.Contains(r.stderr, "and 5 more") || r.stdout != "published 0 of 15 events to central\n" {
			t.Errorf("exit %d\n%s%s", r.code, r.stdout, r.stderr)
		}
	})
}

// TestPublishRefuses: nothing is sent, and the error says what to do.
func TestPublishRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		args []string
		code int
		says string
	}{
		"empty":           {"", nil, exitRejected, "standard input is empty"},
		"not JSON":        {"hello", nil, exitRejected, "not a JSON object"},
		"cut":             {order("o-1") + order("o-2")[:50], nil, exitRejected, "record 2 (at byte "},
		"no CloudEvent":   {order("o-1") + `{"a":1}`, nil, exitRejected, "event 2 of 2"},
		"foreign source":  {order("o-1") + strings.Replace(order("o-2"), "shop.example", "bank.example", 1), nil, exitRejected, "does not speak for"},
		"missing bus":     {order("o-1"), []string{"--bus", "centrall"}, exitUsage, "does not exist"},
		"no name of one":  {order("o-1"), []string{"--bus", "a bus"}, exitUsage, "--bus"},
		"no URL":          {order("o-1"), []string{"--endpoint", "localhost:4566"}, exitUsage, "https://HOST"},
		"no bus":          {order("o-1"), []string{"--bus", ""}, exitUsage, "--bus"},
		"short life":      {order("o-1"), []string{"--expires", "1ms"}, exitUsage, "at least 1s"},
		"two files":       {order("o-1"), []string{"a", "b"}, exitUsage, "unexpected argument"},
		"file is missing": {"", []string{"nowhere.json"}, exitUsage, "does not exist"},
	} {
		t.Run(name, func(t *testing.T) {
			b, bus := newShop(t, nil)
			r := b.run(c.in, b.publish(bus, c.args...)...)
			if r.code != c.code || !strings.Contains(r.stderr, c.says) || bus.got != nil {
				t.Errorf("exit %d, %d deliveries\n%s%s", r.code, len(bus.got), r.stdout, r.stderr)
			}
		})
	}
}

func TestPublishNeedsAWS(t *testing.T) {
	b, bus := newShop(t, nil)
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_DEFAULT_REGION", "")
	if r := b.run(order("o-1"), b.publish(bus)...); r.code != exitUsage || !strings.Contains(r.stderr, "--region") {
		t.Errorf("without a region: exit %d\n%s", r.code, r.stderr)
	}
	b.must(order("o-1"), b.publish(bus, "--region", "eu-west-1")...)
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	if r := b.run(order("o-1"), b.publish(bus, "--region", "eu-west-1")...); r.code != exitUsage || !strings.Contains(r.stderr, "no AWS credentials") {
		t.Errorf("without credentials: exit %d\n%s", r.code, r.stderr)
	}
}

// The SDK has a logger of its own on standard error: nothing of it is for whoever runs the command.
func TestPublishSilencesTheSDK(t *testing.T) {
	b, bus := newShop(t, nil)
	metadata := httptest.NewServer(http.NotFoundHandler()) // no token: the SDK warns that it falls back to IMDSv1
	t.Cleanup(metadata.Close)
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata.URL,
	} {
		t.Setenv(name, value)
	}
	logged, err := os.Create(b.path("stderr"))
	b.check(err)
	was := os.Stderr
	os.Stderr = logged
	r := b.run(order("o-1"), b.publish(bus)...)
	os.Stderr = was
	b.check(logged.Close())
	got, err := os.ReadFile(logged.Name())
	b.check(err)
	if r.code != exitUsage || len(got) > 0 {
		t.Errorf("exit %d, the SDK wrote %q", r.code, got)
	}
}

// PutEvents alone is permission enough.
func TestPublishWithPutEventsAlone(t *testing.T) {
	b, bus := newShop(t, &localaws.Options{Deny: func(action string) bool { return action == "DescribeEventBus" }})
	b.must(order("o-1"), b.publish(bus)...)
	b2, bus2 := newShop(t, &localaws.Options{Deny: func(action string) bool { return action == "PutEvents" }})
	if r := b2.run(order("o-1"), b2.publish(bus2)...); r.code != exitUsage || !strings.Contains(r.stderr, "events:PutEvents") {
		t.Errorf("without it: exit %d\n%s", r.code, r.stderr)
	}
}

// TestPublishMaybeTwice: an answer that is lost after EventBridge has acted is told, to people and to
// programs.
func TestPublishMaybeTwice(t *testing.T) {
	lose := func(first int) *localaws.Options { // the answers to so many calls
		puts := 0
		return &localaws.Options{Faults: localaws.Faults{Script: func(action string, _ int) localaws.CallFault {
			if action != "PutEvents" {
				return localaws.NoFault
			}
			if puts++; puts > first {
				return localaws.NoFault
			}
			return localaws.CutAfter
		}}}
	}
	t.Run("published", func(t *testing.T) {
		b, bus := newShop(t, lose(1))
		const says = "sealbus: 2 events may be on the bus twice: an answer was lost, and the call repeated\n" +
			"sealbus:   nothing needs to be done: consumers handle an event once\n"
		r := b.run(order("o-1")+order("o-2"), b.publish(bus)...)
		if r.code != 0 || r.stdout != "published 2 of 2 events to central\n" || r.stderr != says {
			t.Errorf("exit %d\n%s%s", r.code, r.stdout, r.stderr)
		}
		if bus.drain(); len(bus.got) != 4 {
			t.Errorf("%d deliveries, want each twice", len(bus.got))
		}
	})
	t.Run("for programs", func(t *testing.T) {
		b, bus := newShop(t, lose(1))
		r := b.run(order("o-1"), b.publish(bus, "--output", "json")...)
		if want := `{"id":"o-1","published":true,"may_be_on_bus_twice":true}` + "\n"; r.code != 0 || r.stdout != want {
			t.Errorf("exit %d\n%s%s", r.code, r.stdout, r.stderr)
		}
	})
	t.Run("not published", func(t *testing.T) {
		b, bus := newShop(t, lose(1))
		r := b.run(order("o-1"), b.publish(bus, "--retry-for", "0s")...)
		if r.code != exitUnavailable || !strings.Contains(r.stderr, "published again, it may be on the bus twice: consumers handle it once") {
			t.Errorf("exit %d\n%s%s", r.code, r.stdout, r.stderr)
		}
	})
	t.Run("no answer was lost", func(t *testing.T) {
		b, bus := newShop(t, lose(0))
		if r := b.run(order("o-1"), b.publish(bus)...); r.code != 0 || r.stderr != "" {
			t.Errorf("exit %d\n%s%s", r.code, r.stdout, r.stderr)
		}
	})
}
