// Package loadclaims connects to the Redis in which consumers remember what they handled, in which deliveries
// wait that are to be sent, and which counts the requests of tenants. Its client is redigo, which compiles in a fraction of the time of
// go-redis.
package loadclaims

import (
	"context"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	redigo "github.com/gomodule/redigo/redis"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/consumer/replay/redis"
	"github.com/sealbus/sealbus/webhook/sender"
	outredis "github.com/sealbus/sealbus/webhook/sender/redis"
	"github.com/sealbus/sealbus/webhook/throttle"
	limitredis "github.com/sealbus/sealbus/webhook/throttle/redis"
)

const (
	dialTimeout   = 5 * time.Second
	answerTimeout = 3 * time.Second
	tries         = 4                // of a command that has no answer
	maxIdle       = 10               // connections that are kept
	idleTimeout   = 30 * time.Minute // after which a connection is closed
	trustIdle     = time.Second      // after which a connection is tried before it is used
)

// Client is a pool of connections to one Redis server. It connects when it is used. The caller closes it.
type Client struct {
	Addr string // HOST:PORT
	pool *redigo.Pool
}

// Connect makes a client for a URL, redis://USER:PASSWORD@HOST:PORT/DATABASE or rediss:// for TLS. The URL
// may hold a password and is in no error.
func Connect(text string) (*Client, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "redis" && u.Scheme != "rediss" || u.Opaque != "" || u.RawQuery != "" ||
		!isDatabase(u.Path) {
		return nil, ui.Usage("write it as redis://HOST:6379/0, or rediss:// for TLS",
			"--redis is not a URL of Redis")
	}
	host, port := u.Hostname(), u.Port()
	if host == "" {
		host = "localhost"
	}
	if port == "" {
		port = "6379"
	}
	u.Host = net.JoinHostPort(host, port)
	return &Client{Addr: u.Host, pool: &redigo.Pool{
		DialContext: func(ctx context.Context) (redigo.Conn, error) {
			return redigo.DialURLContext(ctx, u.String(), redigo.DialConnectTimeout(dialTimeout),
				redigo.DialReadTimeout(answerTimeout), redigo.DialWriteTimeout(answerTimeout))
		},
		TestOnBorrowContext: func(ctx context.Context, conn redigo.Conn, used time.Time) error {
			if time.Since(used) < trustIdle {
				return nil
			}
			_, err := redigo.DoContext(conn, ctx, "PING")
			return err
		},
		MaxIdle: maxIdle, IdleTimeout: idleTimeout,
	}}, nil
}

// isDatabase reports whether the path of a URL is empty or the number of a database.
func isDatabase(path string) bool {
	number := strings.TrimPrefix(path, "/")
	_, err := strconv.ParseUint(number, 10, 31)
	return number == "" || err == nil
}

// Close closes the connections.
func (c *Client) Close() error { return c.pool.Close() }

// Do runs a command. It repeats a command that has no answer, so the command may run twice. An answer that is
// an error of Redis is a redigo.Error.
func (c *Client) Do(ctx context.Context, command string, args ...any) (answer any, err error) {
	for range tries {
		answer, err = c.once(ctx, command, args)
		if _, answered := err.(redigo.Error); err == nil || answered || ctx.Err() != nil {
			break
		}
	}
	return answer, err
}

func (c *Client) once(ctx context.Context, command string, args []any) (any, error) {
	conn, err := c.pool.GetContext(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }() // the answer is complete
	return redigo.DoContext(conn, ctx, command, args...)
}

// Info is the answer of INFO.
func (c *Client) Info(ctx context.Context) (string, error) { return redigo.String(c.Do(ctx, "INFO")) }

// Time is the clock of the server.
func (c *Client) Time(ctx context.Context) (time.Time, error) {
	parts, err := redigo.Int64s(c.Do(ctx, "TIME"))
	if err != nil {
		return time.Time{}, err
	}
	if len(parts) != 2 {
		return time.Time{}, redigo.Error("the answer to TIME has not two numbers")
	}
	return time.Unix(parts[0], parts[1]*int64(time.Microsecond)), nil
}

// EvalSha is the method of redis.Client.
func (c *Client) EvalSha(ctx context.Context, sha string, keys []string, args ...any) Reply {
	return c.script(ctx, "EVALSHA", sha, keys, args)
}

// Eval is the method of redis.Client.
func (c *Client) Eval(ctx context.Context, text string, keys []string, args ...any) Reply {
	return c.script(ctx, "EVAL", text, keys, args)
}

func (c *Client) script(ctx context.Context, command, script string, keys []string, args []any) Reply {
	all := []any{script, len(keys)}
	for _, key := range keys {
		all = append(all, key)
	}
	answer, err := c.Do(ctx, command, append(all, args...)...)
	return Reply{answer, err}
}

// Reply is the answer to a script.
type Reply struct {
	answer any
	err    error
}

// Slice is the method of redis.Reply.
func (r Reply) Slice() ([]any, error) { return redigo.Values(r.answer, r.err) }

var _ redis.Client[Reply] = (*Client)(nil)

// Open is a replay store that outlives this process.
func Open(url string) (replay.Store, func(), error) {
	client, err := Connect(url)
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

// OpenLimits is a limiter that other processes share.
func OpenLimits(url string) (throttle.Limiter, func(), error) {
	client, err := Connect(url)
	if err != nil {
		return nil, func() {}, err
	}
	closeClient := func() { _ = client.Close() } // at the end of the program
	limiter, err := limitredis.New(client, nil)
	if err != nil {
		return nil, closeClient, ui.Unavailable("report this as a bug", "%w", err)
	}
	return limiter, closeClient, nil
}

// OpenDeliveries is a store of deliveries that are to be sent, which outlives this process.
func OpenDeliveries(url string) (sender.BackEnd, func(), error) {
	client, err := Connect(url)
	if err != nil {
		return nil, func() {}, err
	}
	closeClient := func() { _ = client.Close() } // at the end of the program
	store, err := outredis.New(client, nil)
	if err != nil {
		return nil, closeClient, ui.Unavailable("report this as a bug", "%w", err)
	}
	return store, closeClient, nil
}
