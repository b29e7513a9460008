package localaws_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/smithy-go"

	"github.com/sealbus/sealbus/internal/localaws"
)

// The entries that the recordings were made with.
const (
	command       = "core.update-account-command"
	commandDetail = `{"command": "update-account", "payload": {"acc_id": "0a787ecb-4015", "sf_id": "baz"}}`
)

// account is that of the recordings.
const account = "111111111111"

// recording is what each step of a recorded case answered.
type recording map[string]json.RawMessage

func loadRecordings(t *testing.T) map[string]recording {
	t.Helper()
	doc, err := os.ReadFile("testdata/recorded.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Recorded map[string]struct {
			Content recording `json:"recorded-content"`
		}
	}
	if err := json.Unmarshal(doc, &file); err != nil {
		t.Fatal(err)
	}
	all := map[string]recording{}
	for name, r := range file.Recorded {
		all[name] = r.Content
	}
	if len(all) < 20 {
		t.Fatalf("only %d recordings", len(all))
	}
	return all
}

// played is each recorded case, played against the fake.
var played = map[string]func(t *testing.T, w *world, want recording){
	"events/test_put_events_without_source": puts(types.PutEventsRequestEntry{DetailType: aws.String(command),
		Detail: aws.String(commandDetail)}),
	"events/test_put_event_without_detail": puts(types.PutEventsRequestEntry{Source: aws.String(command),
		DetailType: aws.String(command)}),
	"events/test_put_event_without_detail_type": puts(types.PutEventsRequestEntry{
		Source: aws.String("some.source"), DetailType: aws.String(""), Detail: aws.String(commandDetail),
	}),
	"events/test_put_event_malformed_detail[STRING]":            puts(entry(`NotJSON`)),
	"events/test_put_event_malformed_detail[ARRAY]":             puts(entry(`[]`)),
	"events/test_put_event_malformed_detail[MALFORMED_JSON]":    puts(entry(`{{}`)),
	"events/test_put_event_malformed_detail[SERIALIZED_STRING]": puts(entry(`"NotJSON"`)),
	"events/test_put_event_with_too_big_detail":                 tooBig,
	"events/test_put_events_exceed_limit_ten_entries[custom]":   elevenEntries,
	"events/test_put_events_nonexistent_event_bus":              missingBus,
	"events/test_put_events_bus_to_bus[standard]":               busToBus,
	"events/test_put_events_time":                               foreignTimes,
	"events/test_put_events_with_time_field":                    timeField,
	"events/test_put_events_response_entries_order":             twoTargets,

	"events/test_start_list_describe_canceled_replay[default]":   startAndCancel("default"),
	"events/test_start_list_describe_canceled_replay[custom]":    startAndCancel("custom"),
	"events/test_list_replays_with_prefix":                       listByPrefix,
	"events/test_list_replay_with_limit":                         listByPages,
	"events/test_list_replays_with_event_source_arn":             listByArchive,
	"events/test_start_replay_error_duplicate_name_same_archive": sameName(false),
	"events/test_start_replay_error_duplicate_different_archive": sameName(true),
	"events/test_describe_replay_error_unknown_replay":           unknownReplay,
}

// TestAnswersAsRecorded answers as the service did, in every recorded case.
func TestAnswersAsRecorded(t *testing.T) {
	all := loadRecordings(t)
	plays := maps.Clone(played)
	maps.Copy(plays, playedKeys)
	for name, want := range all {
		play := plays[name]
		if play == nil {
			t.Errorf("%s is not played", name)
			continue
		}
		for _, kind := range []string{"", keptWorld} {
			t.Run(kind+strings.TrimPrefix(name, "events/"), func(t *testing.T) {
				play(t, newWorld(t, &localaws.Options{Account: account, MaxPutBytes: 256 << 10}), want)
			})
		}
	}
	if len(plays) != len(all) {
		t.Errorf("%d are played, %d were recorded", len(plays), len(all))
	}
}

func entry(detail string) types.PutEventsRequestEntry {
	return types.PutEventsRequestEntry{Source: aws.String(command), DetailType: aws.String(command),
		Detail: aws.String(detail)}
}

