package localaws_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"github.com/sealbus/sealbus/internal/localaws"
)

// busARN is the ARN of a bus of the recordings' account.
func busARN(name string) *string {
	return aws.String("arn:aws:events:us-east-1:" + account + ":event-bus/" + name)
}

func (w *world) archive(bus, name string) (arn *string) {
	w.t.Helper()
	out, err := w.client.CreateArchive(w.t.Context(),
		&eventbridge.CreateArchiveInput{ArchiveName: aws.String(name), EventSourceArn: busARN(bus)})
	w.check(err)
	return out.ArchiveArn
}

// start replays what there is of the last hour.
func (w *world) start(archive *string, bus, name string,
	rules ...string) (*eventbridge.StartReplayOutput, error) {
	now := time.Now()
	if w.opts.Now != nil {
		now = w.opts.Now()
	}
	return w.client.StartReplay(w.t.Context(), &eventbridge.StartReplayInput{
		ReplayName: aws.String(name), Description: aws.String("description of the replay"),
		EventSourceArn: archive,
		EventStartTime: aws.Time(now.Add(-time.Hour)),
		EventEndTime:   aws.Time(now.Add(time.Hour)),
		Destination:    &types.ReplayDestination{Arn: busARN(bus), FilterArns: rules},
	})
}

func (w *world) mustStart(archive *string, bus, name string, rules ...string) *eventbridge.StartReplayOutput {
	w.t.Helper()
	out, err := w.start(archive, bus, name, rules...)
	w.check(err)
	return out
}

func (w *world) listReplays(in *eventbridge.ListReplaysInput) *eventbridge.ListReplaysOutput {
	w.t.Helper()
	out, err := w.client.ListReplays(w.t.Context(), in)
	w.check(err)
	return out
}

func startAndCancel(bus string) func(*testing.T, *world, recording) {
	return func(t *testing.T, _ *world, want recording) {
		release := make(chan struct{})
		w := newWorld(t, &localaws.Options{Account: account, Replaying: func(name string) {
			if name == "held" {
				<-release
			}
		}})
		if bus != "default" {
			w.createBus(bus)
		}
		archive := w.archive(bus, "archive")
		e := entry(commandDetail)
		e.EventBusName = aws.String(bus)
		w.put(e, e, e)
		in, other := w.listen(bus, `{"source":["`+command+`"]}`), w.listen(bus, `{"source":["`+command+`"]}`)
		rules, err := w.client.ListRules(t.Context(),
			&eventbridge.ListRulesInput{EventBusName: aws.String(bus)})
		w.check(err)
		rule := *rules.Rules[0].Arn
		w.same(want["start-replay"], w.mustStart(archive, bus, "first", rule))
		w.drain()
		w.sameEvents(want["replay-messages"], in)
		if n := len(other.all()); n > 0 {
			t.Errorf("the replay was for one rule, and another one got %d events", n)
		}
		w.same(want["list-replays"],
			w.listReplays(&eventbridge.ListReplaysInput{NamePrefix: aws.String("first")}))
		described, err := w.client.DescribeReplay(t.Context(),
			&eventbridge.DescribeReplayInput{ReplayName: aws.String("first")})
		w.check(err)
		w.same(want["describe-replay"], described)
		w.mustStart(archive, bus, "held", rule)
		canceled, err := w.client.CancelReplay(t.Context(),
			&eventbridge.CancelReplayInput{ReplayName: aws.String("held")})
		w.check(err)
		w.same(want["cancel-replay"], canceled)
		described, err = w.client.DescribeReplay(t.Context(),
			&eventbridge.DescribeReplayInput{ReplayName: aws.String("held")})
		w.check(err)
		w.same(want["describe-replay-canceled"], described)
		close(release)
		w.drain()
		described, err = w.client.DescribeReplay(t.Context(),
			&eventbridge.DescribeReplayInput{ReplayName: aws.String("held")})
		w.check(err)
		if n := len(in.all()); described.State != types.ReplayStateCancelled || n != 3 {
			t.Errorf("the cancelled replay is %s, and there were %d events in all", described.State, n)
		}
	}
}

func listByPrefix(_ *testing.T, w *world, want recording) {
	archive := w.archive("default", "archive")
	for _, name := range []string{"other", "prefix-test-replay"} {
		w.mustStart(archive, "default", name)
	}
	w.drain()
	w.same(want["list-replays-with-full-name"],
		w.listReplays(&eventbridge.ListReplaysInput{NamePrefix: aws.String("prefix-test-replay")}))
	w.same(want["list-replays-with-prefix"],
		w.listReplays(&eventbridge.ListReplaysInput{NamePrefix: aws.String("prefix")}))
}

func listByPages(_ *testing.T, w *world, want recording) {
	archive := w.archive("default", "archive")
	for i := range 6 {
		w.mustStart(archive, "default", fmt.Sprintf("prefix-test-replay-%d", i))
	}
	w.drain()
	first := w.listReplays(&eventbridge.ListReplaysInput{NamePrefix: aws.String("prefix"),
		Limit: aws.Int32(3)})
	w.same(want["list-replays-with-limit"], first)
	w.same(want["list-replays-with-limit-next-token"],
		w.listReplays(&eventbridge.ListReplaysInput{NamePrefix: aws.String("prefix"), Limit: aws.Int32(3),
			NextToken: first.NextToken}))
}

