// Command hooks is one process of a sender of webhooks, for the test that kills it at any moment. Its
// configuration is JSON on standard input; when that ends, so does the process, and finishes what is under
// way.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/sender"
	"github.com/sealbus/sealbus/webhook/sender/redis"
)

// config is what the process is told.
type config struct {
	Redis   string // host:port
	Prefix  string
	URL     string // http://127.0.0.1:PORT/, to which the ID of an endpoint is added
	Port    uint16 // that of the URL
	Secret  string // of all endpoints
	IDs     []string
	Ordered string // the ID of the endpoint that is ordered
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	var c config
	if err := json.NewDecoder(os.Stdin).Decode(&c); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	signing, err := sender.StandardWebhooks([]webhook.Secret{{Text: c.Secret}})
	if err != nil {
		return err
	}
	var list []sender.Endpoint
	for _, id := range c.IDs {
		list = append(list, sender.Endpoint{ID: id, URL: c.URL + id, Signing: signing, Timeout: time.Second,
			Ordered: id == c.Ordered})
	}
	endpoints, err := sender.NewEndpoints(list...)
	if err != nil {
		return err
	}
	client := goredis.NewClient(&goredis.Options{Addr: c.Redis})
	defer client.Close()
	store, err := redis.New(client, &redis.Options{Prefix: c.Prefix})
	if err != nil {
		return err
	}
	short := []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 200 * time.Millisecond,
		500 * time.Millisecond, time.Second, time.Second, time.Second, time.Second, time.Second}
	s, err := sender.New(store, endpoints, &sender.Options{
		Schedule: short, Lease: 3 * time.Second, Poll: 50 * time.Millisecond,
		Network: &sender.Network{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
			Ports: []uint16{c.Port}, UnsafePlainHTTP: true},
	})
	if err != nil {
		return err
	}
	return s.Run(ctx)
}
