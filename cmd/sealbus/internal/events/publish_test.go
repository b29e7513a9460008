package events_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
	cmd "github.com/sealbus/sealbus/cmd/sealbus/internal/events"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/internal/localaws"
)

func TestPublishEncrypted(t *testing.T) {
	b, bus := clitest.NewShop(t, nil)
	identity := b.SecretOrg()
	if r := b.Run(clitest.Order("o-1"), b.Publish(bus, "--encrypt-to",
		"unknown")...); r.Code != ui.ExitUsage {
		t.Errorf("exit %d, %s", r.Code, r.Stderr)
	}
	b.Now = b.Now.Add(time.Hour) // consumers know the key of a new bundle
	b.Must(clitest.Order("o-1")+"\n"+clitest.Order("o-2"),
		b.Publish(bus, b.WithTrust("--encrypt-to", "billing", "--field", "/item", "--layout",
			"embedded")...)...)
	bus.Drain()
	if len(bus.Got) != 2 {
		t.Fatalf("%d deliveries", len(bus.Got))
	}
	jwk, err := identity.UnsafePrivateJWK()
	b.Check(err)
	b.Check(os.WriteFile(b.Path("private.jwk"), jwk, 0o600))
	for _, delivery := range bus.Got {
		if strings.Contains(delivery, "chair") || !strings.Contains(delivery, `"total":12.5`) {
			t.Errorf("%s", delivery)
		}
		if out := b.Must(delivery, b.Open(clitest.OrderSource, "--identity",
			b.Path("private.jwk"))...); !strings.Contains(out, `"item":"chair"`) {
			t.Errorf("%s", out)
		}
	}
}

// An event is sent only if consumers know the key by now. The bundle's host does not stop the producer.
func TestPublishTrust(t *testing.T) {
	b, bus := clitest.NewShop(t, nil)
	b.SecretOrg()
	publish := func(exit int, stdout, stderr string, more ...string) {
		t.Helper()
		r := b.Run(clitest.Order("o-1"), b.Publish(bus, b.WithTrust(more...)...)...)
		if r.Code != exit || !strings.Contains(r.Stdout, stdout) || !strings.Contains(r.Stderr, stderr) {
			t.Errorf("exit %d, %s%s", r.Code, r.Stdout, r.Stderr)
		}
	}
	publish(ui.ExitUnavailable, `"reason":"unknown_key"`, "", "--output", "json")
	publish(ui.ExitUnavailable, "published 0 of 1", "publish the event again")
	b.Now = b.Now.Add(time.Hour)
	publish(0, "published 1 of 1", "")
	b.Now = b.Now.Add(30 * 24 * time.Hour) // the bundle has expired
	publish(ui.ExitUnavailable, "", "expired", "--require-trust")
	publish(0, "published 1 of 1", "the keyring alone says which key signs")
	publish(0, `"unchecked":true`, "", "--output", "json")
}

// TestPublish: what is published can be opened by who gets it, in both layouts, from every form of input.
func TestPublish(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		more []string
		want int
	}{
		"one event": {clitest.Order("o-1"), nil, 1},
		"pretty":    {clitest.Reformatted(t, []byte(clitest.Order("o-1"))), nil, 1},
		"lines": {clitest.Order("o-1") + "\n\n" + clitest.Order("o-2") + "\r\n" +
			clitest.Order("o-3"), nil, 3},
		"array": {" [" + clitest.Order("o-1") + "," + clitest.Order("o-2") + "]\n", nil, 2},
		"embedded": {clitest.Order("o-1"), []string{"--layout", "embedded", "--audience", "central",
			"--expires", "1h"}, 1},
		"exact":         {clitest.Order("o-1"), []string{"--exact"}, 1},
		"explicit file": {clitest.Order("o-1"), []string{"-"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			b, bus := clitest.NewShop(t, nil)
			r := b.Run(c.in, b.Publish(bus, c.more...)...)
			if want := fmt.Sprintf("published %d of %s to central\n", c.want,
				ui.Count(c.want, "event")); r.Code != 0 || r.Stdout != want {
				t.Fatalf("exit %d\n%s%s", r.Code, r.Stdout, r.Stderr)
			}
			bus.Drain()
			if len(bus.Got) != c.want {
				t.Fatalf("%d deliveries", len(bus.Got))
			}
			for _, delivery := range bus.Got {
				b.Must(delivery, b.Open(clitest.OrderSource)...)
			}
		})
	}
}