func listByArchive(_ *testing.T, w *world, want recording) {
	archive, other := w.archive("default", "archive"), w.archive("default", "other")
	w.mustStart(archive, "default", "a")
	w.mustStart(other, "default", "b")
	w.drain()
	w.same(want["list-replays-with-event-source-arn"],
		w.listReplays(&eventbridge.ListReplaysInput{EventSourceArn: archive}))
}

func sameName(otherArchive bool) func(*testing.T, *world, recording) {
	return func(_ *testing.T, w *world, want recording) {
		archive := w.archive("default", "archive")
		w.mustStart(archive, "default", "taken")
		if otherArchive {
			archive = w.archive("default", "other")
		}
		_, err := w.start(archive, "default", "taken")
		w.sameError(want["start-replay-duplicate-error"], err, strings.NewReplacer("taken", "<replay-name>"))
	}
}

func unknownReplay(t *testing.T, w *world, want recording) {
	_, err := w.client.DescribeReplay(t.Context(),
		&eventbridge.DescribeReplayInput{ReplayName: aws.String("missing")})
	w.sameError(want["describe-replay-unknown-replay-error"], err,
		strings.NewReplacer("missing", "<replay-name>"))
}

// TestReplaySendsTheSameEvents: the same events by Go's method, of those times only, and never those that
// were replayed.
func TestReplaySendsTheSameEvents(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	w := newWorld(t, &localaws.Options{Now: func() time.Time { return at }})
	w.check(w.server.Archive("default"))
	in := w.listen("default", `{"source":["`+command+`"]}`)
	for i := range 3 {
		e := entry(fmt.Sprintf(`{"n":%d}`, i))
		e.Time = aws.Time(at.Add(time.Duration(i) * time.Minute))
		w.put(e)
	}
	for _, name := range []string{"one", "two"} {
		w.check(w.server.Replay(name, "default", at.Add(time.Minute), at.Add(time.Hour)))
		w.drain()
	}
	var got []string
	for _, e := range in.all() {
		got = append(got, fmt.Sprint(e["replay-name"], e["time"], e["detail"]))
	}
	want := "[<nil>2026-01-02T03:04:05Zmap[n:0] <nil>2026-01-02T03:05:05Zmap[n:1] <nil>2026-01-02T03:06:05Zmap[n:2]" +
		" one2026-01-02T03:05:05Zmap[n:1] one2026-01-02T03:06:05Zmap[n:2] two2026-01-02T03:05:05Zmap[n:1] two2026-01-02T03:06:05Zmap[n:2]]"
	if fmt.Sprint(got) != want {
		t.Errorf("got %v", got)
	}
	if err := w.server.Replay("one", "default", at, at.Add(time.Hour)); err == nil {
		t.Error("a name was used twice")
	}
	if err := w.server.Replay("three", "missing", at, at.Add(time.Hour)); err == nil {
		t.Error("a bus that keeps nothing was replayed")
	}
}

// TestArchivePattern: an archive keeps what matches.
func TestArchivePattern(t *testing.T) {
	w := newWorld(t, &localaws.Options{Account: account})
	out, err := w.client.CreateArchive(t.Context(), &eventbridge.CreateArchiveInput{
		ArchiveName: aws.String("some"), EventSourceArn: busARN("default"),
		EventPattern: aws.String(`{"detail":{"keep":[true]}}`),
	})
	w.check(err)
	w.put(entry(`{"keep":true}`), entry(`{"keep":false}`))
	in := w.listen("default", `{"source":["`+command+`"]}`)
	w.mustStart(out.ArchiveArn, "default", "r")
	w.drain()
	if got := in.all(); len(got) != 1 || fmt.Sprint(got[0]["detail"]) != "map[keep:true]" {
		t.Errorf("replayed %v", got)
	}
}

func TestReplayRefused(t *testing.T) {
	w := newWorld(t, &localaws.Options{Account: account})
	w.createBus("other")
	archive := w.archive("default", "archive")
	for what, c := range map[string]struct {
		err  error
		code string
	}{
		"a name that is taken": {second(w.client.CreateArchive(t.Context(),
			&eventbridge.CreateArchiveInput{ArchiveName: aws.String("archive"),
				EventSourceArn: busARN("default")})), "ResourceAlreadyExistsException"},
		"a bus that is none": {second(w.client.CreateArchive(t.Context(),
			&eventbridge.CreateArchiveInput{ArchiveName: aws.String("b"),
				EventSourceArn: busARN("missing")})), "ResourceNotFoundException"},
		"a pattern that is none": {second(w.client.CreateArchive(t.Context(), &eventbridge.CreateArchiveInput{
			ArchiveName: aws.String("c"), EventSourceArn: busARN("default"), EventPattern: aws.String("{"),
		})), "InvalidEventPatternException"},
		"another bus": {second(w.start(archive, "other", "r")), "ValidationException"},
		"an archive that is none": {second(w.start(aws.String(*archive+"-missing"), "default", "r")),
			"ValidationException"},
		"cancelling nothing": {second(w.client.CancelReplay(t.Context(),
			&eventbridge.CancelReplayInput{ReplayName: aws.String("r")})), "ResourceNotFoundException"},
	} {
		if codeOf(c.err) != c.code {
			t.Errorf("%s: %v", what, c.err)
		}
	}
	w.mustStart(archive, "default", "over")
	w.drain()
	if _, err := w.client.CancelReplay(t.Context(),
		&eventbridge.CancelReplayInput{ReplayName: aws.String("over")}); codeOf(err) != "IllegalStatusException" {
		t.Errorf("cancelling what is over: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }
