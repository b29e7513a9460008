package localaws

import (
	"bytes"
	"io"
	"net/http"
)

// Transport is the HTTP transport of a client that gets large answers from a Server. The SDK closes the body
// of a request as soon as it has the head of the answer; a connection on which that body is still looked at
// for its end is then closed under the answer. Only a server as near as this one answers so early. With it,
// each request has a body of its own.
type Transport struct{}

// RoundTrip is that of http.DefaultTransport.
func (Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	own := r.Clone(r.Context())
	if r.Body != nil {
		defer r.Body.Close()
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		own.Body = io.NopCloser(bytes.NewReader(body))
	}
	return http.DefaultTransport.RoundTrip(own)
}
