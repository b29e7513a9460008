package pollqueue

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys/trust"
)

// outage is a source of trust that is unavailable for some time.
type outage struct{ from, to time.Time }

func (o outage) Bundle(context.Context) (*trust.Bundle, error) {
	if now := time.Now(); !now.Before(o.from) && now.Before(o.to) {
		return nil, trust.ErrUnavailable
	}
	return trust.NewBundle(trust.BundleOptions{})
}

// emptyQueue has no message, and says when it was asked.
type emptyQueue struct {
	client
	asked []time.Time
	end   func()
}

func (q *emptyQueue) ReceiveMessage(context.Context, *sqs.ReceiveMessageInput,
	...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	q.asked = append(q.asked, time.Now())
	if len(q.asked) == 10 {
		q.end()
	}
	time.Sleep(longPoll * time.Second)
	return &sqs.ReceiveMessageOutput{}, nil
}

// While trust is unavailable no message is received, as each look counts towards maxReceiveCount.
func TestQueueIsNotReadWithoutTrust(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		away := outage{start.Add(time.Minute), start.Add(time.Hour)}
		c, err := consumer.New("c", away, replay.NewMemory(nil),
			&envelope.Policy{Unsafe: envelope.Unsafe{AnySource: true}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var said bytes.Buffer
		queue := &emptyQueue{end: cancel}
		env := ui.NewEnv(nil, io.Discard, &said, ui.System{Getenv: func(string) string { return "" },
			Terminal: func(io.Writer) bool { return false }})
		p := &Poller{Env: env, Ready: c.Ready, Most: func() int32 { return Most }, client: queue}
		if err := p.Poll(ctx); err != nil {
			t.Fatal(err)
		}
		for _, at := range queue.asked {
			if !at.Before(away.from) && at.Before(away.to) {
				t.Errorf("asked %s after the start", at.Sub(start))
			}
		}
		back := queue.asked[3] // three long polls before the outage
		if late := back.Sub(away.to); late > maxPause {
			t.Errorf("reading went on %s after the outage", late)
		}
		if text := said.String(); strings.Count(text, "trust is unavailable") != 2 || // one is of the error
			strings.Count(text, "trust is available again") != 1 {
			t.Errorf("said %q", text)
		}
	})
}
