package main

import (
	"errors"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/smithy-go"
	smithymiddleware "github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// permissionDenied reports whether AWS understood the call and does not allow it to these credentials.
func permissionDenied(err error) bool {
	switch errorCode(err) {
	case "AccessDenied", "AccessDeniedException", "AuthorizationError", "UnauthorizedOperation", "AWS.SimpleQueueService.AccessDenied":
		return true
	}
	return false
}

// errorCode is the error code of AWS in err; "" if AWS did not answer.
func errorCode(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return ""
}

// shortAWSError is what the service said, without the operation and request ID around it; of a network it is
// what was not reached, and for what.
func shortAWSError(err error) error {
	if done, ok := errors.AsType[*unreached](err); ok {
		return done
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		if api.ErrorMessage() == "" {
			return errors.New(api.ErrorCode())
		}
		return errors.New(api.ErrorCode() + ": " + api.ErrorMessage())
	}
	what := "AWS"
	if op, ok := errors.AsType[*smithy.OperationError](err); ok {
		what = op.Service() + " (" + op.Operation() + ")"
	}
	return reached(what, err)
}

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
