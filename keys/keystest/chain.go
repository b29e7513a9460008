package keystest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sealbus/sealbus/keys/trust"
)

// TestChain runs the tests that every source must pass whose origin is a trust.Directory, and that of files:
// it follows the roots beside the bundle. open opens a source of the file "bundle.dsse" in a directory, with
// these roots, and with the Now and the MinInterval of opts. put writes a file of that directory, all at
// once; without content (nil), it removes the file.
func TestChain(t *testing.T, open func(t testing.TB, roots *trust.Roots, opts *trust.Options) (put func(name string,
	doc []byte), source func() (trust.Refresher, error))) {
	for name, test := range map[string]func(*chainTest){
		"twelve steps": (*chainTest).twelveSteps,
		"later":        (*chainTest).later,
		"refused":      (*chainTest).refused,
	} {
		t.Run(name, func(t *testing.T) {
			c := &chainTest{TB: t}
			c.clock.Store(sourceStart.UnixNano())
			c.put, c.open = open(t, c.roots(1), &trust.Options{Now: c.now, MinInterval: sourceLeast})
			test(c)
		})
	}
}

// chainTest has roots of one key each, another one with every version.
type chainTest struct {
	testing.TB
	clock atomic.Int64
	put   func(name string, doc []byte)
	open  func() (trust.Refresher, error)
}

func (c *chainTest) now() time.Time { return time.Unix(0, c.clock.Load()).UTC() }

func (c *chainTest) check(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

func (c *chainTest) key(version int64) *trust.RootKey { return Root(c, fmt.Sprint("chain ", version)) }

func (c *chainTest) roots(version int64) *trust.Roots {
	r, err := trust.NewRoots(version, 1, c.key(version).Verifier())
	c.check(err)
	return r
}

func (c *chainTest) signedRoots(version int64, by ...trust.RootSigner) []byte {
	signed, err := trust.SignRoots(context.Background(), c.roots(version), by...)
	c.check(err)
	return signed
}

// rotate publishes roots of that version.
func (c *chainTest) rotate(version int64) {
	c.put(fmt.Sprint("roots/", version), c.signedRoots(version, c.key(version-1), c.key(version)))
}

// publish publishes a bundle that the roots of that version signed.
func (c *chainTest) publish(bundle, roots int64) {
	b, err := trust.NewBundle(trust.BundleOptions{Version: bundle, Issued: sourceStart,
		Expires: sourceStart.Add(sourceLife), RefreshHint: sourceHint})
	c.check(err)
	signed, err := trust.SignBundle(context.Background(), b, c.key(roots))
	c.check(err)
	c.put("bundle.dsse", signed)
}

func (c *chainTest) want(name string, s trust.Refresher, version int64, isChecked bool) {
	c.Helper()
	c.clock.Add(int64(2 * sourceHint))
	b, err := s.Bundle(context.Background())
	if err != nil || b.Version() != version {
		c.Fatalf("%s: version %d, error %v: not version %d", name, versionOf(b), err, version)
	}
	if _, err := s.Refresh(context.Background(), c.now()); (err == nil) != isChecked ||
		err != nil && !errors.Is(err, trust.ErrUnavailable) {
		c.Fatalf("%s: Refresh: %v", name, err)
	}
}

// twelveSteps: one look follows all of them.
func (c *chainTest) twelveSteps() {
	for version := int64(2); version <= 12; version++ {
		c.rotate(version)
	}
	c.publish(1, 12)
	s, err := c.open()
	c.check(err)
	c.want("signed by the newest", s, 1, true)
	c.publish(2, 11)
	c.want("signed by older ones", s, 1, false)
}

// later: newer roots are found while a source is in use, one step after the other and none left out.
func (c *chainTest) later() {
	c.publish(1, 1)
	s, err := c.open()
	c.check(err)
	c.want("no newer roots", s, 1, true)
	c.rotate(3)
	c.want("a version is left out", s, 1, true)
	c.publish(2, 3)
	c.want("signed by roots that are not reached", s, 1, false)
	c.rotate(2)
	c.want("reached", s, 2, true)
}

// refused: roots that are there, and bad, leave it open whether newer ones exist. So the look counts as none.
func (c *chainTest) refused() {
	c.publish(1, 1)
	s, err := c.open()
	c.check(err)
	for name, bad := range map[string][]byte{
		"empty": {}, "text": []byte("<html>"), "unsigned": c.roots(2).Payload(),
		"by the old ones alone": c.signedRoots(2, c.key(1)), "by the new ones alone": c.signedRoots(2, c.key(2)),
		"of another version": c.signedRoots(3, c.key(1), c.key(3)),
		"more than 256 KiB":  append(c.signedRoots(2, c.key(1), c.key(2)), bytes.Repeat([]byte(" "), 256<<10)...),
	} {
		c.put("roots/2", bad)
		c.want(name, s, 1, false)
	}
	c.put("roots/2", nil)
	c.want("away", s, 1, true)
}
