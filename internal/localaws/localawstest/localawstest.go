// Package localawstest holds the contracts of SQS, KMS, DynamoDB and S3, as far as sealbus relies on them.
// They run against every server that speaks their protocols: the one in internal/localaws, emulators of other
// people, and the services themselves.
package localawstest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
)

// Differences are those of a server from what AWS documents. nil = none.
type Differences struct {
	// Cases names the cases that the server does not pass, and says why. They have to fail, so that no
	// difference is listed that is none.
	Cases map[string]string
	// Code is what the server calls an error of AWS; nil = the same.
	Code func(aws string) string
	// Immediate says that the server does everything at once, so that nothing is waited for.
	Immediate bool
}

// SQS runs every case.
func SQS(t *testing.T, client *sqs.Client, d *Differences) {
	play(t, cases, run{client: client}, d)
}

// KMS runs every case, with keys that it makes, and whose deletion it schedules. One needs a second region at
// the same endpoint.
func KMS(t *testing.T, client *kms.Client, d *Differences) {
	play(t, keyCases(), run{keys: client}, d)
}

// DynamoDB runs every case, with tables that it makes and takes away.
func DynamoDB(t *testing.T, client *dynamodb.Client, d *Differences) {
	play(t, tableCases, run{tables: client}, d)
}

// S3 runs every case, with buckets that it makes and takes away.
func S3(t *testing.T, client *s3.Client, d *Differences) {
	play(t, objectCases, run{objects: client}, d)
}

func play(t *testing.T, cases map[string]func(*run), with run, d *Differences) {
	if d == nil {
		d = &Differences{}
	}
	for name := range d.Cases {
		if cases[name] == nil {
			t.Errorf("there is no case %q", name)
		}
	}
	for name, play := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // they wait more than they work
			r := with
			r.ctx, r.code, r.immediate = t.Context(), d.Code, d.Immediate
			r.play(play)
			r.cleanUp()
			reason, known := d.Cases[name]
			switch {
			case r.panicked:
				t.Errorf("the case does not expect such an answer: %s", r.problems)
			case known && len(r.problems) == 0:
				t.Errorf("the server does as AWS documents, and is said not to: %s", reason)
			case known:
				t.Logf("differs from AWS, as is known (%s): %s", reason, r.problems)
			default:
				for _, p := range r.problems {
					t.Error(p)
				}
			}
		})
	}
}

var cases = map[string]func(*run){
	"life of a queue":         lifeOfAQueue,
	"names and attributes":    namesAndAttributes,
	"policies":                policies,
	"a message":               aMessage,
	"all of Unicode":          allOfUnicode,
	"which attributes":        whichAttributes,
	"refused messages":        refusedMessages,
	"refused attributes":      refusedAttributes,
	"refused parameters":      refusedParameters,
	"refused calls":           refusedCalls,
	"visibility":              visibility,
	"receipt handles":         receiptHandles,
	"change what is gone":     changeWhatIsGone,
	"timeouts":                timeouts,
	"long poll":               longPoll,
	"batches":                 batches,
	"refused batches":         refusedBatches,
	"dead-letter queue":       deadLetterQueue,
	"dead-letter source":      deadLetterSource,
	"purge":                   purge,
	"purge twice":             purgeTwice,
	"FIFO order":              fifoOrder,
	"FIFO batch of one group": fifoBatch,
	"FIFO returned message":   fifoReturned,
	"FIFO deduplication":      fifoDeduplication,
	"FIFO expired handle":     fifoExpired,
	"FIFO refusals":           fifoRefusals,
}

// run is one case. Its problems are collected, because a case may be known to fail.
type run struct {
	ctx       context.Context
	client    *sqs.Client
	keys      *kms.Client
	tables    *dynamodb.Client
	objects   *s3.Client
	made      []madeKey
	undo      []func() error // what was made, is taken away after the case
	immediate bool
	code      func(string) string
	problems  []string
	panicked  bool // it is the contract that is wrong, whatever the server does
}

// stopped ends a case that cannot go on.
type stopped struct{}

func (r *run) play(f func(*run)) {
	defer func() {
		switch p := recover(); p.(type) {
		case nil, stopped:
		default:
			r.panicked = true
			r.errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	f(r)
}

func (r *run) errorf(format string, args ...any) {
	r.problems = append(r.problems, fmt.Sprintf(format, args...))
}

func (r *run) must(err error) {
	if err != nil {
		r.errorf("%v%s", err, caller())
		panic(stopped{})
	}
}

// caller is the line of the case that called a helper.
func caller() string {
	var pcs [8]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])])
	for {
		f, more := frames.Next()
		if !strings.Contains(f.Function, ".(*run).") || !more {
			return fmt.Sprintf(", at %s:%d", filepath.Base(f.File), f.Line)
		}
	}
}

