package producer_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
	"github.com/sealbus/sealbus/producer"
)

// BenchmarkTrust is what Options.Trust adds to one Publish: at most 3 %.
func BenchmarkTrust(b *testing.B) {
	key := signer(b, keys.Ed25519)
	bundle := issued(b, time.Now().Add(-time.Hour), entry(key, nil))
	for _, n := range []int{1, 100} {
		for _, with := range []struct {
			name   string
			source trust.Source
		}{{"without Trust", nil}, {"with Trust", sourceFunc(func(context.Context) (*trust.Bundle, error) {
			return bundle, nil
		})}} {
			b.Run(fmt.Sprintf("%d events %s", n, with.name), func(b *testing.B) {
				p, err := producer.New(ring{key, signer(b, keys.Ed25519)}, busFunc(accept),
					&producer.Options{Trust: with.source})
				if err != nil {
					b.Fatal(err)
				}
				events := numbered(n)
				b.ReportAllocs()
				for b.Loop() {
					if _, err := p.Publish(b.Context(), events...); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// sourceFunc is a Source that answers as a test wants.
type sourceFunc func(ctx context.Context) (*trust.Bundle, error)

func (f sourceFunc) Bundle(ctx context.Context) (*trust.Bundle, error) { return f(ctx) }