// TestPublishWarnsAsSealDoes: a relay may change what these events have.
func TestPublishWarnsAsSealDoes(t *testing.T) {
	b, bus := clitest.NewShop(t, nil)
	fine := strings.Replace(clitest.Order("o-1"), "00.25Z", "00.250000001Z", 1)
	r := b.Run(fine+"\n"+strings.Replace(fine, "o-1", "o-2", 1)+"\n"+clitest.Order("o-3"), b.Publish(bus)...)
	if r.Code != 0 || strings.Count(r.Stderr, "9 digits of a fraction") != 1 ||
		!strings.Contains(r.Stderr, "(2 events)") {
		t.Errorf("exit %d\n%s", r.Code, r.Stderr)
	}
	if sealed := b.Run(fine, b.Seal()...); !strings.Contains(sealed.Stderr, "9 digits of a fraction") {
		t.Errorf("seal says\n%s", sealed.Stderr)
	}
}

func TestPublishFile(t *testing.T) {
	b, bus := clitest.NewShop(t, nil)
	var lines strings.Builder
	const n = 1200 // more than a batch, and than an array may have
	for i := range n {
		lines.WriteString(clitest.Order(fmt.Sprint("o-", i)) + "\n")
	}
	b.Check(os.WriteFile(b.Path("events.jsonl"), []byte(lines.String()), 0o600))
	r := b.Run("", b.Publish(bus, "--output", "json", b.Path("events.jsonl"))...)
	if r.Code != 0 || !strings.Contains(r.Stderr, "500 of 1200 events done") {
		t.Fatalf("exit %d\n%s", r.Code, r.Stderr)
	}
	for i, line := range strings.Split(strings.TrimSpace(r.Stdout), "\n") {
		if want := fmt.Sprintf(`{"id":"o-%d","published":true}`, i); line != want {
			t.Fatalf("line %d: %s", i, line)
		}
	}
	if r := b.Run("["+strings.Repeat(clitest.Order("o")+",", 1000)+clitest.Order("o")+
		"]", b.Publish(bus)...); r.Code != ui.ExitRejected ||
		!strings.Contains(r.Stderr, "one event a line") {
		t.Errorf("a large array: exit %d\n%s", r.Code, r.Stderr)
	}
}

