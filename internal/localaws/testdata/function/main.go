// Command function is a Lambda function for tests. The event says what it does.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

type event struct {
	Do   string
	Text string
	Size int
}

// seen is what the function knows about its invocation.
type seen struct {
	ID, ARN, Trace, Name, Version, Home string
	PID                                 int
	Deadline                            time.Time
}

func main() {
	if os.Getenv("FAIL_INIT") != "" {
		fmt.Println("no start")
		os.Exit(3)
	}
	lambda.Start(handle)
}

func handle(ctx context.Context, e event) (any, error) {
	switch e.Do {
	case "echo":
		return e.Text, nil
	case "nothing":
		return nil, nil
	case "fail":
		return nil, errors.New(e.Text)
	case "panic":
		panic(e.Text)
	case "exit":
		os.Exit(7)
	case "print":
		fmt.Println("out: " + e.Text)
		fmt.Fprintln(os.Stderr, "err: "+e.Text)
		return nil, nil
	case "large":
		return strings.Repeat("x", e.Size), nil
	case "hang":
		select {} // the runtime of Go sees no deadlock: the client of the Runtime API has goroutines
	case "child": // leaves a process behind that holds the output
		child := exec.Command("sleep", "600")
		child.Stdout = os.Stdout
		if err := child.Start(); err != nil {
			return nil, err
		}
		return child.Process.Pid, nil
	case "context":
		lc, _ := lambdacontext.FromContext(ctx)
		deadline, _ := ctx.Deadline()
		return seen{
			ID: lc.AwsRequestID, ARN: lc.InvokedFunctionArn, Trace: os.Getenv("_X_AMZN_TRACE_ID"),
			Name: lambdacontext.FunctionName, Version: lambdacontext.FunctionVersion,
			Home: os.Getenv("SEALBUS_HOME"), PID: os.Getpid(), Deadline: deadline,
		}, nil
	}
	return nil, fmt.Errorf("it cannot %q", e.Do)
}
