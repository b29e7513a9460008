package trust_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/keystest"
	"github.com/sealbus/sealbus/keys/trust"
)

// siteHint is the refresh hint of the bundles of a site.
const siteHint = 5 * time.Minute

// site serves the files of a trust over HTTPS, as a bucket does, and counts what it serves.
type site struct {
	*org
	stamps *trust.RootKey // nil = the roots name no timestamp keys
	bundle *trust.Bundle
	last   *trust.Timestamp

	mu       sync.Mutex
	files    map[string][]byte
	instead  map[string]http.HandlerFunc // in place of a file
	requests map[string]int64            // by the directory of the file, or its name
	bytes    int64                       // of the bodies of whole files
}

func newSite(t testing.TB, timestamps bool) *site {
	s := &site{org: newOrg(t), files: map[string][]byte{}, instead: map[string]http.HandlerFunc{},
		requests: map[string]int64{}}
	if timestamps {
		s.stamps = keystest.Root(t, "timestamps")
		var err error
		s.roots, err = s.roots.WithTimestampKeys(s.stamps.Verifier())
		s.check(err)
	}
	return s
}

func (s *site) answer(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/")
	dir, _, _ := strings.Cut(name, "/")
	s.mu.Lock()
	s.requests[dir]++
	file, ok := s.files[name]
	instead := s.instead[dir]
	s.mu.Unlock()
	etag := fmt.Sprintf(`"%x"`, keysum(file))
	switch {
	case instead != nil:
		instead(w, r)
	case !ok:
		http.NotFound(w, r)
	default:
		if r.Header.Get("If-None-Match") != etag {
			s.mu.Lock()
			s.bytes += int64(len(file))
			s.mu.Unlock()
		}
		w.Header().Set("ETag", etag)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(file))
	}
}

func (s *site) put(name string, file []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[name] = file
}

// publish makes the bundle of this version the one that counts.
func (s *site) publish(version int64) {
	s.Helper()
	var err error
	s.bundle, err = trust.NewBundle(trust.BundleOptions{Version: version, Issued: start,
		Expires: start.Add(7 * 24 * time.Hour), RefreshHint: siteHint}, &trust.Key{
		Verifier: keystest.Signer(s, keys.Ed25519, "shop", "a").Verifier(), Producer: "shop",
		Sources: []string{"urn:shop"}, Types: []string{"*"}})
	s.check(err)
	signed, err := trust.SignBundle(s.Context(), s.bundle, s.root)
	s.check(err)
	if s.stamps == nil {
		s.put("bundle.dsse", signed)
		return
	}
	s.renew()
	s.put(fmt.Sprintf("bundles/%x", s.last.BundleSHA256), signed)
}

// renew signs another timestamp of the bundle, if there are timestamps.
func (s *site) renew() {
	s.Helper()
	if s.stamps == nil {
		return
	}
	var err error
	s.last, err = trust.NewTimestamp(s.roots, s.bundle, s.last, trust.TimestampOptions{Now: s.now()})
	s.check(err)
	signed, err := trust.SignTimestamp(s.Context(), s.last, s.stamps)
	s.check(err)
	s.put("timestamp.dsse", signed)
}

// follow starts a source that follows the site over HTTPS, unless the options have a client.
func (s *site) follow(opts *trust.Options) (*trust.RemoteSource, error) {
	url, ours := "https://trust.example", *opts
	if ours.Now = s.now; ours.Client == nil {
		srv := httptest.NewTLSServer(http.HandlerFunc(s.answer))
		s.Cleanup(srv.Close)
		url, ours.Client = srv.URL, srv.Client()
	}
	return trust.FetchBundle(s.Context(), url+"/bundle.dsse", s.roots, &ours)
}

func (s *site) signedBundle() []byte {
	if s.last == nil {
		return s.files["bundle.dsse"]
	}
	return s.files[fmt.Sprintf("bundles/%x", s.last.BundleSHA256)]
}

func (s *site) traffic() traffic {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := traffic{bytes: s.bytes}
	for _, n := range s.requests {
		c.requests += n
	}
	return c
}
