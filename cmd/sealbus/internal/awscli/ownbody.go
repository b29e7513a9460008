package awscli

import (
	"bytes"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// ownBody gives each request a body of its own. The SDK closes the body of a request as soon as it has the
// head of the answer. If net/http still looks for the end of that body then, it closes the connection under
// the rest of the answer. Only a server as near as `sealbus dev` answers so early. A message that was
// received in such an answer stays in flight: a list lacks it until its visibility timeout is over.
type ownBody struct{ client aws.HTTPClient }

func (o ownBody) Do(r *http.Request) (*http.Response, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return o.client.Do(r)
	}
	defer r.Body.Close()
	var body bytes.Buffer // what the commands send is in memory already, and bounded
	body.Grow(int(max(r.ContentLength, 0)) + bytes.MinRead)
	if _, err := body.ReadFrom(r.Body); err != nil {
		return nil, err
	}
	own := r.Clone(r.Context())
	own.Body = io.NopCloser(&body)
	return o.client.Do(own)
}
