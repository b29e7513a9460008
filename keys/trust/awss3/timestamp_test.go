package awss3_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/keys/keystest"
	"github.com/sealbus/sealbus/keys/trust"
	"github.com/sealbus/sealbus/keys/trust/awss3"
)

// Where the roots name timestamp keys, the timestamp and the bundle that it names are below the same prefix.
func TestTimestampBesideTheObject(t *testing.T) {
	s := newStore(t)
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	root, key := keystest.Root(t, "a"), keystest.Root(t, "timestamps")
	roots, err := keystest.Roots(t, 1, root).WithTimestampKeys(key.Verifier())
	check(err)
	now := time.Now()
	b, err := trust.NewBundle(trust.BundleOptions{Version: 1, Issued: now, Expires: now.Add(90 * 24 * time.Hour),
		TimestampRequired: true})
	check(err)
	bundle, err := trust.SignBundle(t.Context(), b, root)
	check(err)
	ts, err := trust.NewTimestamp(roots, b, nil, trust.TimestampOptions{Now: now})
	check(err)
	timestamp, err := trust.SignTimestamp(t.Context(), ts, key)
	check(err)
	fetch := func() (*trust.RemoteSource, error) {
		return awss3.FetchBundle(t.Context(), s, bucket, object, roots, nil)
	}
	if _, err := fetch(); !errors.Is(err, trust.ErrUnavailable) ||
		!strings.Contains(err.Error(), "s3://"+bucket+"/published/timestamp.dsse") {
		t.Errorf("without a timestamp: %v", err)
	}
	s.put("published/"+keydoc.TimestampFile, timestamp, "")
	s.put(fmt.Sprintf("published/bundles/%x", sha256.Sum256(b.Payload())), bundle, "")
	source, err := fetch()
	check(err)
	if got, err := source.Bundle(t.Context()); err != nil || got.Version() != 1 || !got.Expires().Equal(ts.Expires) {
		t.Errorf("%v, %v", got, err)
	}
	s.put("published/"+keydoc.TimestampFile, bytes.Repeat([]byte(" "), keydoc.MaxTimestamp+1), "")
	_, err = fetch()
	var refused *trust.BundleError
	if !errors.As(err, &refused) || refused.Why != trust.WhyTooLarge {
		t.Errorf("more than 256 KiB: %v", err)
	}
}