func puts(e types.PutEventsRequestEntry) func(*testing.T, *world, recording) {
	return func(t *testing.T, w *world, want recording) {
		w.same(want["put-events"], w.put(e))
	}
}

func tooBig(t *testing.T, w *world, want recording) {
	_, err := w.client.PutEvents(t.Context(),
		&eventbridge.PutEventsInput{Entries: []types.PutEventsRequestEntry{entry(`{"a":"` +
			strings.Repeat("a", 256<<10) + `"}`)}})
	w.sameError(want["put-events-too-big-detail-error"], err, nil)
}

func elevenEntries(t *testing.T, w *world, want recording) {
	e := entry(commandDetail)
	e.EventBusName = aws.String("bus-of-the-test")
	_, err := w.client.PutEvents(t.Context(),
		&eventbridge.PutEventsInput{Entries: slices.Repeat([]types.PutEventsRequestEntry{e}, 11)})
	w.sameError(want["put-events-exceed-limit-error"], err,
		strings.NewReplacer("bus-of-the-test", "<bus-name>"))
}

func missingBus(t *testing.T, w *world, want recording) {
	got := w.listen("default", `{"source":["MySource"]}`)
	there := types.PutEventsRequestEntry{Source: aws.String("MySource"), DetailType: aws.String("CustomType"),
		Detail: aws.String(`{"message": "for the default event bus"}`)}
	gone := there
	gone.EventBusName = aws.String("missing")
	gone.Detail = aws.String(`{"message": "for the custom event bus"}`)
	w.same(want["put-events"], w.put(there, gone))
	w.sameEvents(want["get-events"], got)
	_, err := w.client.DescribeEventBus(t.Context(),
		&eventbridge.DescribeEventBusInput{Name: aws.String("missing")})
	w.sameError(want["non-existent-bus-error"], err, strings.NewReplacer("missing", "<custom-event-bus>"))
	if _, ok := errors.AsType[*types.ResourceNotFoundException](err); !ok {
		t.Errorf("the SDK does not know the error %v", err)
	}
}

func busToBus(t *testing.T, w *world, want recording) {
	w.createBus("first")
	second := w.createBus("second")
	got := w.listen("second", `{"detail":{"command":["update-account"]}}`)
	w.rule("first", `{"source":["`+command+`"]}`, second)
	e := entry(commandDetail)
	e.EventBusName = aws.String("first")
	third := w.createBus("third")
	w.rule("second", `{"source":["`+command+`"]}`, third)
	beyond := w.listen("third", `{"source":["`+command+`"]}`)
	w.put(e)
	w.sameEvents(want["messages"], got)
	if n := len(beyond.all()); n > 0 {
		t.Error("an event went over two buses to a third")
	}
}

// foreignTimes sends times as the recording did, which the SDK for Go cannot.
func foreignTimes(t *testing.T, w *world, want recording) {
	got := w.listen("default", `{"source":["`+command+`"]}`)
	for _, e := range [...]struct{ message, time string }{
		{"short time", "2022-01-01"}, {"new time", "01-01-2022T00:00:00Z"},
		{"long time", "2022-01-01 00:00:00Z"},
	} {
		w.raw("PutEvents", map[string]any{"Entries": []any{map[string]string{
			"Source": command, "DetailType": command, "Detail": `{"message":"` + e.message +
				`"}`, "Time": e.time,
		}}})
		w.drain()
	}
	w.sameEvents(want["messages"], got)
	for _, e := range got.all() {
		if at := e["time"]; at != "2022-01-01T00:00:00Z" {
			t.Errorf("delivered with the time %v", at)
		}
	}
}

func timeField(t *testing.T, w *world, want recording) {
	got := w.listen("default", `{"source":["test-source"]}`)
	out := w.put(types.PutEventsRequestEntry{
		Source: aws.String("test-source"), DetailType: aws.String("test-detail-type"),
		Detail: aws.String(`{"message": "test message"}`),
		Time:   aws.Time(time.Date(2022, 1, 1, 3, 4, 5, 600e6, time.FixedZone("", 3600))),
	})
	w.same(want["put-events"], out)
	w.sameEvents(want["sqs-messages"], got)
	first := got.all()[0]
	if first["id"] != *out.Entries[0].EventId {
		t.Errorf("delivered under the ID %v, answered %s", first["id"], *out.Entries[0].EventId)
	}
	if first["time"] != "2022-01-01T02:04:05Z" {
		t.Errorf("delivered with the time %v", first["time"])
	}
}

