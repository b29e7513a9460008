package localaws_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/localaws"
)

// TestPatterns holds patterns against one event each, through the whole service.
func TestPatterns(t *testing.T) {
	const detail = `{"state":"placed","n":5,"f":2.50,"big":9007199254740993,"nothing":null,"yes":true,"empty":[],` +
		`"tags":["red","blue"],"items":[{"sku":"a","n":1},{"sku":"b","n":9}],"deep":{"er":{"x":"y"}}}`
	for pattern, want := range map[string]bool{
		`{"source":["` + command + `"]}`:                                        true,
		`{"source":["other"]}`:                                                  false,
		`{"source":["other","` + command + `"]}`:                                true,
		`{"detail-type":["` + command + `"],"account":["000000000000"]}`:        true,
		`{"account":["111111111111"]}`:                                          false,
		`{"detail":{"state":["placed"]}}`:                                       true,
		`{"detail":{"state":[{"prefix":"pla"}]}}`:                               true,
		`{"detail":{"state":[{"prefix":"Pla"}]}}`:                               false,
		`{"detail":{"n":[{"prefix":"5"}]}}`:                                     false, // a number has no prefix
		`{"detail":{"state":[{"anything-but":"placed"}]}}`:                      false,
		`{"detail":{"state":[{"anything-but":["a","b"]}]}}`:                     true,
		`{"detail":{"state":[{"anything-but":{"prefix":"pl"}}]}}`:               false,
		`{"detail":{"n":[{"anything-but":[5]}]}}`:                               false,
		`{"detail":{"nothing":[{"anything-but":["a"]}]}}`:                       true, // null is something else
		`{"detail":{"absent":[{"anything-but":["a"]}]}}`:                        false,
		`{"detail":{"state":[{"exists":true}]}}`:                                true,
		`{"detail":{"absent":[{"exists":true}]}}`:                               false,
		`{"detail":{"absent":[{"exists":false}]}}`:                              true,
		`{"detail":{"state":[{"exists":false}]}}`:                               false,
		`{"detail":{"deep":[{"exists":true}]}}`:                                 false, // only leaves exist
		`{"detail":{"empty":[{"exists":false}]}}`:                               true,
		`{"detail":{"absent":{"x":[{"exists":false}]}}}`:                        true,
		`{"detail":{"nothing":[null]}}`:                                         true,
		`{"detail":{"absent":[null]}}`:                                          false,
		`{"detail":{"yes":[true]}}`:                                             true,
		`{"detail":{"yes":["true"]}}`:                                           false,
		`{"detail":{"n":[5]}}`:                                                  true,
		`{"detail":{"n":["5"]}}`:                                                false,
		`{"detail":{"f":[2.5]}}`:                                                false, // compared as it is spelled
		`{"detail":{"f":[{"numeric":["=",2.5]}]}}`:                              true,
		`{"detail":{"n":[{"numeric":[">",0,"<=",5]}]}}`:                         true,
		`{"detail":{"n":[{"numeric":[">",0,"<",5]}]}}`:                          false,
		`{"detail":{"n":[{"numeric":[">=",5]}]}}`:                               true,
		`{"detail":{"state":[{"numeric":[">=",5]}]}}`:                           false,
		`{"detail":{"tags":["blue"]}}`:                                          true,
		`{"detail":{"tags":["green"]}}`:                                         false,
		`{"detail":{"items":{"sku":["b"]}}}`:                                    true,
		`{"detail":{"items":{"sku":["b"],"n":[9]}}}`:                            true,
		`{"detail":{"items":{"sku":["a"],"n":[9]}}}`:                            false, // of one element
		`{"detail":{"deep":{"er":{"x":["y"]}}}}`:                                true,
		`{"detail":{"state":["placed"],"n":[6]}}`:                               false,
		`{"detail":{"state":["x",{"prefix":"pl"}]},"source":[{"exists":true}]}`: true,
	} {
		t.Run(pattern, func(t *testing.T) {
			w := newWorld(t, nil)
			in := w.listen("default", pattern)
			w.put(entry(detail))
			if got := len(in.all()) == 1; got != want {
				t.Errorf("matched: %v", got)
			}
		})
	}
}

