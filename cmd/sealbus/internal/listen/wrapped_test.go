package listen_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/envelope"
)

// TestListenWrapped: listen takes wrapped events; their account counts only with --wrapper. A refused
// event is in quarantine as it was delivered, and is judged there as a consumer with that option would.
func TestListenWrapped(t *testing.T) {
	b := clitest.New(t)
	b.Org([]string{"111122223333"}, clitest.OrderSource)
	event := clitest.Deliveries(t, b.Must(clitest.OrderEvent, b.Seal("--to", "eventbridge")...),
		"111122223333")[0]
	sns := clitest.CliWrappers(t, event)["sns"]
	b.Must("", "quarantine", "key", "new", "--out", b.Path("q.key"))
	place := []string{"--quarantine", "dir:" + b.Path("bin"), "--quarantine-key-file", b.Path("q.key")}

	l := b.Serve(append(place, "--output", "json")...)
	status, h := l.Post(sns)
	if status != http.StatusForbidden || h.Verdict != ui.VerdictQuarantined ||
		h.Reason != envelope.ReasonAccountMismatch || !strings.Contains(h.Fix, "hides the account") {
		t.Errorf("%d, %+v", status, h)
	}
	if status, h := l.Post(`{"Records":[{"eventSource":"aws:s3","s3":{}}]}`); status != http.StatusBadRequest ||
		!strings.Contains(h.Cause, "a notification of S3") {
		t.Errorf("%d, %+v", status, h)
	}
	l.End()

	list := clitest.JSONLines[clitest.RecordResult](t,
		b.Must("", "quarantine", "list", "--from", "dir:"+
			b.Path("bin"), "--key-file", b.Path("q.key"), "--reason", "account_mismatch", "--output", "json"))
	if len(list) != 1 || list[0].Format != "wrapped" {
		t.Fatalf("in quarantine: %+v", list)
	}
	show := func(more ...string) (v clitest.RecordResult) {
		args := []string{"quarantine", "show", "--from", "dir:" +
			b.Path("bin"), "--key-file", b.Path("q.key"), "--output", "json",
			"--trust", b.Path("trust.dsse"), "--roots", b.Path("roots.json")}
		b.Check(json.Unmarshal([]byte(b.Run("", append(append(args, more...), list[0].ID)...).Stdout), &v))
		return v
	}
	if now := show().Now; now == nil || now.Reason != envelope.ReasonAccountMismatch ||
		!strings.Contains(now.Fix, "wrapper") {
		t.Errorf("judged now: %+v", now)
	}
	if now := show("--wrapper", "sns").Now; now == nil || now.Verdict != "verified" {
		t.Errorf("judged now with the wrapper's name: %+v", now)
	}
	if body := b.Must("", "quarantine", "show", "--from", "dir:"+
		b.Path("bin"), "--key-file", b.Path("q.key"), "--body", list[0].ID); body != sns {
		t.Errorf("the body is %s", body)
	}

	named := b.Serve("--wrapper", "sns")
	for _, want := range []string{ui.VerdictVerified, ui.VerdictDuplicate} {
		if status, h := named.Post(sns); status != http.StatusOK || h.Verdict != want {
			t.Errorf("%d, %+v", status, h)
		}
	}
	if status, h := named.Post(event); status != http.StatusOK || h.Verdict != ui.VerdictDuplicate {
		t.Errorf("not wrapped: %d, %+v", status, h)
	}
	if r := b.Run("", "listen", "--http", "0", "--trust", b.Path("trust.dsse"), "--roots",
		b.Path("roots.json"), "--allow-source", clitest.OrderSource, "--wrapper",
		"x"); r.Code != ui.ExitUsage {
		t.Errorf("exit %d: %s", r.Code, r.Stderr)
	}
}
