package eventbridge

import (
	"context"
	"strings"

	"github.com/sealbus/sealbus/producer"
)

// lambdaTraceKey is the key under which github.com/aws/aws-lambda-go keeps the invocation's X-Ray header in
// the context.
const lambdaTraceKey = "x-amzn-trace-id"

// maxTraceHeader is the service's limit, in characters.
const maxTraceHeader = 500

// traceHeader finds the X-Ray header in the context. It is "" if the service would refuse it.
// https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
func traceHeader(ctx context.Context) string {
	if header, _ := ctx.Value(lambdaTraceKey).(string); header != "" && len(header) <= maxTraceHeader {
		return header
	}
	parent, _ := producer.TraceFrom(ctx)
	if parent == "" {
		return ""
	}
	sampled := "0"
	if strings.IndexByte("13579bdf", parent[len(parent)-1]) >= 0 { // the lowest bit of the flags
		sampled = "1"
	}
	id := parent[3:35]
	return "Root=1-" + id[:8] + "-" + id[8:] + ";Parent=" + parent[36:52] + ";Sampled=" + sampled
}
