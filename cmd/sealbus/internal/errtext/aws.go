package errtext

import (
	"errors"
	"strings"

	"github.com/aws/smithy-go"
)

// Denied reports whether AWS understood the call and does not allow it to these credentials.
func Denied(err error) bool {
	switch Code(err) {
	case "AccessDenied", "AccessDeniedException", "AuthorizationError", "UnauthorizedOperation",
		"AWS.SimpleQueueService.AccessDenied":
		return true
	}
	return false
}

// Code is the error code of AWS in err; "" if AWS did not answer.
func Code(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return ""
}

// AWS is what the service said, without the operation and request ID around it; of a network it is
// what was not reached, and for what.
func AWS(err error) error {
	if done, ok := errors.AsType[*Unreached](err); ok {
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
	return Reached(what, err)
}

// IsMetadata reports whether the metadata service of a virtual machine was asked, and gave nothing.
func IsMetadata(err error) bool {
	op, asked := errors.AsType[*smithy.OperationError](err)
	// switched off: the SDK has no type for that
	return asked && op.Service() == "ec2imds" || strings.Contains(err.Error(), "IMDS")
}

// WorthRetrying tells what passes by itself from what an operator must change.
func WorthRetrying(err error) bool {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return true // the network
	}
	return api.ErrorFault() == smithy.FaultServer ||
		strings.Contains(strings.ToLower(api.ErrorCode()), "throttl")
}
