//go:build !lambda.norpc

package main

import (
	"context"
	"errors"
	"fmt"
	"net/rpc"
	"os"
	"time"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/replay"
)

// peer is the test at the other end, which outlives this process.
type peer struct{ client *rpc.Client }

func connect() (replay.Store, func(context.Context, consumer.Delivery[order]) error, error) {
	client, err := rpc.Dial("tcp", os.Getenv("SEALBUS_TEST_PEER"))
	if err != nil {
		return nil, nil, err
	}
	p := &peer{client}
	return p, p.handle, nil
}

// handle does what the test says.
func (p *peer) handle(ctx context.Context, d consumer.Delivery[order]) error {
	var order string
	if err := p.client.Call("Peer.Handle", [2]string{d.Data.Item, d.IdempotencyKey}, &order); err != nil {
		return err
	}
	switch order {
	case "wait":
		<-ctx.Done()
		return context.Cause(ctx)
	case "fail":
		return errors.New("no stock")
	}
	return nil
}

// Ask are the arguments of every method of a store.
type Ask struct {
	Key, Digest [32]byte
	Until       time.Time
	Lease       time.Duration
	Claim       replay.Claim
}

// Answer is a store's answer to Claim.
type Answer struct {
	Claim  replay.Claim
	Status replay.Status
}

func (p *peer) call(method string, ask *Ask) (answer Answer, err error) {
	err = p.client.Call("Peer."+method, ask, &answer)
	switch {
	case err == nil:
		return answer, nil
	case err.Error() == replay.ErrClaimLost.Error():
		return answer, replay.ErrClaimLost
	}
	return answer, fmt.Errorf("%w: %w", replay.ErrUnavailable, err)
}

func (p *peer) Claim(_ context.Context, key, digest [32]byte, until time.Time,
	lease time.Duration) (replay.Claim, replay.Status, error) {
	answer, err := p.call("Claim", &Ask{Key: key, Digest: digest, Until: until, Lease: lease})
	return answer.Claim, answer.Status, err
}

func (p *peer) Renew(_ context.Context, claim replay.Claim, lease time.Duration) error {
	_, err := p.call("Renew", &Ask{Claim: claim, Lease: lease})
	return err
}

func (p *peer) Complete(_ context.Context, claim replay.Claim, until time.Time) error {
	_, err := p.call("Complete", &Ask{Claim: claim, Until: until})
	return err
}

func (p *peer) Release(_ context.Context, claim replay.Claim) error {
	_, err := p.call("Release", &Ask{Claim: claim})
	return err
}
