package redis_test

import (
	"context"
	"fmt"
	"log"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sealbus/sealbus/webhook/throttle"
	"github.com/sealbus/sealbus/webhook/throttle/redis"
)

// Several processes that share the quotas of their clients in one Redis.
func Example() {
	client := goredis.NewClient(&goredis.Options{Addr: "limits.internal:6379"})
	defer client.Close()
	limiter, err := redis.New(client, nil)
	if err != nil {
		log.Fatal(err)
	}
	plan := throttle.Plan{Rate: 10, Burst: 20, Daily: 100_000}
	v, err := limiter.Take(context.Background(), []throttle.Limit{{Policy: "client", Key: "4f9c", Plan: plan}})
	if err != nil {
		log.Fatal(err) // 503
	}
	if v.Wait > 0 {
		fmt.Println(v.Response().Status)
	}
}
