package awscli

import (
	"bytes"
	"io"
	"net/http"
	"testing"
)

type closes struct {
	io.Reader
	closed bool
}

func (c *closes) Close() error { c.closed = true; return nil }

type asks func(*http.Request) (*http.Response, error)

func (f asks) Do(r *http.Request) (*http.Response, error) { return f(r) }

// The body that is sent is whole after the SDK has closed its own.
func TestOwnBodyOutlivesTheSDKs(t *testing.T) {
	theirs := &closes{Reader: bytes.NewReader([]byte(`{"QueueUrl":"q"}`))}
	r, err := http.NewRequest(http.MethodPost, "http://127.0.0.1:1/", theirs)
	if err != nil {
		t.Fatal(err)
	}
	r.ContentLength = 16
	var sent string
	_, err = ownBody{asks(func(own *http.Request) (*http.Response, error) {
		if own.Body == r.Body || own.ContentLength != 16 {
			t.Errorf("the body is that of the SDK, or its length is %d", own.ContentLength)
		}
		_ = r.Body.Close()
		body, err := io.ReadAll(own.Body)
		sent = string(body)
		return nil, err
	})}.Do(r)
	if err != nil || sent != `{"QueueUrl":"q"}` || !theirs.closed {
		t.Errorf("%q, closed %v, %v", sent, theirs.closed, err)
	}
}
