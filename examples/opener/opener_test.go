package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/consumer/awslambda/awslambdatest"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/examples/orders/orderstest"
	"github.com/sealbus/sealbus/internal/testbed/cfntest"
)

func TestMain(m *testing.M) { orderstest.Main(m) }

const program = "examples/opener"

// messages is what a pipe gives its enrichment: the array without the name that Lambda has for it.
func messages(t *testing.T, bodies ...[]byte) []byte {
	t.Helper()
	var batch struct{ Records json.RawMessage }
	if err := json.Unmarshal(awslambdatest.SQS(t, bodies...), &batch); err != nil {
		t.Fatal(err)
	}
	return batch.Records
}

func order(id string) map[string]any {
	return map[string]any{"order": id, "total": json.Number("12345678901234567"), "note": "<&>"}
}

func edited(t *testing.T, delivered []byte, old, new string) []byte {
	t.Helper()
	changed := bytes.Replace(delivered, []byte(old), []byte(new), 1)
	if bytes.Equal(changed, delivered) {
		t.Fatalf("%s has no %q", delivered, old)
	}
	return changed
}

func invoke(t *testing.T, f *orderstest.Function, payload []byte) []Verified {
	t.Helper()
	answer, err := f.Invoke(t.Context(), payload)
	if err != nil {
		t.Fatalf("%v\n%s", err, f.Log())
	}
	if !bytes.HasPrefix(answer, []byte("[")) {
		t.Fatalf("the answer %s is no array", answer)
	}
	var passed []Verified
	if err := json.Unmarshal(answer, &passed); err != nil {
		t.Fatalf("%s: %v", answer, err)
	}
	return passed
}

// TestPassesOnVerifiedEventsOnly, in their order.
func TestPassesOnVerifiedEventsOnly(t *testing.T) {
	w := orderstest.New(t, nil)
	f := w.Start(program, w.ConsumerEnv())
	first, second := w.Delivered("o-1", order("o-1")), w.Delivered("o-2", order("o-2"))
	forged := edited(t, w.Delivered("o-3", order("o-3")), "o-3\",\"total\":12345678901234567",
		"o-3\",\"total\":1")
	garbage := []byte("no JSON")
	passed := invoke(t, f, messages(t, first, forged, second, garbage))
	if len(passed) != 2 || passed[0].Event.ID() != "o-1" || passed[1].Event.ID() != "o-2" {
		t.Fatalf("passed on: %v", passed)
	}
	checkVerified(t, passed[0])
	want := map[envelope.Reason]int{envelope.ReasonModified: 1, envelope.ReasonMalformed: 1}
	if got := w.Reasons("opener"); !maps.Equal(got, want) {
		t.Errorf("in quarantine: %v, not %v", got, want)
	}
	if passed := invoke(t, f, messages(t, forged)); len(passed) != 0 {
		t.Errorf("of a forgery was passed on: %v", passed)
	}
	if !strings.Contains(f.Log(), `"Consumer":"opener"`) {
		t.Errorf("no metrics:\n%s", f.Log())
	}
}

func checkVerified(t *testing.T, v Verified) {
	t.Helper()
	if v.Producer != orderstest.Producer || len(v.IdempotencyKey) != 64 ||
		time.Since(v.SignedAt).Abs() > time.Hour {
		t.Errorf("%+v", v)
	}
	if err := v.Event.Validate(); err != nil || v.Event.Source() != orderstest.Source ||
		v.Event.Type() != orderstest.Type {
		t.Errorf("the event: %v %v", v.Event, err)
	}
	if v.Event.Extensions()["dssematerial"] != nil {
		t.Error("the signature is still there: what is passed on would be taken for sealed")
	}
	var data struct {
		Total json.Number
		Note  string
	}
	if err := v.Event.DataAs(&data); err != nil || data.Total != "12345678901234567" || data.Note != "<&>" {
		t.Errorf("the data: %+v %v", data, err)
	}
}

// TestComesAgain: an event that the pipe could not deliver comes again, and is passed on again under the same
// key.
func TestComesAgain(t *testing.T) {
	w := orderstest.New(t, nil)
	f := w.Start(program, w.ConsumerEnv())
	payload := messages(t, w.Delivered("o-1", order("o-1")))
	first, again := invoke(t, f, payload), invoke(t, f, payload)
	if len(first) != 1 || len(again) != 1 || first[0].IdempotencyKey != again[0].IdempotencyKey {
		t.Fatalf("first %v, then %v", first, again)
	}
}

// TestFailsWhatCannotBeJudged: nothing of the array is passed on, and all of it comes again.
func TestFailsWhatCannotBeJudged(t *testing.T) {
	w := orderstest.New(t, nil)
	f := w.Start(program, w.ConsumerEnv())
	genuine := w.Delivered("o-1", order("o-1"))
	// A record of a quarantine is of this consumer or of none; one without a MAC is never reopened, and never
	// passed on.
	if passed := invoke(t, f,
		messages(t, []byte(`{"consumer":"opener","unverified_id":"x"}`))); len(passed) != 0 {
		t.Errorf("passed on: %v", passed)
	}
	w.TakeQuarantineAway()
	forged := edited(t, genuine, "o-1", "o-2")
	if answer, err := f.Invoke(t.Context(), messages(t, genuine, forged)); err == nil {
		t.Errorf("a forgery that is nowhere was acknowledged: %s", answer)
	}
	if passed := invoke(t, f, messages(t, genuine)); len(passed) != 1 {
		t.Errorf("passed on: %v", passed)
	}
}

