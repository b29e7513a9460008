// Package loadclaims connects to the Redis in which consumers remember what they handled.
package loadclaims

import (
	"context"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/consumer/replay/redis"
)

// Client connects when it is used. The URL may hold a password and is in no error.
func Client(url string) (*goredis.Client, error) {
	opts, err := goredis.ParseURL(url)
	if err != nil {
		return nil, ui.Usage("write it as redis://HOST:6379/0, or rediss:// for TLS", "--redis is not a URL of Redis")
	}
	goredis.SetLogger(silence{}) // what goes wrong is in its errors
	return goredis.NewClient(opts), nil
}

// Open is a replay store that outlives this process.
func Open(url string) (replay.Store, func(), error) {
	client, err := Client(url)
	if err != nil {
		return nil, func() {}, err
	}
	closeClient := func() { _ = client.Close() } // at the end of the program
	store, err := redis.New(client, nil)
	if err != nil {
		return nil, closeClient, ui.Unavailable("report this as a bug", "%w", err)
	}
	return store, closeClient, nil
}

// silence is a logger.
type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}
