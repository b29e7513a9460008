package redis_test

import (
	"context"
	"log"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sealbus/sealbus/webhook/sender"
	"github.com/sealbus/sealbus/webhook/sender/redis"
)

// A sender in several processes, which share the deliveries in one Redis.
func Example() {
	var endpoints sender.Endpoints // sender.NewEndpoints, or a table of tenants
	client := goredis.NewClient(&goredis.Options{Addr: "hooks.internal:6379"})
	defer client.Close()
	store, err := redis.New(client, nil)
	if err != nil {
		log.Fatal(err)
	}
	s, err := sender.New(store, endpoints, nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := s.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
}
