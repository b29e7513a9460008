package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"reflect"
	"runtime"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/session"
	"github.com/sealbus/sealbus/keys/trust"
)

// coldEvents is how many events of a key are opened before the key may be hot.
const coldEvents = 8

// notSlower is how often the tables of hot keys may take the time that plain verification takes, for events
// that they do not help.
const notSlower = 1.02

// manyKeys is about events that the tables of hot keys do not help: the first ones of a key, those of more
// keys in turn than there are tables, and those of a session key, which has none. Beside each is the same
// without tables.
func manyKeys() (group, error) {
	g := group{title: "cold keys and many keys"}
	_, hasTables := withoutTables(policy())
	ev, err := newEvent(document(1 << 10))
	if err != nil {
		return g, err
	}
	for _, c := range []struct {
		name string
		make func(name string, p *envelope.Policy) (*operation, error)
	}{
		{"the first 8 events of a key", firstEvents(ev)},
		{"65 keys in turn", keysInTurn(ev, 65)},
		{"1,000 keys in turn", keysInTurn(ev, 1000)},
		{"a session key that P-256 vouches for", sessionKey(ev)},
	} {
		with, err := c.make("Open, "+c.name+", 1 KiB", policy())
		if err != nil {
			return g, err
		}
		r := row{operation: with, beside: with}
		if hasTables {
			p, _ := withoutTables(policy())
			if r.beside, err = c.make("Open, "+c.name+", without tables, 1 KiB", p); err != nil {
				return g, err
			}
			r.target, r.wanted = notSlower, "Open, "+c.name+", x the same without tables"
		}
		g.rows = append(g.rows, r)
	}
	return g, nil
}

// withoutTables switches the tables of hot keys off. It is false if the library has none: -compare builds
// this program with older ones, too, whose Policy lacks the field.
func withoutTables(p *envelope.Policy) (*envelope.Policy, bool) {
	field := reflect.ValueOf(p).Elem().FieldByName("NoKeyTables")
	if field.IsValid() {
		field.SetBool(true)
	}
	return p, field.IsValid()
}

// sealedByNewKey is the event, sealed with a new key.
func sealedByNewKey(ev event.Event) ([]byte, *trust.Key, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	signer, err := keys.NewLocalSigner(private, "orders")
	if err != nil {
		return nil, nil, err
	}
	sealed, err := envelope.Seal(context.Background(), ev, signer, nil)
	if err != nil {
		return nil, nil, err
	}
	return sealed.JSON(), trusted(signer), nil
}

func openerOf(p *envelope.Policy, list ...*trust.Key) (*envelope.Opener, error) {
	bundle, err := trust.NewBundle(trust.BundleOptions{Version: 1, Issued: time.Now()}, list...)
	if err != nil {
		return nil, err
	}
	return envelope.NewOpener(bundle, p)
}

// firstEvents opens coldEvents events of a key that nothing was verified by before, then those of the next.
func firstEvents(ev event.Event) func(name string, p *envelope.Policy) (*operation, error) {
	type cold struct {
		opener *envelope.Opener
		sealed []byte
	}
	return func(name string, p *envelope.Policy) (*operation, error) {
		var list []cold
		prepare := func(runs int) {
			list = list[:0]
			for range runs {
				sealed, key, err := sealedByNewKey(ev)
				must(err == nil)
				opener, err := openerOf(p, key)
				must(err == nil)
				list = append(list, cold{opener, sealed})
			}
			runtime.GC() // what was made here is not to be collected by the clock
		}
		run := func() {
			last := len(list) - 1
			c := list[last]
			list = list[:last]
			for range coldEvents {
				open(c.opener, c.sealed)
			}
		}
		return &operation{name: name, run: run, events: coldEvents, prepare: prepare}, nil
	}
}

// keysInTurn opens an event of each of n keys, and then the first one again.
func keysInTurn(ev event.Event, n int) func(name string, p *envelope.Policy) (*operation, error) {
	return func(name string, p *envelope.Policy) (*operation, error) {
		var list []*trust.Key
		var bodies [][]byte
		for range n {
			sealed, key, err := sealedByNewKey(ev)
			if err != nil {
				return nil, err
			}
			list, bodies = append(list, key), append(bodies, sealed)
		}
		opener, err := openerOf(p, list...)
		next := 0
		return &operation{name: name, run: func() {
			open(opener, bodies[next])
			next = (next + 1) % n
		}}, err
	}
}

// sessionKey opens events of a session key whose statement is known.
func sessionKey(ev event.Event) func(name string, p *envelope.Policy) (*operation, error) {
	return func(name string, p *envelope.Policy) (*operation, error) {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		root, err := keys.NewLocalSigner(private, "orders")
		if err != nil {
			return nil, err
		}
		scope := session.Scope{Sources: []string{sources + "*"}, Types: []string{"*"}}
		signer, err := session.Delegate(context.Background(), root, scope, time.Hour, nil)
		if err != nil {
			return nil, err
		}
		sealed, err := envelope.Seal(context.Background(), ev, signer, nil)
		if err != nil {
			return nil, err
		}
		opener, err := openerOf(p, trusted(root))
		body := sealed.JSON()
		return &operation{name: name, run: func() { open(opener, body) }}, err
	}
}
