package sender_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sealbus/sealbus/consumer/replay/replaytest"
	"github.com/sealbus/sealbus/webhook/sender"
	"github.com/sealbus/sealbus/webhook/sender/sendertest"
)

func TestMemoryKeepsTheContract(t *testing.T) {
	sendertest.Contract{}.Run(t, func(_ *testing.T, clock *replaytest.Clock) sender.BackEnd {
		return sender.NewMemory(&sender.MemoryOptions{Now: clock.Now})
	})
}

func TestMemoryRemembersAsLongAsItIsTold(t *testing.T) {
	sendertest.Contract{Remember: time.Hour}.Run(t, func(_ *testing.T, clock *replaytest.Clock) sender.BackEnd {
		return sender.NewMemory(&sender.MemoryOptions{Now: clock.Now, Remember: time.Hour})
	})
}

func TestEncryptedBodiesKeepTheContract(t *testing.T) {
	sendertest.Contract{}.Run(t, func(t *testing.T, clock *replaytest.Clock) sender.BackEnd {
		s, err := sender.EncryptBodies(sender.NewMemory(&sender.MemoryOptions{Now: clock.Now}), localKey(t, 1))
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

func delivery(endpoint, id, body string) sender.Delivery {
	return sender.Delivery{Key: sender.Key{Endpoint: endpoint, ID: id}, Body: []byte(body),
		Digest: sha256.Sum256([]byte(body))}
}

// A full store refuses, and takes again what there is room for.
func TestMemoryIsBounded(t *testing.T) {
	ctx := t.Context()
	for name, o := range map[string]sender.MemoryOptions{"deliveries": {Capacity: 10}, "bytes": {Bytes: 100}} {
		t.Run(name, func(t *testing.T) {
			m := sender.NewMemory(&o)
			for i := range 10 {
				if err := m.Put(ctx, delivery("a", fmt.Sprint(i), "0123456789")); err != nil {
					t.Fatal(err)
				}
			}
			if err := m.Put(ctx, delivery("a", "10", "0")); !errors.Is(err, sender.ErrUnavailable) {
				t.Fatalf("Put into a full store: %v, want ErrUnavailable", err)
			}
			if err := m.Put(ctx, delivery("a", "9", "0123456789")); err != nil {
				t.Errorf("Put of what a full store has: %v", err)
			}
			list, err := m.Take(ctx, sender.Want{Most: 1, Lease: time.Minute})
			if err != nil || len(list) != 1 {
				t.Fatal(list, err)
			}
			if err := m.Settle(ctx, list[0], sender.Settlement{State: sender.Delivered}); err != nil {
				t.Fatal(err)
			}
			err = m.Put(ctx, delivery("a", "10", "0"))
			if name == "bytes" && err != nil || name == "deliveries" && !errors.Is(err, sender.ErrUnavailable) {
				t.Errorf("Put after one was delivered: %v", err)
			}
		})
	}
}