// Every fault is off by default: one delivery each, in order, of exactly the bytes that were put.
func TestDeliversFaithfully(t *testing.T) {
	w := newWorld(t, nil)
	in := w.listen("default", `{"source":["`+command+`"]}`)
	var want []string
	for i := range 30 {
		detail := fmt.Sprintf(`{ "b":%d.0, "a" : "\u00e9<&>" }`, i)
		want = append(want, detail)
		w.put(entry(detail))
	}
	for i, doc := range in.docs {
		if !strings.HasSuffix(string(doc), `"detail":`+want[i]+`}`) {
			t.Errorf("delivery %d: %s", i, doc)
		}
	}
	if len(in.docs) != len(want) {
		t.Errorf("%d deliveries", len(in.docs))
	}
}

func putMany(t *testing.T, w *world, n int) {
	t.Helper()
	for start := 0; start < n; start += 10 {
		var list []types.PutEventsRequestEntry
		for i := start; i < min(n, start+10); i++ {
			list = append(list,
				entry(fmt.Sprintf(`{"n":%d,"list":[1.50,-0,9007199254740993,1e3,{"<é>":"a\u2028\ud83d\ude00\"\\"}],"t":true,"z":null}`, i)))
		}
		if _, err := w.client.PutEvents(t.Context(), &eventbridge.PutEventsInput{Entries: list}); err != nil {
			t.Fatal(err)
		}
	}
	w.drain()
}

func numbers(in *inbox) (list []int) {
	for _, e := range in.all() {
		list = append(list, int(e["detail"].(map[string]any)["n"].(float64)))
	}
	return list
}

func TestDeliversBadly(t *testing.T) {
	const n = 200
	all := localaws.Delivery{Duplicate: 0.3, Reorder: 8, Delay: time.Millisecond, Reserialise: true}
	w := newWorld(t, &localaws.Options{Seed: 7, Delivery: all})
	in := w.listen("default", `{"detail":{"t":[true]}}`)
	putMany(t, w, n)
	list := numbers(in)
	if slices.IsSorted(list) {
		t.Error("nothing was overtaken")
	}
	if len(list) <= n {
		t.Errorf("%d deliveries of %d events: no duplicates", len(list), n)
	}
	slices.Sort(list)
	if got := len(slices.Compact(list)); got != n {
		t.Errorf("%d of %d events were delivered", got, n)
	}
	spellings := map[string]bool{}
	for _, doc := range in.docs {
		_, detail, _ := strings.Cut(string(doc), `"detail":`)
		spellings[strings.ReplaceAll(detail, " ", "")] = true
		got, err := jsontext.AppendCanonical(nil, []byte(detail[:len(detail)-1]))
		var v struct{ N float64 } // 1e0 is an integer, too
		if err != nil || json.Unmarshal([]byte(detail[:len(detail)-1]), &v) != nil {
			t.Fatalf("%v: %s", err, doc)
		}
		want, err := jsontext.AppendCanonical(nil,
			fmt.Appendf(nil,
				`{"n":%v,"list":[1.5,0,9007199254740993,1000,{"<é>":"a\u2028😀\"\\"}],"t":true,"z":null}`,
				v.N))
		if err != nil || string(got) != string(want) {
			t.Fatalf("re-serialised to another value:\n%s\n%s", got, want)
		}
	}
	if len(spellings) < n {
		t.Errorf("only %d spellings", len(spellings))
	}
}

