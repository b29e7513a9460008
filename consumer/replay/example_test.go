package replay_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log"
	"time"

	"github.com/sealbus/sealbus/consumer/replay"
)

// A worker claims an event, handles it and completes the claim. A copy that arrives later is a duplicate, and
// other content under the same key is not.
//
// A consumer (package consumer) makes these calls itself: give the store to consumer.New.
func Example() {
	ctx := context.Background()
	store := replay.NewMemory(nil) // or package replay/redis, replay/dynamodb
	key := sha256.Sum256([]byte("billing/orders/o-1"))
	digest := sha256.Sum256([]byte(`{"total":12.5}`))
	until := time.Now().Add(24 * time.Hour) // the event is stale from then on

	claim, status, err := store.Claim(ctx, key, digest, until, 30*time.Second)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("the first copy is", status)

	_, status, err = store.Claim(ctx, key, digest, until, 30*time.Second)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("a copy that comes meanwhile is", status)

	if err := store.Complete(ctx, claim, until); err != nil { // the handler has succeeded
		log.Fatal(err)
	}
	_, status, err = store.Claim(ctx, key, digest, until, 30*time.Second)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("a copy that comes later is", status)

	_, status, err = store.Claim(ctx, key, sha256.Sum256([]byte(`{"total":1.25}`)), until, 30*time.Second)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("other content under this key is", status)
	// Output:
	// the first copy is new
	// a copy that comes meanwhile is held
	// a copy that comes later is completed
	// other content under this key is completed with another digest
}