func twoTargets(t *testing.T, w *world, want recording) {
	one, two := w.listen("default", `{"source":["`+command+`"]}`),
		w.listen("default", `{"source":["`+command+`"]}`)
	w.same(want["put-events-response"], w.put(entry(`{"a":1}`)))
	var queues map[string]json.RawMessage
	if err := json.Unmarshal(want["sqs-messages"], &queues); err != nil {
		t.Fatal(err)
	}
	w.sameEvents(queues["queue1_messages"], one)
	w.sameEvents(queues["queue2_messages"], two)
	if one.all()[0]["id"] != two.all()[0]["id"] {
		t.Error("two targets got one event under two IDs")
	}
}

// world is a fake with a client.
type world struct {
	t      *testing.T
	opts   localaws.Options
	server *localaws.Server
	client *eventbridge.Client
}

// keptWorld begins the name of a test whose worlds have a directory.
const keptWorld = "kept/"

func newWorld(t *testing.T, opts *localaws.Options) *world {
	t.Helper()
	w := &world{t: t}
	if opts != nil {
		w.opts = *opts
	}
	if strings.Contains(t.Name(), "/"+keptWorld) {
		w.opts.Dir = t.TempDir()
	}
	w.begin()
	t.Cleanup(func() { w.check(w.server.Close()) })
	return w
}

// begin starts the server.
func (w *world) begin() {
	w.t.Helper()
	var err error
	w.server, err = localaws.Start(&w.opts)
	w.check(err)
	w.client = newClient(w.server.URL())
}

func newClient(url string) *eventbridge.Client {
	return eventbridge.New(eventbridge.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(url), Retryer: aws.NopRetryer{},
		HTTPClient:  &http.Client{Transport: localaws.Transport{}},
		Credentials: credentials.NewStaticCredentialsProvider("AKIAEXAMPLE", "secret", ""),
	})
}

func (w *world) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) put(entries ...types.PutEventsRequestEntry) *eventbridge.PutEventsOutput {
	w.t.Helper()
	out, err := w.client.PutEvents(w.t.Context(), &eventbridge.PutEventsInput{Entries: entries})
	w.check(err)
	w.drain()
	return out
}

func (w *world) drain() {
	w.t.Helper()
	w.check(w.server.Drain(w.t.Context()))
}

// raw makes a call with a body that the SDK would not send.
func (w *world) raw(action string, in any) {
	w.t.Helper()
	body, err := json.Marshal(in)
	w.check(err)
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.server.URL(),
		strings.NewReader(string(body)))
	w.check(err)
	req.Header.Set("X-Amz-Target", "AWSEvents."+action)
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE")
	resp, err := http.DefaultClient.Do(req)
	w.check(err)
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		w.t.Fatalf("%s: %s", action, resp.Status)
	}
}

func (w *world) createBus(name string) (arn string) {
	w.t.Helper()
	out, err := w.client.CreateEventBus(w.t.Context(),
		&eventbridge.CreateEventBusInput{Name: aws.String(name)})
	w.check(err)
	return *out.EventBusArn
}

// rule puts a rule with one target.
func (w *world) rule(bus, pattern, arn string) {
	w.t.Helper()
	name := "rule-" + strings.NewReplacer(":", "-", "/", "-").Replace(arn)
	name = name[max(0, len(name)-64):]
	_, err := w.client.PutRule(w.t.Context(), &eventbridge.PutRuleInput{Name: aws.String(name),
		EventBusName: aws.String(bus), EventPattern: aws.String(pattern)})
	w.check(err)
	_, err = w.client.PutTargets(w.t.Context(), &eventbridge.PutTargetsInput{
		Rule: aws.String(name), EventBusName: aws.String(bus),
		Targets: []types.Target{{Id: aws.String("1"), Arn: aws.String(arn)}},
	})
	w.check(err)
}

// inbox is what a target got.
type inbox struct {
	t    *testing.T
	mu   sync.Mutex
	docs [][]byte
}

