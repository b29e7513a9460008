package awscall

import (
	"context"
	"errors"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Retryer is the client's own, which also repeats a call whose answer broke off after its head: the SDK calls
// that a failure for good. It is for calls that may be made twice.
func Retryer(own aws.Retryer) aws.Retryer {
	if own == nil {
		return nil
	}
	if r, ok := own.(aws.RetryerV2); ok {
		return retryer{r}
	}
	return retryer{plain{own}}
}

type retryer struct{ aws.RetryerV2 }

// IsErrorRetryable is that of the client's own, or that an answer broke off.
func (r retryer) IsErrorRetryable(err error) bool {
	return errors.Is(err, io.ErrUnexpectedEOF) || r.RetryerV2.IsErrorRetryable(err)
}

// plain is an older aws.Retryer, as the SDK itself takes it.
type plain struct{ aws.Retryer }

// GetAttemptToken is the initial token.
func (p plain) GetAttemptToken(context.Context) (func(error) error, error) {
	return p.GetInitialToken(), nil
}
