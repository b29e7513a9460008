package throttle_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/sealbus/sealbus/webhook/throttle"
)

// A client with a burst of two, and the answer to its third request.
func Example() {
	now := func() time.Time { return time.Date(2026, 11, 30, 14, 0, 0, 0, time.UTC) }
	limiter, err := throttle.NewMemory(&throttle.MemoryOptions{Now: now})
	if err != nil {
		log.Fatal(err)
	}
	limits := []throttle.Limit{{Policy: "client", Key: "4f9c2d", Plan: throttle.Plan{Rate: 0.5, Burst: 2}}}
	for range 3 {
		v, err := limiter.Take(context.Background(), limits)
		if err != nil {
			log.Fatal(err) // 503
		}
		fmt.Println(v.Wait)
		if v.Wait > 0 {
			for _, f := range v.Response().Header {
				fmt.Println(f.Name+":", f.Value)
			}
		}
	}
	// Output:
	// 0s
	// 0s
	// 2s
	// Retry-After: 2
	// Content-Type: application/problem+json
	// RateLimit-Policy: "client";q=2;w=4
	// RateLimit: "client";r=0;t=4
}
