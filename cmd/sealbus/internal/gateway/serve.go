package gateway

import (
	"context"
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

// serve serves until a signal ends it.
func serve(ctx context.Context, env *ui.Env, f *gatewayFlags, g *gateway.Gateway) error {
	listening, err := serving.Listen("http", f.http)
	if err != nil {
		return err
	}
	defer listening.Close()
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
	env.EndOnSignal(ctx, cancel)
	defer context.AfterFunc(ctx, g.Drain)()
	if os.Getenv("GOMEMLIMIT") == "" {
		defer debug.SetMemoryLimit(debug.SetMemoryLimit(memoryLimit))
	}
	reloads := make(chan os.Signal, 1)
	signal.Notify(reloads, syscall.SIGHUP)
	defer signal.Stop(reloads)
	go func() {
		for {
			select {
			case <-reloads:
				reload(ctx, env, f, g)
			case <-ctx.Done():
				return
			}
		}
	}()
	greet(env, listening, admin)
	if err := serving.Until(ctx, newServer(g), listening, endPatience); err != nil {
		return err
	}
	env.Sayf("ended: what was under way is finished")
	return nil
}

func greet(env *ui.Env, listening, admin net.Listener) {
	if !serving.Loopback(listening.Addr()) {
		env.Warnf("%s is HTTP without TLS: put what ends TLS in front of it", listening.Addr())
	}
	env.Sayf("health and metrics on http://%s/metrics", admin.Addr())
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