func (i *inbox) take(_ context.Context, event []byte) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.docs = append(i.docs, event)
	return nil
}

func (i *inbox) all() (events []map[string]any) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, doc := range i.docs {
		var e map[string]any
		if err := json.Unmarshal(doc, &e); err != nil {
			i.t.Fatal(err)
		}
		events = append(events, e)
	}
	return events
}

var functions = func() func() string {
	var mu sync.Mutex
	n := 0
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		n++
		return "f" + string(rune('a'+n%26)) + string(rune('a'+n/26))
	}
}()

// listen makes a rule whose target is a new inbox.
func (w *world) listen(bus, pattern string) *inbox {
	w.t.Helper()
	in := &inbox{t: w.t}
	w.rule(bus, pattern, w.server.Function(functions(), in.take))
	return in
}

// hole is a value that varies, in a recording; inner is a part of one.
var (
	hole  = regexp.MustCompile(`^(<[\w:-]+>|event-id|date|datetime|replay-name|detail|ciphertext-blob|plaintext|shared-secret)$`)
	inner = regexp.MustCompile(`<[\w:-]+>`)
)

// fitsText compares, letting anything fit into the holes.
func fitsText(want string, got any) bool {
	if hole.MatchString(want) {
		return got != nil
	}
	text, ok := got.(string)
	if !ok {
		return false
	}
	parts := inner.Split(want, -1)
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	return regexp.MustCompile("^" + strings.Join(parts, ".+") + "$").MatchString(text)
}

// same holds an answer against the recorded one.
func (w *world) same(want json.RawMessage, got any) {
	w.t.Helper()
	doc, err := json.Marshal(got)
	w.check(err)
	var wanted, answered map[string]any
	w.check(json.Unmarshal(want, &wanted))
	w.check(json.Unmarshal(doc, &answered))
	delete(wanted, "ResponseMetadata")
	delete(answered, "ResultMetadata")
	if !w.fits(wanted, withoutNull(answered)) {
		w.t.Errorf("answered %s\nrecorded %s", doc, want)
	}
}

// withoutNull drops the members that the SDK has for what the service did not send.
func withoutNull(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name, e := range v {
			if e == nil {
				delete(v, name)
			} else {
				v[name] = withoutNull(e)
			}
		}
	case []any:
		for i := range v {
			v[i] = withoutNull(v[i])
		}
	}
	return v
}

// fits compares, letting anything fit into a hole.
func (w *world) fits(want, got any) bool {
	switch want := want.(type) {
	case string:
		return fitsText(want, got)
	case map[string]any:
		object, ok := got.(map[string]any)
		if !ok || len(object) != len(want) {
			return false
		}
		for name, v := range want {
			if e, there := object[name]; !there || !w.fits(v, e) {
				return false
			}
		}
		return true
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) != len(want) {
			return false
		}
		for i := range want {
			if !w.fits(want[i], list[i]) {
				return false
			}
		}
		return true
	}
	return reflect.DeepEqual(want, got)
}

// sameEvents holds what a target got against the bodies of the recorded queue messages.
func (w *world) sameEvents(want json.RawMessage, in *inbox) {
	w.t.Helper()
	var messages []struct{ Body map[string]any }
	w.check(json.Unmarshal(want, &messages))
	got := in.all()
	if len(got) != len(messages) || len(got) == 0 {
		w.t.Fatalf("%d deliveries, recorded %d", len(got), len(messages))
	}
	for i := range messages {
		if !w.fits(messages[i].Body, any(got[i])) {
			w.t.Errorf("delivered %v\nrecorded %v", got[i], messages[i].Body)
		}
	}
}

func (w *world) sameError(want json.RawMessage, err error, names *strings.Replacer) {
	w.t.Helper()
	var recorded struct {
		Error struct{ Code, Message string }
	}
	w.check(json.Unmarshal(want, &recorded))
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		w.t.Fatalf("error %v, recorded %+v", err, recorded)
	}
	message := api.ErrorMessage()
	if names != nil {
		message = names.Replace(message)
	}
	if api.ErrorCode() != recorded.Error.Code || message != recorded.Error.Message {
		w.t.Errorf("error %s: %s\nrecorded %+v", api.ErrorCode(), message, recorded.Error)
	}
}