// A seed repeats what goes wrong.
func TestSeedRepeatsFaults(t *testing.T) {
	run := func(seed uint64) []int {
		w := newWorld(t, &localaws.Options{Seed: seed, Delivery: localaws.Delivery{Duplicate: 0.3}})
		in := w.listen("default", `{"source":["`+command+`"]}`)
		putMany(t, w, 50)
		return numbers(in)
	}
	if a, b := run(1), run(1); !slices.Equal(a, b) {
		t.Errorf("one seed, two runs: %v, %v", a, b)
	}
	if a, b := run(1), run(2); slices.Equal(a, b) {
		t.Error("two seeds, one run")
	}
}

// TestFunctionIsRetriedTwice: a function that fails is called twice more, then the event goes to OnFailure.
func TestFunctionIsRetriedTwice(t *testing.T) {
	for _, c := range []struct {
		retry         bool
		failures      int
		calls, failed int
	}{
		{retry: true, failures: 0, calls: 1},
		{retry: true, failures: 2, calls: 3},
		{retry: true, failures: 3, calls: 3, failed: 1},
		{retry: false, failures: 1, calls: 1, failed: 1},
	} {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			var calls, failed atomic.Int64
			w := newWorld(t, &localaws.Options{
				Delivery:  localaws.Delivery{Retry: c.retry},
				OnFailure: func(string, []byte) { failed.Add(1) },
			})
			w.rule("default", `{"source":["`+command+
				`"]}`, w.server.Function("f", func(context.Context, []byte) error {
				if calls.Add(1) <= int64(c.failures) {
					return errors.New("failed")
				}
				return nil
			}))
			w.put(entry(`{}`))
			if int(calls.Load()) != c.calls || int(failed.Load()) != c.failed {
				t.Errorf("%d calls, %d failed", calls.Load(), failed.Load())
			}
		})
	}
}

// TestStatusDecidesWhetherAnEndpointIsRetried: what status is taken, tried again, or given up.
func TestStatusDecidesWhetherAnEndpointIsRetried(t *testing.T) {
	for status, want := range map[int]struct{ calls, failed int }{
		200: {1, 0}, 204: {1, 0}, 400: {1, 1}, 404: {1, 1}, 301: {1, 1},
		401: {4, 1}, 429: {4, 1}, 500: {4, 1}, 503: {4, 1},
	} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			var mu sync.Mutex
			var bodies []string
			failed := 0
			endpoint := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				mu.Lock()
				bodies = append(bodies, string(body))
				mu.Unlock()
				rw.WriteHeader(status)
			}))
			defer endpoint.Close()
			w := newWorld(t, &localaws.Options{Delivery: localaws.Delivery{Retry: true},
				OnFailure: func(string, []byte) { failed++ }})
			_, err := w.client.PutRule(t.Context(),
				&eventbridge.PutRuleInput{Name: aws.String("r"),
					EventPattern: aws.String(`{"source":[{"exists":true}]}`)})
			w.check(err)
			_, err = w.client.PutTargets(t.Context(),
				&eventbridge.PutTargetsInput{Rule: aws.String("r"), Targets: []types.Target{{
					Id: aws.String("1"), Arn: aws.String(w.server.Endpoint("partner", endpoint.URL)),
					RetryPolicy: &types.RetryPolicy{MaximumRetryAttempts: aws.Int32(3)},
				}}})
			w.check(err)
			w.put(entry(`{"a":1}`))
			if len(bodies) != want.calls || failed != want.failed ||
				!strings.HasSuffix(bodies[0], `"detail":{"a":1}}`) {
				t.Errorf("%d calls, %d failed: %s", len(bodies), failed, bodies)
			}
		})
	}
}

