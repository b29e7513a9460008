package dev

import (
	"errors"
	"net"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/errtext"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/serving"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/internal/localaws"
)

// start starts the server. What it does is handed to the watcher, which never makes it wait.
func start(env *ui.Env, f *devFlags, addr string, w *watcher) (*localaws.Server, error) {
	server, err := localaws.Start(&localaws.Options{
		Account: account, Region: region, Addr: addr, Dir: f.dir,
		Delivery: localaws.Delivery{Retry: true},
		Watch: localaws.Watch{
			Routed: func(bus string, event []byte, targets []string) {
				w.add(happening{kind: onBus, where: bus, body: string(event), targets: queueNames(targets)})
			},
			Queued: func(queue, from, body string) {
				switch {
				case from != "":
					w.add(happening{kind: deadLetter, where: queue, from: from, body: body})
				case queue == quarantine:
					w.add(happening{kind: inQuarantine, where: queue, body: body})
				}
			},
		},
	})
	if err == nil {
		return server, nil
	}
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return nil, ui.Usage("end the program that uses it (perhaps another `sealbus dev`), or give another --port",
			"cannot listen on %s: %w", addr, errtext.Innermost(err))
	}
	return nil, ui.Usage("name another --dir, or end the other `sealbus dev` that uses this one", "%w", err)
}

// warnOfOthers says it when other machines reach the server.
func warnOfOthers(env *ui.Env, addr net.Addr) {
	if !serving.Loopback(addr) {
		env.Warnf("any machine that reaches %s may do everything here: read and change queues, sign with the keys", addr)
	}
}
