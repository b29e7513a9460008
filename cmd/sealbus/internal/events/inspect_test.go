package events_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
	cmd "github.com/sealbus/sealbus/cmd/sealbus/internal/events"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
)

func TestInspect(t *testing.T) {
	b := clitest.New(t)
	b.Org(nil, clitest.OrderSource)
	sealed := b.Must(clitest.OrderEvent, b.Seal("--audience", "central")...)
	for name, test := range map[string]struct {
		doc  string
		want []string
	}{
		"sealed": {sealed, []string{"by       shop",
			"digests  data and core attributes: fits · extensions: fits", "that the consumer is central"}},
		"tampered": {strings.Replace(sealed, "chair", "table", 1),
			[]string{"data and core attributes: does not fit", "It would be rejected"}},
		"extension": {strings.Replace(sealed, "acme", "evil", 1),
			[]string{"extensions: does not fit", "It would be rejected"}},
		"re-formatted": {clitest.Reformatted(t, []byte(sealed)),
			[]string{"data and core attributes: fits when canonical", "not in canonical form"}},
		"added": {strings.Replace(sealed, `{`, `{"admin":true,`, 1),
			[]string{"not signed  admin", "Nothing in its form speaks against it"}},
		"unsigned": {clitest.OrderEvent, []string{"the event is not signed"}},
		"renamed": {strings.Replace(clitest.Deliveries(t,
			b.Must(clitest.OrderEvent, b.Seal("--to", "eventbridge")...), "111122223333")[0],
			`"detail-type":"com.`, `"detail-type":"org.`, 1),
			[]string{"account  111122223333", `detail-type "org.example.order.placed": not the event's`}},
		"embedded": {clitest.Deliveries(t, b.Must(clitest.OrderEvent,
			b.Seal("--to", "eventbridge", "--layout", "embedded")...), "111122223333")[0],
			[]string{"layout   embedded", "extensions: fits"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := b.On(t)
			out := b.Must(test.doc, "inspect")
			for _, want := range append(test.want, "NOTHING WAS VERIFIED") {
				if !strings.Contains(out, want) {
					t.Errorf("no %q in\n%s", want, out)
				}
			}
			line := b.Must(test.doc, "inspect", "--short")
			if strings.Count(line, "\n") != 1 || !strings.HasPrefix(line, "unverified") {
				t.Errorf("short: %s", line)
			}
		})
	}
}

func TestInspectJSON(t *testing.T) {
	b := clitest.New(t)
	b.Org(nil, clitest.OrderSource)
	var v cmd.Inspected
	b.Check(json.Unmarshal([]byte(b.Must(b.Must(clitest.OrderEvent, b.Seal()...), "inspect", "--output",
		"json")), &v))
	if v.Verdict != "nothing_was_verified" || v.Event.ID != "o-1" || v.Sealed.Producer != "shop" ||
		len(v.Signatures) != 1 || v.Digests["core"] != "fits" || len(v.Problems) != 0 {
		t.Errorf("%+v", v)
	}
}

func TestInspectNothing(t *testing.T) {
	b := clitest.New(t)
	for _, doc := range []string{"", "hello", "{}", "null", `{"detail-type":"x","source":"y","detail":3}`} {
		if r := b.Run(doc, "inspect"); r.Code != ui.ExitRejected || !strings.Contains(r.Stderr, "malformed") {
			t.Errorf("%q: exit %d, %s%s", doc, r.Code, r.Stdout, r.Stderr)
		}
	}
}

// An attacker's event must not write on the terminal what it likes.
func TestHostileTextIsEscaped(t *testing.T) {
	b := clitest.New(t)
	b.Org(nil, clitest.OrderSource)
	hostile := strings.NewReplacer(`"o-1"`, `"\u001b[2J\u202eo-1\nsealbus: verified:"`, `"acme"`,
		`"\u001b]0;x\u0007"`, "placed", `placed\u009b`).Replace(clitest.OrderEvent)
	b.Terminal = true
	for name, args := range map[string][]string{
		"inspect": {"inspect"}, "short": {"inspect", "--short"}, "open": b.Open(clitest.OrderSource),
		"seal": b.Seal("--to", "eventbridge"),
	} {
		r := b.Run(hostile, args...)
		text := r.Stderr
		if args[0] == "inspect" {
			text += r.Stdout
		}
		for _, bad := range []string{"\x1b[2J", "\u202e", "\x1b]", "\u009b", "\nsealbus: verified:"} {
			if strings.Contains(text, bad) {
				t.Errorf("%s lets %q through: %q", name, bad, text)
			}
		}
	}
}