func TestRulesAreEdited(t *testing.T) {
	w := newWorld(t, nil)
	in := w.listen("default", `{"source":["`+command+`"]}`)
	w.put(entry(`{}`))
	name := "rule-" + strings.NewReplacer(":", "-", "/",
		"-").Replace("arn:aws:lambda:us-east-1:000000000000:function:none")
	if _, err := w.client.DeleteRule(t.Context(),
		&eventbridge.DeleteRuleInput{Name: aws.String(name)}); err != nil {
		t.Errorf("deleting a rule that does not exist: %v", err)
	}
	put := func(state types.RuleState) {
		_, err := w.client.PutRule(t.Context(), &eventbridge.PutRuleInput{Name: aws.String("second"),
			EventPattern: aws.String(`{"source":[{"exists":true}]}`), State: state})
		w.check(err)
	}
	put(types.RuleStateEnabled)
	second := &inbox{t: t}
	_, err := w.client.PutTargets(t.Context(), &eventbridge.PutTargetsInput{Rule: aws.String("second"),
		Targets: []types.Target{{Id: aws.String("1"),
			Arn: aws.String(w.server.Function("second", second.take))}}})
	w.check(err)
	if _, err := w.client.DeleteRule(t.Context(),
		&eventbridge.DeleteRuleInput{Name: aws.String("second")}); codeOf(err) != "ValidationException" {
		t.Errorf("deleting a rule that has targets: %v", err)
	}
	w.put(entry(`{}`))
	put(types.RuleStateDisabled)
	w.put(entry(`{}`))
	put(types.RuleStateEnabled)
	_, err = w.client.RemoveTargets(t.Context(), &eventbridge.RemoveTargetsInput{Rule: aws.String("second"),
		Ids: []string{"1"}})
	w.check(err)
	w.put(entry(`{}`))
	if got := [2]int{len(in.all()), len(second.all())}; got != [2]int{4, 1} {
		t.Errorf("delivered %v", got)
	}
}

// TestCallFaults: in which of them the events are on the bus all the same.
func TestCallFaults(t *testing.T) {
	for fault, want := range map[localaws.CallFault]struct {
		code      string
		delivered int
	}{
		localaws.NoFault: {"", 1}, localaws.Throttled: {"ThrottlingException", 0},
		localaws.InternalError: {"InternalException", 0},
		localaws.CutBefore:     {"", 0}, localaws.CutAfter: {"", 1}, localaws.GarbageAnswer: {"", 1},
	} {
		t.Run(fmt.Sprint(fault), func(t *testing.T) {
			w := newWorld(t, &localaws.Options{Faults: localaws.Faults{Script: func(action string,
				_ int) localaws.CallFault {
				if action == "PutEvents" {
					return fault
				}
				return localaws.NoFault
			}}})
			in := w.listen("default", `{"source":["`+command+`"]}`)
			_, err := w.client.PutEvents(t.Context(),
				&eventbridge.PutEventsInput{Entries: []types.PutEventsRequestEntry{entry(`{}`)}})
			w.drain()
			if (err == nil) != (fault == localaws.NoFault) || want.code != "" && codeOf(err) != want.code {
				t.Errorf("error %v", err)
			}
			if got := len(in.all()); got != want.delivered {
				t.Errorf("%d delivered", got)
			}
		})
	}
}

// TestFaultShares: entries and calls fail about as often as asked, and only these.
func TestFaultShares(t *testing.T) {
	const calls = 300
	w := newWorld(t, &localaws.Options{Seed: 3, Faults: localaws.Faults{EntryThrottled: 0.1,
		EntryInternal: 0.1, Call: 0.2}})
	codes, failedCalls, done := map[string]int{}, 0, 0
	for range calls {
		out, err := w.client.PutEvents(t.Context(),
			&eventbridge.PutEventsInput{Entries: slices.Repeat([]types.PutEventsRequestEntry{entry(`{}`)},
				3)})
		if err != nil {
			failedCalls++
			continue
		}
		for _, r := range out.Entries {
			codes[aws.ToString(r.ErrorCode)]++
			done++
		}
	}
	about := func(what string, got int, of int, share float64) {
		if f := float64(got) / float64(of); f < share/2 || f > share*2 {
			t.Errorf("%s: %d of %d", what, got, of)
		}
	}
	about("calls", failedCalls, calls, 0.2)
	about("throttled", codes["ThrottlingException"], done, 0.1)
	about("internal", codes["InternalFailure"], done, 0.1)
	if len(codes) != 3 || w.server.Calls() != calls {
		t.Errorf("codes %v, %d calls", codes, w.server.Calls())
	}
}

