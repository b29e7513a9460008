package eventbridge

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/aws/smithy-go/transport/http/protocol/awsjson"

	"github.com/sealbus/sealbus/internal/jsontext"
)

// protocol is the SDK's, but it writes the details of PutEvents into a request of the right size. The SDK
// grows the request a quarter at a time and copies it at the end: for a detail of 1 MiB it allocates 7 MiB.
type protocol struct{ *awsjson.Protocol }

var _ smithyhttp.ClientProtocol = protocol{}

// exactSize makes the client write requests so. A client with another protocol keeps it: that one may, for
// example, sign or compress what it wrote.
func exactSize(o *eventbridge.Options) {
	if p, ok := o.Protocol.(*awsjson.Protocol); ok && p != nil {
		o.Protocol = protocol{p}
	}
}

// noDetail is how the SDK writes an empty detail. In a text, its quotes would be escaped.
var noDetail = []byte(`"Detail":""`)

// SerializeRequest lets the SDK write the call with empty details, and then puts the details in their places.
func (p protocol) SerializeRequest(ctx context.Context, op *smithy.OperationSchema, in smithy.Serializable,
	req *smithyhttp.Request) error {
	put, ok := in.(*eventbridge.PutEventsInput)
	if !ok {
		return p.Protocol.SerializeRequest(ctx, op, in, req)
	}
	frame := *put
	frame.Entries = slices.Clone(put.Entries)
	for i := range frame.Entries {
		if frame.Entries[i].Detail != nil {
			frame.Entries[i].Detail = aws.String("")
		}
	}
	if err := p.Protocol.SerializeRequest(ctx, op, &frame, req); err != nil {
		return err
	}
	written, err := io.ReadAll(req.GetStream())
	if err != nil {
		return fmt.Errorf("reading the request: %w", err)
	}
	parts := bytes.Split(written, noDetail)
	if len(parts) != len(put.Entries)+1 { // an entry has none, or another SDK writes it otherwise
		return p.Protocol.SerializeRequest(ctx, op, in, req)
	}
	size := len(written) + 16 // see QuotedSize
	for i := range put.Entries {
		size += jsontext.QuotedSize(aws.ToString(put.Entries[i].Detail))
	}
	body := append(make([]byte, 0, size), parts[0]...)
	for i, rest := range parts[1:] {
		body = append(body, `"Detail":`...)
		body = jsontext.AppendQuote(body, aws.ToString(put.Entries[i].Detail))
		body = append(body, rest...)
	}
	with, err := req.SetStream(bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("setting the request: %w", err)
	}
	*req = *with
	return nil
}
