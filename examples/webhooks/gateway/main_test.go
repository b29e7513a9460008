package main

import (
	"context"
	"errors"
	"io"
	"log"
	"testing"
	"time"

	"github.com/sealbus/sealbus/webhook"
)

// counted is a gateway that counts how often it is asked to fetch its secrets.
type counted struct {
	reloads int
	fails   error
	isBound bool // each Reload had an end
}

func (c *counted) Reload(ctx context.Context, config []byte) error {
	_, c.isBound = ctx.Deadline()
	if c.reloads++; string(config) != "hooks" {
		return errors.New("another configuration")
	}
	return c.fails
}

func (c *counted) Receive(context.Context, webhook.Request, time.Time) webhook.Response {
	return webhook.Response{Status: 200}
}

// TestSecretsAreFetchedAgain: five minutes after the last time, by the clock of the delivery. Between two
// deliveries nothing runs.
func TestSecretsAreFetchedAgain(t *testing.T) {
	log.SetOutput(io.Discard)
	clock := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	c := &counted{}
	f := follow(c, []byte("hooks"), func() time.Time { return clock })
	for _, step := range []struct {
		after   time.Duration
		fails   error
		reloads int
	}{
		{0, nil, 0},
		{refresh - 1, nil, 0},
		{1, nil, 1},
		{refresh - 1, nil, 1},
		{8 * time.Hour, errors.New("no answer"), 2}, // the old secrets stay
		{time.Second, nil, 2},                       // and each delivery is not held up by the next try
		{refresh, nil, 3},
		{-time.Hour, nil, 4}, // the clock was set back
		{time.Second, nil, 4},
	} {
		clock, c.fails = clock.Add(step.after), step.fails
		r := f.Receive(t.Context(), webhook.Request{}, time.Time{})
		if r.Status != 200 || c.reloads != step.reloads {
			t.Fatalf("%v later: %d, and %d reloads, not %d", step.after, r.Status, c.reloads, step.reloads)
		}
	}
	if !c.isBound {
		t.Error("a Secrets Manager that does not answer holds up the delivery without end")
	}
}
