package awscall_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"

	"github.com/sealbus/sealbus/internal/awscall"
	"github.com/sealbus/sealbus/internal/lossy"
)

// answers are how the server behaves, one call after the other.
type answers []http.HandlerFunc

func (a *answers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	next := (*a)[0]
	*a = (*a)[1:]
	next(w, r)
}

func says(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

func breaksOff(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "100")
	fmt.Fprint(w, `{"QueueUrls":[`)
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

func closes(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

var (
	good      = says(http.StatusOK, `{"QueueUrls":[]}`)
	throttled = says(http.StatusBadRequest, `{"__type":"com.amazonaws.sqs#ThrottlingException"}`)
	failed    = says(http.StatusInternalServerError, `{"__type":"com.amazonaws.sqs#InternalError"}`)
	gateway   = says(http.StatusBadGateway, `<html>`)
)

// TestUnclear: which attempts leave open what was done, and which are repeated.
func TestUnclear(t *testing.T) {
	for name, c := range map[string]struct {
		answers     answers
		unclear, ok bool
	}{
		"good":                     {answers{good}, false, true},
		"throttled, good":          {answers{throttled, good}, false, true},
		"closed, good":             {answers{closes, good}, true, true},
		"broken off, good":         {answers{breaksOff, good}, true, true},
		"500, good":                {answers{failed, good}, true, true},
		"502 of a proxy, good":     {answers{gateway, good}, true, true},
		"closed, then throttled":   {answers{closes, throttled, throttled}, true, false},
		"throttled":                {answers{throttled, throttled, throttled}, false, false},
		"broken off three times":   {answers{breaksOff, breaksOff, breaksOff}, true, false},
		"throttled and broken off": {answers{throttled, breaksOff, throttled}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(&c.answers)
			t.Cleanup(server.Close)
			call, err := list(t, server.URL, "AKIAEXAMPLE")
			if call.Unclear(err) != c.unclear || (err == nil) != c.ok || len(c.answers) != 0 {
				t.Errorf("unclear: %v, %d answers are left, %v", call.Unclear(err), len(c.answers), err)
			}
		})
	}
}

// TestNeverLeft: what no service can have seen is clear.
func TestNeverLeft(t *testing.T) {
	const nowhere = "http://127.0.0.1:1" // the system hands out no such port to another test
	if call, err := list(t, nowhere, "AKIAEXAMPLE"); err == nil || call.Unclear(err) {
		t.Errorf("no connection: %v", err)
	}
	if call, err := list(t, nowhere, ""); err == nil || call.Unclear(err) {
		t.Errorf("no credentials: %v", err)
	}
}

// TestUnwatched: of a client that is not the SDK's, the error decides.
func TestUnwatched(t *testing.T) {
	for name, c := range map[string]struct {
		err     error
		unclear bool
	}{
		"none": {nil, false}, "any": {errors.New("oh"), true}, "end": {io.ErrUnexpectedEOF, true},
		"refused":   {&smithy.GenericAPIError{Code: "AccessDenied"}, false},
		"throttled": {&smithy.GenericAPIError{Code: "Throttling", Fault: smithy.FaultClient}, false},
		"failed":    {&smithy.GenericAPIError{Code: "InternalError", Fault: smithy.FaultServer}, true},
	} {
		var call awscall.Call
		if call.Unclear(c.err) != c.unclear {
			t.Errorf("%s: unclear %v", name, !c.unclear)
		}
	}
}

// list makes a call as an adapter does. An empty ID stands for credentials that cannot be had.
func list(t *testing.T, url, id string) (*awscall.Call, error) {
	t.Helper()
	call := &awscall.Call{}
	client := sqs.New(sqs.Options{
		Region: "us-east-1", BaseEndpoint: &url, Retryer: retry.AddWithMaxAttempts(lossy.Retryer(), 3),
		Credentials: aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
			if id == "" {
				return aws.Credentials{}, errors.New("no credentials")
			}
			return credentials.NewStaticCredentialsProvider(id, "secret", "").Retrieve(ctx)
		}),
	})
	_, err := client.ListQueues(t.Context(), &sqs.ListQueuesInput{}, func(o *sqs.Options) {
		o.Retryer = awscall.Retryer(o.Retryer)
		o.APIOptions = append(o.APIOptions, call.Watch)
	})
	return call, err
}

// TestRetryer keeps what the client's own retryer says of everything else.
func TestRetryer(t *testing.T) {
	if awscall.Retryer(nil) != nil {
		t.Error("a retryer out of nothing")
	}
	broken := fmt.Errorf("deserialization failed: %w", io.ErrUnexpectedEOF)
	for name, own := range map[string]aws.Retryer{"never": aws.NopRetryer{}, "standard": retry.NewStandard(),
		"older": older{retry.NewStandard()}} {
		r := awscall.Retryer(own)
		if !r.IsErrorRetryable(broken) || r.IsErrorRetryable(errors.New("oh")) ||
			r.MaxAttempts() != own.MaxAttempts() {
			t.Errorf("%s: %v, %v, %d attempts", name, r.IsErrorRetryable(broken),
				r.IsErrorRetryable(errors.New("oh")), r.MaxAttempts())
		}
		v2, ok := r.(aws.RetryerV2)
		if !ok {
			t.Fatalf("%s is no RetryerV2", name)
		}
		if release, err := v2.GetAttemptToken(t.Context()); err != nil || release(nil) != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// older is a Retryer without the methods of RetryerV2.
type older struct{ aws.Retryer }