// refused wants an error with a code.
func (r *run) refused(what string, err error, code string) {
	if r.code != nil {
		code = r.code(code)
	}
	if got := CodeOf(err); got != code {
		r.errorf("%s: code %q (%v), want %q", what, got, err, code)
	}
}

// CodeOf is the code of an error of the service, "" of any other.
func CodeOf(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return ""
}

// queue makes a queue for this test alone.
func (r *run) queue(attributes map[string]string) (url string) {
	name := newName()
	if attributes["FifoQueue"] == "true" {
		name += ".fifo"
	}
	out, err := r.client.CreateQueue(r.ctx, &sqs.CreateQueueInput{QueueName: aws.String(name),
		Attributes: attributes})
	r.must(err)
	return *out.QueueUrl
}

func newName() string { return "sealbus-contract-" + strings.ToLower(rand.Text()[:12]) }

func fifo() map[string]string { return map[string]string{"FifoQueue": "true"} }

func (r *run) attributes(url string, names ...types.QueueAttributeName) map[string]string {
	if len(names) == 0 {
		names = []types.QueueAttributeName{types.QueueAttributeNameAll}
	}
	out, err := r.client.GetQueueAttributes(r.ctx,
		&sqs.GetQueueAttributesInput{QueueUrl: aws.String(url), AttributeNames: names})
	r.must(err)
	return out.Attributes
}

// counts wants the queue to hold so many messages: visible, in flight, delayed.
func (r *run) counts(when, url string, want [3]string) {
	a := r.attributes(url)
	got := [3]string{a["ApproximateNumberOfMessages"], a["ApproximateNumberOfMessagesNotVisible"],
		a["ApproximateNumberOfMessagesDelayed"]}
	if got != want {
		r.errorf("%s: %v messages are visible, in flight, delayed; want %v", when, got, want)
	}
}

func (r *run) send(url, body string) *sqs.SendMessageOutput {
	out, err := r.client.SendMessage(r.ctx, &sqs.SendMessageInput{QueueUrl: aws.String(url),
		MessageBody: aws.String(body)})
	r.must(err)
	return out
}

func (r *run) sendFIFO(url, group, id, body string) *sqs.SendMessageOutput {
	in := &sqs.SendMessageInput{QueueUrl: aws.String(url), MessageBody: aws.String(body),
		MessageGroupId: aws.String(group)}
	if id != "" {
		in.MessageDeduplicationId = aws.String(id)
	}
	out, err := r.client.SendMessage(r.ctx, in)
	r.must(err)
	return out
}

// receive takes what there is. AWS answers a short poll from some of its servers only, so it polls for a
// moment.
func (r *run) receive(url string, most int32) []types.Message { return r.poll(url, most, 1, nil) }

// patience is how long a case waits, in seconds, for a message that is to come: as long as the service lets
// one poll.
const patience = 20

func (r *run) await(url string) types.Message {
	got := r.poll(url, 1, patience, nil)
	if len(got) != 1 {
		r.errorf("%d messages, want 1%s", len(got), caller())
		panic(stopped{})
	}
	return got[0]
}

func (r *run) poll(url string, most, wait int32, timeout *int32) []types.Message {
	in := &sqs.ReceiveMessageInput{
		QueueUrl: aws.String(url), MaxNumberOfMessages: most, WaitTimeSeconds: wait,
		MessageAttributeNames:       []string{"All"},
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
	}
	if timeout != nil {
		in.VisibilityTimeout = *timeout
	}
	out, err := r.client.ReceiveMessage(r.ctx, in)
	r.must(err)
	return out.Messages
}

func (r *run) delete(url string, m types.Message) {
	_, err := r.client.DeleteMessage(r.ctx, &sqs.DeleteMessageInput{QueueUrl: aws.String(url),
		ReceiptHandle: m.ReceiptHandle})
	r.must(err)
}

func (r *run) change(url string, handle *string, seconds int32) error {
	_, err := r.client.ChangeMessageVisibility(r.ctx,
		&sqs.ChangeMessageVisibilityInput{QueueUrl: aws.String(url), ReceiptHandle: handle,
			VisibilityTimeout: seconds})
	return err
}

func bodies(list []types.Message) string {
	var all []string
	for _, m := range list {
		all = append(all, aws.ToString(m.Body))
	}
	return strings.Join(all, " ")
}
