package s3_test

import (
	"fmt"
	"testing"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/quarantine"
	"github.com/sealbus/sealbus/consumer/quarantine/quarantinetest"
	"github.com/sealbus/sealbus/consumer/quarantine/s3"
	"github.com/sealbus/sealbus/internal/lossy"
)

// TestStoreLossy runs the contract while one answer in twenty is lost after S3 has acted, also in the middle
// of an object.
func TestStoreLossy(t *testing.T) {
	for _, phase := range lossy.Runs(lossy.Phases) {
		t.Run(fmt.Sprint(phase), func(t *testing.T) {
			quarantinetest.Run(t, func(t *testing.T) *quarantinetest.Place {
				f := newFake(t)
				proxy := lossy.Start(t, f.server.URL, phase)
				client := awss3.New(f.Options(), func(o *awss3.Options) { o.BaseEndpoint, o.Retryer = &proxy.URL, lossy.Retryer() })
				return &quarantinetest.Place{
					Open: func(t *testing.T, keys consumer.QuarantineKeys) quarantine.Store {
						return newStore(t, client, keys, &s3.Options{Prefix: "billing"})
					},
					Inject: func(t *testing.T, id string, doc []byte) { f.put(t, keyOf(id), doc) },
					Down:   func(*testing.T) { f.server.CloseClientConnections(); f.server.Close() },
				}
			})
		})
	}
}
