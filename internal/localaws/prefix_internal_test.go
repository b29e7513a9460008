package localaws

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// recorded is a server whose changes are kept in a list, and not on the disk.
type recorded struct {
	*testing.T
	*Server
	clock atomic.Int64 // in Unix seconds
}

// newRecorded starts with what a new directory has.
func newRecorded(t *testing.T, dir string) *recorded {
	r := &recorded{T: t}
	r.clock.Store(1_700_000_000)
	opts := Options{Dir: dir, Now: func() time.Time { return time.Unix(r.clock.Load(), 0) }}
	s, err := Start(&opts)
	r.check(err)
	db := s.journal
	s.journal = &journal{db: db.db, moved: make(chan struct{}), wanted: make(chan struct{}, 1)} // nothing writes
	r.Server = s
	t.Cleanup(func() {
		s.stop()
		_ = s.http.Close() // the changes are there
		s.closeSinks()
		s.background.Wait()
		r.check(db.close())
	})
	return r
}

func (r *recorded) check(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// do is a call, without its wait for the disk.
func (r *recorded) do(a *api, action, format string, args ...any) any {
	r.Helper()
	request, err := http.NewRequestWithContext(r.Context(), http.MethodPost, "/", http.NoBody)
	r.check(err)
	out, err := a.actions[action](withScope(request, action), r.Server, fmt.Appendf(nil, format, args...))
	if err != nil {
		r.Fatalf("%s: %v", action, err)
	}
	r.check(r.Drain(r.Context()))
	return out
}

// once is do for an action whose changes are to be kept all or none.
func (r *recorded) once(a *api, action, format string, args ...any) {
	r.Helper()
	before := r.made()
	r.do(a, action, format, args...)
	if n := r.made() - before; n != 1 {
		r.Errorf("%s makes %d changes: a kill leaves a part of it", action, n)
	}
}

func (r *recorded) made() int {
	r.journal.mu.Lock()
	defer r.journal.mu.Unlock()
	return len(r.journal.changes)
}

// events, a rule that matches them with two targets, an archive and a replay of it.
func (r *recorded) playEvents() {
	const bus = "arn:aws:events:us-east-1:000000000000:event-bus/b"
	r.do(sqsAPI, "CreateQueue", `{"QueueName":"target"}`)
	r.do(eventsAPI, "CreateEventBus", `{"Name":"b"}`)
	r.do(eventsAPI, "PutRule", `{"Name":"r","EventBusName":"b","EventPattern":"{\"source\":[\"s\"]}"}`)
	r.do(eventsAPI, "PutTargets", `{"Rule":"r","EventBusName":"b","Targets":[`+
		`{"Id":"1","Arn":"arn:aws:sqs:us-east-1:000000000000:target"},`+
		`{"Id":"2","Arn":"arn:aws:sqs:us-east-1:000000000000:none"}]}`)
	r.do(eventsAPI, "CreateArchive", `{"ArchiveName":"a","EventSourceArn":%q}`, bus)
	entry := `{"Source":"s","DetailType":"t","Detail":"{}","EventBusName":"b"}`
	r.do(eventsAPI, "PutEvents", `{"Entries":[%s,%[1]s,%[1]s]}`, entry)
	r.do(eventsAPI, "StartReplay", `{"ReplayName":"p","EventSourceArn":`+
		`"arn:aws:events:us-east-1:000000000000:archive/a","EventStartTime":1,"EventEndTime":2000000000,`+
		`"Destination":{"Arn":%q}}`, bus)
	r.once(eventsAPI, "DeleteArchive", `{"ArchiveName":"a"}`)
	r.once(eventsAPI, "RemoveTargets", `{"Rule":"r","EventBusName":"b","Ids":["1","2"]}`)
	r.once(eventsAPI, "DeleteRule", `{"Name":"r","EventBusName":"b"}`)
	r.once(eventsAPI, "DeleteEventBus", `{"Name":"b"}`)
}

// FIFO queues with duplicates, and messages that go to a dead-letter queue.
func (r *recorded) playQueues() {
	url := func(name string) string { return r.queueURL(name) }
	r.do(sqsAPI, "CreateQueue", `{"QueueName":"dead.fifo","Attributes":{"FifoQueue":"true"}}`)
	r.do(sqsAPI, "CreateQueue", `{"QueueName":"q.fifo","Attributes":{"FifoQueue":"true",`+
		`"ContentBasedDeduplication":"true","VisibilityTimeout":"0","RedrivePolicy":"{\"deadLetterTargetArn\":`+
		`\"arn:aws:sqs:us-east-1:000000000000:dead.fifo\",\"maxReceiveCount\":1}"}}`)
	entry := func(id, body string) string {
		return fmt.Sprintf(`{"Id":%q,"MessageBody":%q,"MessageGroupId":"g"}`, id, body)
	}
	r.do(sqsAPI, "SendMessageBatch", `{"QueueUrl":%q,"Entries":[%s,%s,%s]}`, url("q.fifo"), entry("1", "x"),
		entry("2", "y"), entry("3", "x"))
	for range 2 {
		r.do(sqsAPI, "ReceiveMessage", `{"QueueUrl":%q,"MaxNumberOfMessages":1}`, url("q.fifo"))
	}
	r.clock.Add(int64(2 * dedupWindow / time.Second))
	r.do(sqsAPI, "SendMessage", `{"QueueUrl":%q,"MessageBody":"x","MessageGroupId":"h"}`, url("q.fifo"))
	r.Lock()
	r.addMapping(&mapping{id: "m", queue: r.queueARN("q.fifo"), function: "f"})
	r.Unlock()
	r.once(sqsAPI, "PurgeQueue", `{"QueueUrl":%q}`, url("dead.fifo"))
	r.do(sqsAPI, "SendMessageBatch", `{"QueueUrl":%q,"Entries":[%s,%s]}`, url("q.fifo"), entry("1", "a"),
		entry("2", "b"))
	for _, name := range []string{"q.fifo", "dead.fifo", "target"} {
		r.once(sqsAPI, "DeleteQueue", `{"QueueUrl":%q}`, url(name))
	}
}

func (r *recorded) Lock()   { r.Server.mu.Lock() }
func (r *recorded) Unlock() { r.Server.mu.Unlock() }

func (r *recorded) queueURL(name string) string { return r.URL() + "/000000000000/" + name }

// tables and buckets with what is in them.
func (r *recorded) playStores() {
	r.do(dynamoAPI, "CreateTable", `{"TableName":"table","KeySchema":[{"AttributeName":"id","KeyType":"HASH"}],`+
		`"AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}]}`)
	for i := range 3 {
		r.do(dynamoAPI, "PutItem", `{"TableName":"table","Item":{"id":{"S":"i%d"}}}`, i)
	}
	r.once(dynamoAPI, "DeleteTable", `{"TableName":"table"}`)
	r.do(s3API, "CreateBucket", `{"Method":"PUT","Bucket":"bucket"}`)
	r.do(s3API, "PutObject", `{"Method":"PUT","Bucket":"bucket","Key":"a/b","Length":1,"Body":"eA==",`+
		`"Header":{"X-Amz-Content-Sha256":["UNSIGNED-PAYLOAD"]}}`)
	r.once(s3API, "DeleteObject", `{"Method":"DELETE","Bucket":"bucket","Key":"a/b"}`)
	r.once(s3API, "DeleteBucket", `{"Method":"DELETE","Bucket":"bucket"}`)
}

// keys of several regions with aliases, until they are gone.
func (r *recorded) playKeys() {
	out := r.do(kmsAPI, "CreateKey", `{"MultiRegion":true}`).(*keyAnswer)
	id := out.KeyMetadata.KeyID
	r.do(kmsAPI, "CreateAlias", `{"AliasName":"alias/one","TargetKeyId":%q}`, id)
	r.do(kmsAPI, "CreateAlias", `{"AliasName":"alias/two","TargetKeyId":%q}`, id)
	r.do(kmsAPI, "ReplicateKey", `{"KeyId":%q,"ReplicaRegion":"eu-west-1"}`, id)
	r.do(kmsAPI, "EnableKeyRotation", `{"KeyId":%q}`, id)
	r.once(kmsAPI, "ScheduleKeyDeletion", `{"KeyId":%q,"PendingWindowInDays":7}`, id)
	r.clock.Add(int64(8 * day / time.Second))
	r.once(kmsAPI, "ListAliases", `{}`)
}

// TestEachPrefixOfTheChangesIsRead: a kill leaves some of the changes on the disk, in their order. A server
// starts with any number of them, and lists what is there.
func TestEachPrefixOfTheChangesIsRead(t *testing.T) {
	dir := t.TempDir()
	first, err := Start(&Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	empty, err := os.ReadFile(filepath.Join(dir, journalFile))
	if err != nil {
		t.Fatal(err)
	}
	r := newRecorded(t, dir)
	r.playEvents()
	r.playQueues()
	r.playStores()
	r.playKeys()
	changes := r.journal.changes
	if len(changes) < 60 {
		t.Errorf("%d changes are too few to say anything", len(changes))
	}
	for n := range len(changes) + 1 {
		startWith(t, r.opts.Now, empty, changes[:n])
	}
}

// startWith starts with a file that has these changes.
func startWith(t *testing.T, now func() time.Time, empty []byte, changes [][]row) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, journalFile), empty, 0o600); err != nil {
		t.Fatal(err)
	}
	j := openTestJournal(t, dir)
	j.db.NoSync = true
	for _, rows := range changes {
		j.change(rows...)
	}
	if err := j.close(); err != nil {
		t.Fatal(err)
	}
	s, err := Start(&Options{Dir: dir, Now: now})
	if err != nil {
		t.Errorf("after %d changes, of which the last is %s: %v", len(changes), describe(changes), err)
		return
	}
	defer s.Close()
	if err := s.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	for _, of := range []struct {
		*api
		action, in string
	}{
		{eventsAPI, "ListEventBuses", `{}`}, {eventsAPI, "ListArchives", `{}`}, {eventsAPI, "ListReplays", `{}`},
		{sqsAPI, "ListQueues", `{}`}, {dynamoAPI, "ListTables", `{}`}, {s3API, "ListBuckets", `{}`},
		{kmsAPI, "ListAliases", `{}`}, {lambdaAPI, "ListEventSourceMappings", `{}`},
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "/", http.NoBody)
		if err == nil {
			_, err = of.actions[of.action](withScope(request, of.action), s, []byte(of.in))
		}
		if err != nil {
			t.Errorf("after %d changes: %s: %v", len(changes), of.action, err)
		}
	}
}

func describe(changes [][]row) string {
	if len(changes) == 0 {
		return "none"
	}
	var rows []string
	for _, r := range changes[len(changes)-1] {
		what := "put"
		if r.value == nil {
			what = "remove"
		}
		rows = append(rows, fmt.Sprintf("%s %q of %s", what, r.key, r.bucket))
	}
	return strings.Join(rows, ", ")
}

// TestEventsWithoutTheirArchiveAreRemoved: an older version, killed while it deleted an archive, left events
// without it.
func TestEventsWithoutTheirArchiveAreRemoved(t *testing.T) {
	dir := t.TempDir()
	j := openTestJournal(t, dir)
	for i := range 3 {
		j.put(bucketArchived, "a "+orderKey(uint64(i+1)), keptEvent{ID: fmt.Sprint(i), Detail: `{}`})
	}
	if err := j.close(); err != nil {
		t.Fatal(err)
	}
	s, err := Start(&Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.newOrder(); got != 4 {
		t.Errorf("the next number is %d", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	j = openTestJournal(t, dir)
	defer j.close()
	if err := j.load(bucketArchived, func(key string, _ []byte) error { return fmt.Errorf("%q is left", key) }); err != nil {
		t.Error(err)
	}
}