func TestDenyAndNonsense(t *testing.T) {
	w := newWorld(t,
		&localaws.Options{Deny: func(action string) bool { return action == "DescribeEventBus" }})
	if _, err := w.client.DescribeEventBus(t.Context(),
		&eventbridge.DescribeEventBusInput{}); codeOf(err) != "AccessDeniedException" {
		t.Errorf("denied: %v", err)
	}
	if _, err := w.client.ListEndpoints(t.Context(),
		&eventbridge.ListEndpointsInput{}); codeOf(err) != "UnknownOperationException" {
		t.Errorf("an action that the fake does not have: %v", err)
	}
	for name, c := range map[string]struct{ target, auth, body, want string }{
		"unsigned": {"AWSEvents.PutEvents", "", `{}`, "MissingAuthenticationTokenException"},
		"not JSON": {"AWSEvents.PutEvents", "AWS4-HMAC-SHA256 x", `{`, "SerializationException"},
		"other target": {"Kinesis_20131202.PutRecord", "AWS4-HMAC-SHA256 x", `{}`,
			"UnknownOperationException"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.server.URL(),
			strings.NewReader(c.body))
		w.check(err)
		req.Header.Set("X-Amz-Target", c.target)
		req.Header.Set("Authorization", c.auth)
		resp, err := http.DefaultClient.Do(req)
		w.check(err)
		var got struct {
			Type string `json:"__type"`
		}
		w.check(json.NewDecoder(resp.Body).Decode(&got))
		resp.Body.Close()
		if got.Type != c.want || resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %s, %s", name, got.Type, resp.Status)
		}
	}
}

// TestRefusedEntries: what the recordings do not have.
func TestRefusedEntries(t *testing.T) {
	w := newWorld(t, nil)
	got := map[string]string{}
	for name, change := range map[string]func(*types.PutEventsRequestEntry){
		"reserved source":  func(e *types.PutEventsRequestEntry) { e.Source = aws.String("aws.events") },
		"long detail type": func(e *types.PutEventsRequestEntry) { e.DetailType = aws.String(strings.Repeat("é", 129)) },
		"128 characters":   func(e *types.PutEventsRequestEntry) { e.DetailType = aws.String(strings.Repeat("é", 128)) },
		"wide integer":     func(e *types.PutEventsRequestEntry) { e.Detail = aws.String(`{"n":9223372036854775808}`) },
		"widest integer":   func(e *types.PutEventsRequestEntry) { e.Detail = aws.String(`{"n":-9223372036854775808}`) },
	} {
		e := entry(`{}`)
		change(&e)
		got[name] = aws.ToString(w.put(e).Entries[0].ErrorCode)
	}
	want := map[string]string{
		"reserved source": "NotAuthorizedForSourceException", "long detail type": "InvalidArgument",
		"128 characters": "",
		"wide integer":   "MalformedDetail", "widest integer": "",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
}

// Close does not wait for deliveries that no target takes, and Drain ends with its context.
func TestCloseAndDrain(t *testing.T) {
	server, err := localaws.Start(nil)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, server: server, client: newClient(server.URL())}
	begun := make(chan struct{})
	w.rule("default", `{"source":["`+command+`"]}`,
		server.Function("slow", func(ctx context.Context, _ []byte) error {
			close(begun)
			<-ctx.Done()
			return ctx.Err()
		}))
	_, err = w.client.PutEvents(t.Context(),
		&eventbridge.PutEventsInput{Entries: []types.PutEventsRequestEntry{entry(`{}`), entry(`{}`)}})
	w.check(err)
	<-begun
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := server.Drain(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("drained: %v", err)
	}
	w.check(server.Close())
	w.check(server.Drain(t.Context()))
}
