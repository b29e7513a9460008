package authn_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/webhook/authn"
)

// roundTrip is the transport to an issuer.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func answerOf(req *http.Request, status int, body io.Reader, header ...string) *http.Response {
	resp := &http.Response{StatusCode: status, Header: http.Header{}, ContentLength: -1, Request: req,
		Body: io.NopCloser(body)}
	for i := 0; i < len(header); i += 2 {
		resp.Header.Set(header[i], header[i+1])
	}
	return resp
}

// follows is a verifier that follows the keys behind a transport, by the clock of the bubble.
func follows(to roundTrip) *authn.Verifier {
	keys := must(authn.FetchKeys(issuer+"/jwks.json", &authn.KeyOptions{Client: &http.Client{Transport: to}}))
	return must(authn.New(issuer, keys, &authn.Options{ClientIDs: []string{"c1"}}))
}

// TestSiege: a slow issuer and hundreds of strangers at any time neither have the issuer asked more than
// twice a minute, nor keep callers with a known key waiting, nor delay a new key for more than 30 s and the
// time that the issuer takes.
func TestSiege(t *testing.T) {
	known, fresh := rToken(), eToken()
	synctest.Test(t, func(t *testing.T) {
		const latency = 9 * time.Second
		var mu sync.Mutex
		var asked []time.Time
		set := string(jwks(rKey()))
		v := follows(func(req *http.Request) (*http.Response, error) {
			mu.Lock()
			asked = append(asked, time.Now())
			body := set
			mu.Unlock()
			time.Sleep(latency)
			return answerOf(req, http.StatusOK, strings.NewReader(body)), nil
		})
		wantReason(t, "first", errOf(v.Verify(t.Context(), known, at)), "", "")
		rotated, works, refused := time.Time{}, time.Time{}, 0
		var strangers sync.WaitGroup
		for i := range 4000 { // in 200 s: 180 of them begin to wait while the issuer takes its time
			time.Sleep(50 * time.Millisecond)
			strangers.Go(func() {
				e, ok := errOf(v.Verify(t.Context(), stranger(i), at)).(*authn.Error)
				mu.Lock()
				defer mu.Unlock()
				if ok && (e.Reason == envelope.ReasonUnknownKey || e.Reason == envelope.ReasonTrustUnavailable) {
					refused++
				}
			})
			if i == 1234 {
				mu.Lock()
				set, rotated = string(jwks(rKey(), eKey())), time.Now()
				mu.Unlock()
			}
			if i%20 != 0 {
				continue
			}
			before := time.Now()
			wantReason(t, "known", errOf(v.Verify(t.Context(), known, at)), "", "")
			if time.Since(before) != 0 {
				t.Errorf("a caller with a known key waits for %s", time.Since(before))
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			if errOf(v.Verify(ctx, fresh, at)) == nil && works.IsZero() {
				works = time.Now()
			}
			cancel()
		}
		strangers.Wait()
		if d := works.Sub(rotated); works.IsZero() || d > 30*time.Second+latency+time.Second {
			t.Errorf("the new key works after %s", d)
		}
		for i := 1; i < len(asked); i++ {
			if d := asked[i].Sub(asked[i-1]); d < 30*time.Second {
				t.Errorf("asked again after %s", d)
			}
		}
		if len(asked) < 5 || refused != 4000 {
			t.Errorf("asked %d times, %d strangers were refused", len(asked), refused)
		}
	})
}

// slow is a body that comes byte by byte, until the context ends, as net/http has it.
type slow struct {
	ctx  context.Context
	text io.Reader
}

func (s slow) Read(p []byte) (int, error) {
	select {
	case <-time.After(time.Second):
		return s.text.Read(p[:1])
	case <-s.ctx.Done():
		return 0, s.ctx.Err()
	}
}

// TestBadAnswers: an answer that is no key set neither gives nor takes a key. The keys that are known go on
// for 15 minutes and no longer; the issuer is asked once in 30 s; and when it recovers, all is well.
func TestBadAnswers(t *testing.T) {
	good, other := string(jwks(rKey())), string(jwks(eKey()))
	known, foreign := rToken(), eToken()
	for name, bad := range map[string]roundTrip{
		"HTML": func(req *http.Request) (*http.Response, error) {
			return answerOf(req, 200, strings.NewReader("<!DOCTYPE html><p>Sign in")), nil
		},
		"304 with keys": func(req *http.Request) (*http.Response, error) {
			return answerOf(req, 304, strings.NewReader(other), "ETag", `"x"`), nil
		},
		"gzip": func(req *http.Request) (*http.Response, error) {
			return answerOf(req, 200, strings.NewReader(other), "Content-Encoding", "gzip"), nil
		},
		"206": func(req *http.Request) (*http.Response, error) { // of a range that was not asked for
			return answerOf(req, 206, strings.NewReader(other)), nil
		},
		"another host": func(req *http.Request) (*http.Response, error) {
			return answerOf(req, 302, strings.NewReader(other), "Location", "https://evil.example/jwks.json"), nil
		},
		"plain text": func(req *http.Request) (*http.Response, error) {
			return answerOf(req, 302, strings.NewReader(other), "Location", "http://issuer.example/jwks.json"), nil
		},
		"a slow body": func(req *http.Request) (*http.Response, error) {
			return answerOf(req, 200, slow{req.Context(), strings.NewReader(other)}), nil
		},
		"no answer": func(req *http.Request) (*http.Response, error) {
			<-req.Context().Done()
			return nil, req.Context().Err()
		},
		"half of it": func(req *http.Request) (*http.Response, error) {
			return answerOf(req, 200, strings.NewReader(other[:len(other)-1])), nil
		},
		"a body that breaks": func(req *http.Request) (*http.Response, error) {
			return answerOf(req, 200, io.MultiReader(strings.NewReader(other), broken{})), nil
		},
		"two sets": func(req *http.Request) (*http.Response, error) {
			return answerOf(req, 200, strings.NewReader(other+other)), nil
		},
		"two lists": func(req *http.Request) (*http.Response, error) {
			return answerOf(req, 200, strings.NewReader(other[:len(other)-1]+`,"keys":[]}`)), nil
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			isBad, asked := false, 0
			v := follows(func(req *http.Request) (*http.Response, error) {
				if asked++; isBad {
					return bad(req)
				}
				return answerOf(req, 200, strings.NewReader(good)), nil
			})
			wantReason(t, name, errOf(v.Verify(t.Context(), known, at)), "", "")
			isBad, asked = true, 0
			start := time.Now()
			for time.Since(start) < 14*time.Minute {
				wantReason(t, name+", known", errOf(v.Verify(t.Context(), known, at)), "", "")
				if err := errOf(v.Verify(t.Context(), foreign, at)); err == nil {
					t.Errorf("%s gives a key", name)
				}
				time.Sleep(7 * time.Second)
			}
			time.Sleep(time.Minute + time.Second)
			wantReason(t, name+", too old", errOf(v.Verify(t.Context(), known, at)),
				envelope.ReasonTrustUnavailable, "kid")
			if most := int(time.Since(start)/(30*time.Second)) + 1; asked > most {
				t.Errorf("%s: asked %d times, at most %d", name, asked, most)
			}
			isBad = false
			time.Sleep(30 * time.Second)
			wantReason(t, name+", recovered", errOf(v.Verify(t.Context(), known, at)), "", "")
		})
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("the connection broke") }

// TestETags: an answer that nothing changed renews the keys, but only if that was asked. After an answer
// that is no key set, it is not asked.
func TestETags(t *testing.T) {
	known := rToken()
	synctest.Test(t, func(t *testing.T) {
		body, etag := string(jwks(rKey())), `"1"`
		var asked []string
		v := follows(func(req *http.Request) (*http.Response, error) {
			asked = append(asked, req.Header.Get("If-None-Match"))
			if etag != "" && req.Header.Get("If-None-Match") == etag {
				return answerOf(req, http.StatusNotModified, strings.NewReader(""), "ETag", etag), nil
			}
			return answerOf(req, http.StatusOK, strings.NewReader(body), "ETag", etag), nil
		})
		for range 20 { // 100 minutes
			wantReason(t, "unchanged", errOf(v.Verify(t.Context(), known, at)), "", "")
			time.Sleep(5 * time.Minute)
		}
		body, etag = "no set", `"2"`
		wantReason(t, "broken", errOf(v.Verify(t.Context(), known, at)), "", "")
		body, etag = string(jwks(eKey())), `"2"` // as a cache has it that mixes up two answers
		time.Sleep(30 * time.Second)
		wantReason(t, "removed", errOf(v.Verify(t.Context(), known, at)), envelope.ReasonUnknownKey, "kid")
		want := append([]string{""}, slices.Repeat([]string{`"1"`}, 20)...)
		if want = append(want, ""); !slices.Equal(asked, want) {
			t.Errorf("asked with %q", asked)
		}
	})
}