// TestRefusesWhatIsNoBatch: other sources of a pipe have their events elsewhere, and would be taken for empty
// ones.
func TestRefusesWhatIsNoBatch(t *testing.T) {
	w := orderstest.New(t, nil)
	f := w.Start(program, w.ConsumerEnv())
	for _, payload := range []string{
		`[{"eventSource":"aws:kinesis","data":"e30=","partitionKey":"1","sequenceNumber":"1"}]`,
		`{"Records":[]}`, `null`, `"x"`, `[{"messageId":"1"}]`, `[{"body":"{}"}]`, `[1]`,
	} {
		if answer, err := f.Invoke(t.Context(), []byte(payload)); err == nil {
			t.Errorf("%s is answered %s", payload, answer)
		}
	}
	if n := len(w.Refused("opener")); n > 0 {
		t.Errorf("%d in quarantine", n)
	}
}

// TestNoConsumer: what is answered with an error is nothing.
func TestNoConsumer(t *testing.T) {
	passed, err := open(nil)(t.Context(), json.RawMessage(`[]`))
	if err == nil || passed != nil {
		t.Errorf("%v %v", passed, err)
	}
}

// TestREADME: what README.md shows is what comes out.
func TestREADME(t *testing.T) {
	doc, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, shown, found := strings.Cut(string(doc), "```json\n")
	shown, _, _ = strings.Cut(shown, "```")
	dec := json.NewDecoder(strings.NewReader(shown))
	dec.DisallowUnknownFields()
	var v Verified
	if err := dec.Decode(&v); !found || err != nil || v.Event.Validate() != nil || v.Producer == "" ||
		v.SignedAt.IsZero() || v.IdempotencyKey == "" {
		t.Errorf("%v: %+v", err, v)
	}
}

func TestForgetful(t *testing.T) {
	key := [32]byte{1}
	for range 2 {
		claim, status, err := forgetful{}.Claim(t.Context(), key, key, time.Now(), time.Minute)
		if claim.Key != key || status != replay.New || err != nil {
			t.Fatal(claim, status, err)
		}
		if err := (forgetful{}).Complete(t.Context(), claim, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOnlyThePipeSends: readers believe the verified events, so only the pipe may put messages among them.
func TestOnlyThePipeSends(t *testing.T) {
	template, err := cfntest.Read("opener.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for policy, want := range map[string]string{
		"VerifiedPolicy":            `{"ArnNotEquals":{"aws:PrincipalArn":["${PipeRole.Arn}","${RedriveRoleArn}"]}}`,
		"VerifiedDeadLettersPolicy": `{"Null":{"aws:PrincipalArn":"false"}}`,
	} {
		statements := template.Resources[policy].Statements()
		if len(statements) != 1 {
			t.Fatalf("%s: %v", policy, statements)
		}
		s := statements[0]
		condition, err := json.Marshal(s["Condition"])
		if err != nil || s["Effect"] != "Deny" || s["Principal"] != "*" || s["Action"] != "sqs:SendMessage" ||
			string(condition) != want {
			t.Errorf("%s: %v", policy, s)
		}
		if queue := strings.TrimSuffix(policy, "Policy"); s["Resource"] != "${"+queue+".Arn}" {
			t.Errorf("%s is about %v", policy, s["Resource"])
		}
	}
	// A policy of the queue does not stop SQS itself, which moves dead letters into it if another queue names
	// it.
	own := "arn:${AWS::Partition}:sqs:${AWS::Region}:${AWS::AccountId}:" +
		fmt.Sprint(cfntest.Plain(template.Resources["Verified"].Properties["QueueName"]))
	for queue, want := range map[string]any{
		"Verified":            map[string]any{"redrivePermission": "denyAll"},
		"VerifiedDeadLetters": map[string]any{"redrivePermission": "byQueue", "sourceQueueArns": []any{own}},
	} {
		if got := cfntest.Plain(template.Resources[queue].Properties["RedriveAllowPolicy"]); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: dead letters of others: %v, not %v", queue, got, want)
		}
	}
}

// TestWindow: what the opener takes for the longest way of an event is what rules and queues say.
func TestWindow(t *testing.T) {
	template, err := cfntest.Read("opener.yaml")
	if err != nil {
		t.Fatal(err)
	}
	seconds := func(v any) time.Duration {
		n, _ := v.(int)
		return time.Duration(n) * time.Second
	}
	duration := func(name string) time.Duration {
		text, _ := template.Setting("Opener", "Environment", "Variables", name).(string)
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	target := cfntest.List(template.Resources["Rule"].Properties["Targets"])[0]
	if got, want := duration("MAX_AGE"), 24*time.Hour+
		seconds(cfntest.Get(target, "RetryPolicy", "MaximumEventAgeInSeconds"))+5*time.Minute; got != want {
		t.Errorf("MAX_AGE is %v, the longest way takes %v", got, want)
	}
	kept := seconds(template.Resources["Sealed"].Properties["MessageRetentionPeriod"]) +
		seconds(template.Resources["SealedDeadLetters"].Properties["MessageRetentionPeriod"])
	if got := duration("QUEUE_RETENTION"); got != kept {
		t.Errorf("QUEUE_RETENTION is %v, the queues keep for %v", got, kept)
	}
}
