package gateway

import (
	"context"
	"errors"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/errtext"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/pollqueue"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/serving"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/webhook/gateway"
)

// memoryLimit makes the collector work harder before the process has more memory, in bytes. Programs of this
// size are run in small containers. The variable GOMEMLIMIT is stronger.
const memoryLimit = 34 << 20

// Bounds of the server. The receivers bound bodies.
const (
	headTimeout   = 10 * time.Second // to send a head
	answerTimeout = 2 * time.Minute
	idleTimeout   = 2 * time.Minute  // longer than that of usual proxies, which then end connections first
	maxHead       = 64 << 10         // bytes
	endPatience   = 30 * time.Second // for what is under way at the end
)

// newServer is a server without a log: a sender can cause each of its lines.
func newServer(h http.Handler) *http.Server {
	return &http.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0), MaxHeaderBytes: maxHead,
		ReadHeaderTimeout: headTimeout, WriteTimeout: answerTimeout, IdleTimeout: idleTimeout}
}

// serve serves until a signal ends it. Without a bus nothing is received; q is nil if no queue is read.
func serve(ctx context.Context, env *ui.Env, f *gatewayFlags, g *gateway.Gateway, q *pollqueue.Poller,
) error {
	var parts []func(context.Context) error
	var listening net.Listener
	var err error
	if f.bus != "" {
		if listening, err = serving.Listen("http", f.http); err != nil {
			return err
		}
		defer listening.Close()
		parts = append(parts, func(ctx context.Context) error {
			return serving.Until(ctx, newServer(g), listening, endPatience)
		})
	}
	if q != nil {
		parts = append(parts, q.Poll, g.Run)
	}
	admin, err := serving.Listen("admin", f.admin)
	if err != nil {
		return err
	}
	adminServer := newServer(g.Admin())
	adminServer.ReadTimeout = headTimeout        // nothing there reads a body
	go func() { _ = adminServer.Serve(admin) }() // it ends with the program
	defer adminServer.Close()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	env.EndOnInterrupt(ctx, cancel)
	env.EndOnClosedPipe(cancel)
	defer context.AfterFunc(ctx, g.Drain)()
	if os.Getenv("GOMEMLIMIT") == "" && q == nil { // what is sent needs more
		defer debug.SetMemoryLimit(debug.SetMemoryLimit(memoryLimit))
	}
	defer reloads(ctx, env, f, g)()
	greet(env, f, listening, admin)
	if err := together(ctx, cancel, parts); err != nil {
		return err
	}
	env.Sayf("ended: what was under way is finished")
	return nil
}

// together runs the parts. When one ends, all do; what is under way is finished, for so long at most.
func together(ctx context.Context, cancel context.CancelFunc, parts []func(context.Context) error) error {
	ended := make(chan error, len(parts))
	for _, part := range parts {
		go func() {
			defer cancel()
			ended <- part(ctx)
		}()
	}
	<-ctx.Done()
	late := time.NewTimer(endPatience + time.Second) // each part is patient, too
	defer late.Stop()
	var errs []error
	for range parts {
		select {
		case err := <-ended:
			errs = append(errs, err)
		case <-late.C:
			return ui.Unavailable("start it again: what was not finished is sent again, unless it was in memory",
				"ending: something was not finished within %s", endPatience)
		}
	}
	return errors.Join(errs...)
}

// reloads reads the configuration again at each SIGHUP, until stop is called.
func reloads(ctx context.Context, env *ui.Env, f *gatewayFlags, g *gateway.Gateway) (stop func()) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	go func() {
		for {
			select {
			case <-hangups:
				reload(ctx, env, f, g)
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() { signal.Stop(hangups) }
}

func greet(env *ui.Env, f *gatewayFlags, listening, admin net.Listener) {
	env.Sayf("health and metrics on http://%s/metrics", admin.Addr())
	if f.out.queue != "" {
		env.Sayf("reading %s for the endpoints under out", f.out.queue)
	}
	if listening == nil {
		env.Sayf("Ctrl-C ends it, SIGHUP reads the configuration again")
		return
	}
	if !serving.Loopback(listening.Addr()) {
		env.Warnf("%s is HTTP without TLS: put what ends TLS in front of it", listening.Addr())
	}
	env.Sayf("listening on http://%s/, Ctrl-C ends it, SIGHUP reads the configuration again",
		listening.Addr())
}

// reload reads the configuration again. It is said how that went, and nothing ends.
func reload(ctx context.Context, env *ui.Env, f *gatewayFlags, g *gateway.Gateway) {
	ctx, cancel := context.WithTimeout(ctx, reloadTimeout)
	defer cancel()
	doc, err := env.ReadFile(f.config, maxConfig)
	if err != nil {
		doc = nil // it is counted as a failed reload
	}
	if failed := g.Reload(ctx, doc); err == nil {
		err = failed
	}
	if err != nil {
		env.Warnf("the configuration was not loaded again, the old one stays: %s", errtext.Plain(err))
		return
	}
	env.Sayf("the configuration was loaded again")
}

// newLogger writes a line for each delivery that was refused, and with verbose for each one.
func newLogger(env *ui.Env, verbose bool) *slog.Logger {
	level := slog.LevelInfo
	if verbose {
		level = slog.LevelDebug
	}
	o := &slog.HandlerOptions{Level: level}
	if env.JSON {
		return slog.New(slog.NewJSONHandler(env.TalkWriter(), o))
	}
	return slog.New(slog.NewTextHandler(env.TalkWriter(), o))
}