// TestPublishPartly: every event has its line, and the exit status tells whether trying again helps.
func TestPublishPartly(t *testing.T) {
	large := strings.Replace(clitest.Order("large"), `12.50`, `"`+strings.Repeat("x", 1<<20)+`"`, 1)
	scalar := strings.Replace(clitest.Order("scalar"), `{"total":12.50,"item":"chair"}`, `7`, 1)
	results := func(out string) (list []cmd.PublishedResult) {
		for line := range strings.Lines(out) {
			var r cmd.PublishedResult
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				t.Fatal(err)
			}
			list = append(list, r)
		}
		return list
	}
	t.Run("refused", func(t *testing.T) {
		b, bus := clitest.NewShop(t, nil)
		r := b.Run(clitest.Order("o-1")+scalar+clitest.Order("o-2"),
			b.Publish(bus, "--layout", "embedded", "--output", "json")...)
		list := results(r.Stdout)
		if r.Code != ui.ExitRejected || len(list) != 3 || !list[0].Published || !list[2].Published ||
			list[1].Error != "rejected" || list[1].Fix == "" {
			t.Errorf("exit %d\n%s%s", r.Code, r.Stdout, r.Stderr)
		}
	})
	t.Run("too large", func(t *testing.T) {
		b, bus := clitest.NewShop(t, nil)
		if r := b.Run(large+clitest.Order("o-2"), b.Publish(bus)...); r.Code != ui.ExitRejected ||
			bus.Got != nil {
			t.Errorf("exit %d\n%.500s", r.Code, r.Stderr)
		}
	})
	t.Run("throttled", func(t *testing.T) {
		b, bus := clitest.NewShop(t, &localaws.Options{Faults: localaws.Faults{EntryThrottled: 1}})
		r := b.Run(clitest.Order("o-1")+clitest.Order("o-2"),
			b.Publish(bus, "--output", "json", "--retry-for", "0s")...)
		list := results(r.Stdout)
		if r.Code != ui.ExitUnavailable || len(list) != 2 || list[0].Error != "unavailable" ||
			list[1].Code != "ThrottlingException" || list[1].Published {
			t.Errorf("exit %d\n%s%s", r.Code, r.Stdout, r.Stderr)
		}
	})
	t.Run("throttled, then refused", func(t *testing.T) {
		b, bus := clitest.NewShop(t, &localaws.Options{Faults: localaws.Faults{EntryThrottled: 1}})
		if r := b.Run(clitest.Order("o-1")+scalar,
			b.Publish(bus, "--layout", "embedded", "--retry-for", "0s")...); r.Code != ui.ExitUnavailable {
			t.Errorf("exit %d\n%s%s", r.Code, r.Stdout, r.Stderr)
		}
	})
	t.Run("told to people", func(t *testing.T) {
		b, bus := clitest.NewShop(t, &localaws.Options{Faults: localaws.Faults{EntryThrottled: 1}})
		r := b.Run(strings.Repeat(clitest.Order("o-1"), 15), b.Publish(bus, "--retry-for", "0s")...)
		if r.Code != ui.ExitUnavailable || strings.Count(r.Stderr,
			"was not published") != cmd.ShownFailures || !strings.Contains(r.Stderr, "and 5 more") ||
			r.Stdout != "published 0 of 15 events to central\n" {
			t.Errorf("exit %d\n%s%s", r.Code, r.Stdout, r.Stderr)
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
		"empty":    {"", nil, ui.ExitRejected, "standard input is empty"},
		"not JSON": {"hello", nil, ui.ExitRejected, "neither a JSON object"},
		"cut": {clitest.Order("o-1") +
			clitest.Order("o-2")[:50], nil, ui.ExitRejected, "record 2 (at byte "},
		"no CloudEvent": {clitest.Order("o-1") + `{"a":1}`, nil, ui.ExitRejected, "event 2 of 2"},
		"foreign source": {clitest.Order("o-1") +
			strings.Replace(clitest.Order("o-2"), "shop.example", "bank.example", 1), nil, ui.ExitRejected,
			"does not speak for"},
		"missing bus": {clitest.Order("o-1"), []string{"--bus", "centrall"}, ui.ExitUsage,
			"does not exist"},
		"no name of one": {clitest.Order("o-1"), []string{"--bus", "a bus"}, ui.ExitUsage, "--bus"},
		"no URL": {clitest.Order("o-1"), []string{"--endpoint", "localhost:4566"}, ui.ExitUsage,
			"https://HOST"},
		"no bus":          {clitest.Order("o-1"), []string{"--bus", ""}, ui.ExitUsage, "--bus"},
		"short life":      {clitest.Order("o-1"), []string{"--expires", "1ms"}, ui.ExitUsage, "at least 1s"},
		"two files":       {clitest.Order("o-1"), []string{"a", "b"}, ui.ExitUsage, "unexpected argument"},
		"file is missing": {"", []string{"nowhere.json"}, ui.ExitUsage, "does not exist"},
	} {
		t.Run(name, func(t *testing.T) {
			b, bus := clitest.NewShop(t, nil)
			r := b.Run(c.in, b.Publish(bus, c.args...)...)
			if r.Code != c.code || !strings.Contains(r.Stderr, c.says) || bus.Got != nil {
				t.Errorf("exit %d, %d deliveries\n%s%s", r.Code, len(bus.Got), r.Stdout, r.Stderr)
			}
		})
	}
}

func TestPublishNeedsAWS(t *testing.T) {
	b, bus := clitest.NewShop(t, nil)
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_DEFAULT_REGION", "")
	if r := b.Run(clitest.Order("o-1"), b.Publish(bus)...); r.Code != ui.ExitUsage ||
		!strings.Contains(r.Stderr, "--region") {
		t.Errorf("without a region: exit %d\n%s", r.Code, r.Stderr)
	}
	b.Must(clitest.Order("o-1"), b.Publish(bus, "--region", "eu-west-1")...)
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	if r := b.Run(clitest.Order("o-1"), b.Publish(bus, "--region", "eu-west-1")...); r.Code != ui.ExitUsage ||
		!strings.Contains(r.Stderr, "no AWS credentials") {
		t.Errorf("without credentials: exit %d\n%s", r.Code, r.Stderr)
	}
}

// The SDK has a logger of its own on standard error: nothing of it is for the person who runs the command.
func TestPublishSilencesTheSDK(t *testing.T) {
	b, bus := clitest.NewShop(t, nil)
	// no token: the SDK warns that it falls back to IMDSv1
	metadata := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(metadata.Close)
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_EC2_METADATA_DISABLED": "false",
		"AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata.URL,
	} {
		t.Setenv(name, value)
	}
	logged, err := os.Create(b.Path("stderr"))
	b.Check(err)
	was := os.Stderr
	os.Stderr = logged
	r := b.Run(clitest.Order("o-1"), b.Publish(bus)...)
	os.Stderr = was
	b.Check(logged.Close())
	got, err := os.ReadFile(logged.Name())
	b.Check(err)
	if r.Code != ui.ExitUsage || len(got) > 0 {
		t.Errorf("exit %d, the SDK wrote %q", r.Code, got)
	}
}

