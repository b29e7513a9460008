package trust_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/keys/trust"
)

// besideTheBundle are the files that a source asks for where the roots name timestamp keys, and the version
// of the bundle in use while the host attacks with that file: a bundle that is published comes into use all
// the same if only newer roots cannot be had.
var besideTheBundle = map[string]int64{"timestamp.dsse": 1, "bundles": 1, "roots": 2}

// underAttack is a source with bundle 1, whose host has bundle 2 and then answers so in place of a file.
func underAttack(t *testing.T, name string, opts *trust.Options, h http.HandlerFunc) (*site, *trust.RemoteSource) {
	s := newSite(t, true)
	s.publish(1)
	source, err := s.follow(opts)
	s.check(err)
	s.publish(2)
	s.mu.Lock()
	s.instead[name] = h
	s.mu.Unlock()
	s.advance(siteHint)
	return s, source
}

// A host that answers without end, or announces a terabyte, is read up to the limit of each file.
func TestFilesBesideTheBundleAreBounded(t *testing.T) {
	var written atomic.Int64
	endless := func(w http.ResponseWriter, r *http.Request) {
		chunk := bytes.Repeat([]byte(" "), 1<<18)
		for r.Context().Err() == nil {
			n, err := w.Write(chunk)
			if written.Add(int64(n)); err != nil {
				return
			}
		}
	}
	declared := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(int64(1)<<40))
		_, _ = w.Write([]byte("{"))
	}
	for name, version := range besideTheBundle {
		for attack, h := range map[string]http.HandlerFunc{"endless": endless, "declared": declared} {
			t.Run(name+" "+attack, func(t *testing.T) {
				s, source := underAttack(t, name, &trust.Options{Timeout: time.Minute}, h)
				s.wantFailed(source, version, nil, trust.WhyTooLarge)
			})
		}
	}
	if n := written.Load(); n > 3*keydoc.MaxSigned {
		t.Errorf("%d bytes were taken", n)
	}
}

// A host that answers a byte and no more ends with the timeout, whichever file it does that with.
func TestSlowFilesBesideTheBundleEnd(t *testing.T) {
	for name, version := range besideTheBundle {
		synctest.Test(t, func(t *testing.T) { // without a network, so that no time passes
			host := &inMemory{site: newSite(t, true)}
			host.publish(1)
			source, err := host.follow(&trust.Options{Client: &http.Client{Transport: host}})
			host.check(err)
			host.publish(2)
			host.slow = name
			host.advance(siteHint)
			host.wantFailed(source, version, context.DeadlineExceeded, "")
		})
	}
}

// inMemory is a transport to a site, one of whose files does not end.
type inMemory struct {
	*site
	slow string // its directory, or its name; "" = all end
}

func (m *inMemory) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if m.slow != "" && strings.HasPrefix(r.URL.Path, "/"+m.slow) {
		body := io.MultiReader(strings.NewReader("{"), unending{r.Context()})
		return &http.Response{StatusCode: 200, Header: http.Header{}, Request: r, ContentLength: -1,
			Body: io.NopCloser(body)}, nil
	}
	w := httptest.NewRecorder()
	m.answer(w, r)
	return w.Result(), nil
}

// unending is a body that brings nothing until the request ends.
type unending struct{ ctx context.Context }

func (u unending) Read([]byte) (int, error) {
	<-u.ctx.Done()
	return 0, u.ctx.Err()
}

// A redirect to another host is not followed, and is no end of the chain of roots.
func TestFilesBesideTheBundleStayOnTheHost(t *testing.T) {
	for name, version := range besideTheBundle {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int64
			elsewhere := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				http.NotFound(w, r)
			}))
			defer elsewhere.Close()
			s, source := underAttack(t, name, &trust.Options{}, func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusFound)
			})
			if s.wantFailed(source, version, nil, ""); source.LastError() == nil || asked.Load() != 0 {
				t.Errorf("%v; the other host was asked %d times", source.LastError(), asked.Load())
			}
		})
	}
}

// wantFailed wants the bundle of this version in use, and the last attempt failed with that cause and Why.
func (s *site) wantFailed(source *trust.RemoteSource, version int64, cause error, why trust.BundleWhy) {
	s.Helper()
	b, err := source.Bundle(s.Context())
	if err != nil || b.Version() != version {
		s.Fatalf("%v, error %v, not version %d", b, err, version)
	}
	last := source.LastError()
	if last == nil || cause != nil && !errors.Is(last, cause) || why != "" && !hasWhy(last, why) {
		s.Errorf("last error %v, want %v, %s", last, cause, why)
	}
}

// hasWhy reports whether one of the errors in err is that refusal.
func hasWhy(err error, why trust.BundleWhy) bool {
	switch e := err.(type) {
	case *trust.BundleError:
		return e.Why == why
	case interface{ Unwrap() error }:
		return hasWhy(e.Unwrap(), why)
	case interface{ Unwrap() []error }:
		return slices.ContainsFunc(e.Unwrap(), func(err error) bool { return hasWhy(err, why) })
	}
	return false
}

// The table of attacks in docs/trust.md names tests and vectors that exist.
func TestAttackTable(t *testing.T) {
	doc, err := os.ReadFile("../../docs/trust.md")
	if err != nil {
		t.Fatal(err)
	}
	_, chapter, _ := strings.Cut(string(doc), "\n## Attacks\n")
	chapter, _, _ = strings.Cut(chapter, "\n## ")
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var source []byte
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		source = append(source, text...)
	}
	rows := regexp.MustCompile(`(?m)^\| (.*) \| (.*) \| (.*) \|$`).FindAllStringSubmatch(chapter, -1)
	if len(rows) != 1+21 {
		t.Errorf("%d rows", len(rows))
	}
	for _, row := range rows[min(1, len(rows)):] {
		names := regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[3], -1)
		if len(names) == 0 {
			t.Errorf("%s: no test", row[1])
		}
		for _, name := range names {
			vector := "../../vectors/trust/" + name[1] + ".json"
			if _, err := os.Stat(vector); err != nil && !bytes.Contains(source, []byte("func "+name[1]+"(t ")) {
				t.Errorf("%s: there is no %s", row[1], name[1])
			}
		}
	}
}
