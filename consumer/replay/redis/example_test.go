package redis_test

import (
	"log"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/replay/redis"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys/trust"
)

// A consumer in several processes, all of which remember in one Redis.
func Example() {
	var trust trust.Source // trust.WatchFile, trust.OpenBundle...
	client := goredis.NewClient(&goredis.Options{Addr: "replay.internal:6379"})
	defer client.Close()
	store, err := redis.New(client, nil)
	if err != nil {
		log.Fatal(err)
	}
	policy := &envelope.Policy{Sources: []string{"https://orders.example/*"}}
	c, err := consumer.New("billing", trust, store, policy, nil)
	if err != nil {
		log.Fatal(err)
	}
	_ = c // hand its deliveries to c.Handle
}
