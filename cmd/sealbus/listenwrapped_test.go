package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/envelope"
)

// TestListenWrapped: listen takes wrapped events; their account counts only with --wrapper. What was refused
// is in quarantine as it was delivered, and is judged there as a consumer with that option would.
func TestListenWrapped(t *testing.T) {
	b := newBench(t)
	b.org([]string{"111122223333"}, orderSource)
	event := deliveries(t, b.must(orderEvent, b.seal("--to", "eventbridge")...), "111122223333")[0]
	sns := cliWrappers(t, event)["sns"]
	b.must("", "quarantine", "key", "new", "--out", b.path("q.key"))
	place := []string{"--quarantine", "dir:" + b.path("bin"), "--quarantine-key-file", b.path("q.key")}

	l := b.serve(append(place, "--output", "json")...)
	status, h := l.post(sns)
	if status != http.StatusForbidden || h.Verdict != verdictQuarantined || h.Reason != envelope.ReasonAccountMismatch || !strings.Contains(h.Fix, "hides the account") {
		t.Errorf("%d, %+v", status, h)
	}
	if status, h := l.post(`{"Records":[{"eventSource":"aws:s3","s3":{}}]}`); status != http.StatusBadRequest || !strings.Contains(h.Cause, "a notification of S3") {
		t.Errorf("%d, %+v", status, h)
	}
	l.end()

	list := jsonLines[recordResult](t, b.must("", "quarantine", "list", "--from", "dir:"+b.path("bin"), "--key-file", b.path("q.key"), "--reason", "account_mismatch", "--output", "json"))
	if len(list) != 1 || list[0].Format != "wrapped" {
		t.Fatalf("in quarantine: %+v", list)
	}
	show := func(more ...string) (v recordResult) {
		args := []string{"quarantine", "show", "--from", "dir:" + b.path("bin"), "--key-file", b.path("q.key"), "--output", "json",
			"--trust", b.path("trust.dsse"), "--roots", b.path("roots.json")}
		b.check(json.Unmarshal([]byte(b.run("", append(append(args, more...), list[0].ID)...).stdout), &v))
		return v
	}
	if now := show().Now; now == nil || now.Reason != envelope.ReasonAccountMismatch || !strings.Contains(now.Fix, "wrapper") {
		t.Errorf("judged now: %+v", now)
	}
	if now := show("--wrapper", "sns").Now; now == nil || now.Verdict != "verified" {
		t.Errorf("judged now with the wrapper's name: %+v", now)
	}
	if body := b.must("", "quarantine", "show", "--from", "dir:"+b.path("bin"), "--key-file", b.path("q.key"), "--body", list[0].ID); body != sns {
		t.Errorf("the body is %s", body)
	}

	named := b.serve("--wrapper", "sns")
	for _, want := range []string{verdictVerified, verdictDuplicate} {
		if status, h := named.post(sns); status != http.StatusOK || h.Verdict != want {
			t.Errorf("%d, %+v", status, h)
		}
	}
	if status, h := named.post(event); status != http.StatusOK || h.Verdict != verdictDuplicate {
		t.Errorf("not wrapped: %d, %+v", status, h)
	}
	if r := b.run("", "listen", "--http", "0", "--trust", b.path("trust.dsse"), "--roots", b.path("roots.json"), "--allow-source", orderSource, "--wrapper", "x"); r.code != exitUsage {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
}