// PutEvents alone is permission enough.
func TestPublishWithPutEventsAlone(t *testing.T) {
	b, bus := clitest.NewShop(t,
		&localaws.Options{Deny: func(action string) bool { return action == "DescribeEventBus" }})
	b.Must(clitest.Order("o-1"), b.Publish(bus)...)
	b2, bus2 := clitest.NewShop(t,
		&localaws.Options{Deny: func(action string) bool { return action == "PutEvents" }})
	if r := b2.Run(clitest.Order("o-1"), b2.Publish(bus2)...); r.Code != ui.ExitUsage ||
		!strings.Contains(r.Stderr, "events:PutEvents") {
		t.Errorf("without it: exit %d\n%s", r.Code, r.Stderr)
	}
}

// TestPublishMaybeTwice: an answer that is lost after EventBridge has acted is told, to people and to
// programs.
func TestPublishMaybeTwice(t *testing.T) {
	lose := func(first int) *localaws.Options { // the answers to so many calls
		puts := 0
		return &localaws.Options{Faults: localaws.Faults{Script: func(action string,
			_ int) localaws.CallFault {
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
		b, bus := clitest.NewShop(t, lose(1))
		const says = "sealbus: 2 events may be on the bus twice: an answer was lost, and the call repeated\n" +
			"sealbus:   nothing needs to be done: consumers handle an event once\n"
		r := b.Run(clitest.Order("o-1")+clitest.Order("o-2"), b.Publish(bus)...)
		if r.Code != 0 || r.Stdout != "published 2 of 2 events to central\n" || r.Stderr != says {
			t.Errorf("exit %d\n%s%s", r.Code, r.Stdout, r.Stderr)
		}
		if bus.Drain(); len(bus.Got) != 4 {
			t.Errorf("%d deliveries, want each twice", len(bus.Got))
		}
	})
	t.Run("for programs", func(t *testing.T) {
		b, bus := clitest.NewShop(t, lose(1))
		r := b.Run(clitest.Order("o-1"), b.Publish(bus, "--output", "json")...)
		if want := `{"id":"o-1","published":true,"may_be_on_bus_twice":true}` + "\n"; r.Code != 0 ||
			r.Stdout != want {
			t.Errorf("exit %d\n%s%s", r.Code, r.Stdout, r.Stderr)
		}
	})
	t.Run("not published", func(t *testing.T) {
		b, bus := clitest.NewShop(t, lose(1))
		r := b.Run(clitest.Order("o-1"), b.Publish(bus, "--retry-for", "0s")...)
		if r.Code != ui.ExitUnavailable || !strings.Contains(r.Stderr,
			"published again, it may be on the bus twice: consumers handle it once") {
			t.Errorf("exit %d\n%s%s", r.Code, r.Stdout, r.Stderr)
		}
	})
	t.Run("no answer was lost", func(t *testing.T) {
		b, bus := clitest.NewShop(t, lose(0))
		if r := b.Run(clitest.Order("o-1"), b.Publish(bus)...); r.Code != 0 || r.Stderr != "" {
			t.Errorf("exit %d\n%s%s", r.Code, r.Stdout, r.Stderr)
		}
	})
}

// TestPublishIsNotSilent: half a minute without a word looks like a program that hangs.
func TestPublishIsNotSilent(t *testing.T) {
	b, bus := clitest.NewShop(t, nil)
	bus.URL = "http://127.0.0.1:1" // where nothing listens
	r := b.Run(clitest.Order("o-1"), b.Publish(bus, "--retry-for", "1s")...)
	said := "sealbus: cannot reach 127.0.0.1:1 for EventBridge: connection refused: nothing listens there; " +
		"trying again for 1s (--retry-for); does `sealbus dev` run?\n"
	if r.Code != ui.ExitUnavailable || strings.Count(r.Stderr, said) != 1 {
		t.Errorf("exit %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	if r = b.Run(clitest.Order("o-1"), b.Publish(bus, "--retry-for", "0s")...); strings.Contains(r.Stderr, "trying again") {
		t.Errorf("it says that it tries again:\n%s", r.Stderr)
	}
}
