package dev

import (
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/errtext"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/internal/localaws"
)

// start starts the server. It hands what happens to the watcher, which never makes it wait.
func start(env *ui.Env, f *devFlags, addr string, w *watcher) (*localaws.Server, error) {
	server, err := localaws.Start(&localaws.Options{
		Account: account, Region: region, Addr: addr, UnsafeListen: f.unsafe != "", Dir: f.dir,
		Delivery: localaws.Delivery{Retry: true},
		OnFailure: func(target string, event []byte) {
			w.add(happening{kind: homeChanged, text: fmt.Sprintf("the queue %s did not take an event of %d bytes: "+
				"the queue is gone, or the event too large or with characters that SQS refuses. It is in the "+
				"dead-letter queue of the target, or lost, as on AWS", queueNames([]string{target})[0], len(event))})
		},
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
		fix := "give another --port, or an address of this machine"
		if errors.Is(err, syscall.EADDRINUSE) {
			fix = "end the program that uses it (perhaps another `sealbus dev`), or give another --port"
		}
		return nil, ui.Usage(fix, "cannot listen on %s: %w", addr, errtext.Innermost(err))
	}
	if errors.Is(err, localaws.ErrInUse) {
		return nil, ui.Usage("end the other `sealbus dev` that uses it, or name another --dir",
			"--dir %s is in use",
			f.dir)
	}
	return nil, ui.WrongFile("check --dir, and who may write there", "starting: %w", ui.Cause(err))
}

// warnOfOthers says it when other machines reach the address.
func warnOfOthers(env *ui.Env, addr string) {
	if host, _, _ := net.SplitHostPort(addr); !net.ParseIP(host).IsLoopback() && host != "localhost" {
		env.Warnf("any machine that reaches %s may do everything here: read and change queues, sign with keys",
			addr)
	}
}
