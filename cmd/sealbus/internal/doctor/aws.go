package doctor

import (
	"errors"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	smithymiddleware "github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// serverDate is the header Date of an answer of AWS, also of a refusal; zero = there is none.
func serverDate(metadata smithymiddleware.Metadata, err error) time.Time {
	if t, ok := middleware.GetServerTime(metadata); ok && err == nil {
		return t
	}
	response, ok := errors.AsType[*smithyhttp.ResponseError](err)
	if !ok || response.Response == nil {
		return time.Time{}
	}
	t, _ := http.ParseTime(response.Response.Header.Get("Date"))
	return t
}
