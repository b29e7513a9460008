package localaws

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// lambdaAPI is the part of AWS Lambda that reads how a function is set up. It is set up by
// Server.SetFunction.
// https://docs.aws.amazon.com/lambda/latest/api/API_Operations.html
var lambdaAPI = &api{
	contentType: "application/json", iam: "lambda",
	actions: map[string]action{
		"GetFunction":                    decoded((*Server).getFunction),
		"GetFunctionConfiguration":       decoded((*Server).getFunctionConfiguration),
		"GetFunctionEventInvokeConfig":   decoded((*Server).getInvokeConfig),
		"ListFunctionEventInvokeConfigs": decoded((*Server).listInvokeConfigs),
		"ListEventSourceMappings":        decoded((*Server).listMappings),
		"GetPolicy":                      decoded((*Server).getPolicy),
		"Invoke": waiting(func(s *Server, ctx context.Context, in *invokeInput) (*invocationAnswer, error) {
			return s.invokeFunction(ctx, in)
		}),
	},
	throttled: &fault{status: http.StatusTooManyRequests, code: "TooManyRequestsException",
		message: "Rate Exceeded."},
	broken: &fault{status: http.StatusInternalServerError, code: "ServiceException",
		message: "An error occurred and the request cannot be processed."},
	denied: func(s *Server, action string) error {
		return &fault{status: http.StatusForbidden, code: "AccessDeniedException",
			message: fmt.Sprintf("User: %s is not authorized to perform: lambda:%s", s.caller(), action)}
	},
}

// lambdaRequest is the action of a REST request, and its parameters as the JSON that decoded reads; "" = it
// is none.
func lambdaRequest(r *http.Request) (action string, in []byte) {
	path := strings.Trim(r.URL.EscapedPath(), "/")
	version, rest, _ := strings.Cut(path, "/")
	if r.Method != http.MethodGet || version != "2015-03-31" && version != "2019-09-25" {
		return "", nil
	}
	q := r.URL.Query()
	p := map[string]string{"FunctionName": q.Get("FunctionName"), "EventSourceArn": q.Get("EventSourceArn")}
	if rest == "event-source-mappings" {
		in, _ = json.Marshal(p)
		return "ListEventSourceMappings", in
	}
	name, what, _ := strings.Cut(strings.TrimPrefix(rest, "functions/"), "/")
	p["FunctionName"], _ = url.PathUnescape(name)
	in, _ = json.Marshal(p)
	return map[string]string{
		"": "GetFunction", "configuration": "GetFunctionConfiguration", "policy": "GetPolicy",
		"event-invoke-config":      "GetFunctionEventInvokeConfig",
		"event-invoke-config/list": "ListFunctionEventInvokeConfigs",
	}[what], in
}

// FunctionConfig is how a function is set up. The zero value is what a new function has.
type FunctionConfig struct {
	Timeout       time.Duration // 0 = 3 s
	Runtime       string        // "" = provided.al2023
	Environment   map[string]string
	State         string        // "" = Active
	LastUpdate    string        // LastUpdateStatus; "" = Successful
	Reserved      *int          // its reserved concurrency; nil = none
	Policy        string        // who may invoke it, as JSON; "" = no one may
	DeadLetterARN string        // the older dead-letter queue of the function itself; "" = none
	Invoke        *InvokeConfig // of asynchronous invocations; nil = none was put
}

// InvokeConfig is what becomes of an asynchronous invocation that fails.
type InvokeConfig struct {
	Retries     int           // 0 = none; without an InvokeConfig there are 2
	MaxEventAge time.Duration // 0 = 6 h
	OnFailure   string        // the ARN of the destination; "" = none
}

// function is one that is there.
type function struct {
	name string
	conf FunctionConfig
	at   time.Time
}

// SetFunction sets the configuration of a function and returns its ARN. It makes the function if there is
// none. The code of the function is given to Server.Function or Server.MapQueue.
func (s *Server) SetFunction(name string, conf FunctionConfig) (arn string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ensureFunction(name).conf = conf
	return s.functionARN(name)
}

// ensureFunction is called with s.mu locked.
func (s *Server) ensureFunction(name string) *function {
	if s.functions[name] == nil {
		s.functions[name] = &function{name: name, at: s.opts.Now()}
	}
	return s.functions[name]
}

func (s *Server) functionARN(name string) string {
	return "arn:aws:lambda:" + s.opts.Region + ":" + s.opts.Account + ":function:" + name
}

// defaultFunctionRetries is how often Lambda repeats an asynchronous invocation that failed.
const defaultFunctionRetries = 2

func (s *Server) functionRetries(name string) int {
	if c := s.invokeConfig(name); c != nil {
		return c.Retries
	}
	return defaultFunctionRetries
}

func (s *Server) invokeConfig(name string) *InvokeConfig {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.functions[name]; f != nil {
		return f.conf.Invoke
	}
	return nil
}

// toDestination sends what a function did not take to the queue that is its destination for failures.
// https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
func (s *Server) toDestination(name string, d *shipment, why error) {
	c := s.invokeConfig(name)
	if c == nil || !isQueueARN(c.OnFailure) {
		return
	}
	type object map[string]any
	body := plainJSON(object{
		"version": "1.0", "timestamp": s.opts.Now().UTC().Format("2006-01-02T15:04:05.000Z"),
		"requestContext": object{
			"requestId": newUUID(), "functionArn": s.functionARN(name) +
				":$LATEST", "condition": "RetriesExhausted", "approximateInvokeCount": d.made,
		},
		"requestPayload": json.RawMessage(bytes.Clone(d.doc)),
		"responseContext": object{"statusCode": 200, "executedVersion": "$LATEST",
			"functionError": "Unhandled"},
		"responsePayload": object{"errorMessage": why.Error(), "errorType": "errorString"},
	})
	s.sendTo(c.OnFailure, &sendEntry{MessageBody: string(body)}, d)
}

type functionInput struct{ FunctionName, EventSourceArn string }

// findFunction takes a name, an ARN or a part of one, with a qualifier or not. It is called with s.mu locked.
func (s *Server) findFunction(name string) (*function, error) {
	if _, after, isARN := strings.Cut(name, "function:"); isARN {
		name = after
	}
	name, _, _ = strings.Cut(name, ":")
	if f := s.functions[name]; f != nil {
		return f, nil
	}
	return nil, notFound("Function not found: %s", s.functionARN(name))
}

func notFound(format string, args ...any) error {
	return &fault{status: http.StatusNotFound, code: "ResourceNotFoundException",
		message: fmt.Sprintf(format, args...)}
}

type functionConfiguration struct {
	FunctionName, FunctionArn, Runtime, LastModified, LastUpdateStatus, State, Version string
	Timeout                                                                            int
	Environment                                                                        *environment `json:",omitempty"`
	DeadLetterConfig                                                                   *deadTarget  `json:",omitempty"`
}

type environment struct{ Variables map[string]string }

type deadTarget struct{ TargetArn string }

type getFunctionOutput struct {
	Configuration *functionConfiguration
	Concurrency   *concurrency `json:",omitempty"`
}

type concurrency struct{ ReservedConcurrentExecutions int }

func (s *Server) getFunction(in *functionInput) (*getFunctionOutput, error) {
	c, err := s.getFunctionConfiguration(in)
	if err != nil {
		return nil, err
	}
	out := &getFunctionOutput{Configuration: c}
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.functions[c.FunctionName]; f.conf.Reserved != nil {
		out.Concurrency = &concurrency{*f.conf.Reserved}
	}
	return out, nil
}

func (s *Server) getFunctionConfiguration(in *functionInput) (*functionConfiguration, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := s.findFunction(in.FunctionName)
	if err != nil {
		return nil, err
	}
	c := &functionConfiguration{
		FunctionName: f.name, FunctionArn: s.functionARN(f.name), Timeout: 3, Version: "$LATEST",
		Runtime: cmp.Or(f.conf.Runtime, "provided.al2023"), State: cmp.Or(f.conf.State, "Active"),
		LastUpdateStatus: cmp.Or(f.conf.LastUpdate, "Successful"),
		LastModified:     f.at.UTC().Format("2006-01-02T15:04:05.000+0000"),
	}
	if f.conf.Timeout > 0 {
		c.Timeout = int(f.conf.Timeout / time.Second)
	}
	if f.conf.Environment != nil {
		c.Environment = &environment{f.conf.Environment}
	}
	if f.conf.DeadLetterARN != "" {
		c.DeadLetterConfig = &deadTarget{f.conf.DeadLetterARN}
	}
	return c, nil
}

type invokeConfigOutput struct {
	FunctionArn                                    string
	LastModified                                   float64
	MaximumRetryAttempts, MaximumEventAgeInSeconds int
	DestinationConfig                              destinations
}

type destinations struct{ OnFailure, OnSuccess destination }

type destination struct {
	Destination string `json:",omitempty"`
}

func (s *Server) getInvokeConfig(in *functionInput) (*invokeConfigOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := s.findFunction(in.FunctionName)
	if err != nil {
		return nil, err
	}
	c := f.conf.Invoke
	if c == nil {
		return nil, notFound("The function %s:$LATEST doesn't have an EventInvokeConfig",
			s.functionARN(f.name))
	}
	age := 6 * time.Hour
	if c.MaxEventAge > 0 {
		age = c.MaxEventAge
	}
	out := &invokeConfigOutput{
		FunctionArn: s.functionARN(f.name) + ":$LATEST", LastModified: seconds(f.at),
		MaximumRetryAttempts: c.Retries, MaximumEventAgeInSeconds: int(age / time.Second),
	}
	out.DestinationConfig.OnFailure.Destination = c.OnFailure
	return out, nil
}

type listInvokeConfigsOutput struct {
	FunctionEventInvokeConfigs []*invokeConfigOutput
}

func (s *Server) listInvokeConfigs(in *functionInput) (*listInvokeConfigsOutput, error) {
	s.mu.Lock()
	f, err := s.findFunction(in.FunctionName)
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	out := &listInvokeConfigsOutput{FunctionEventInvokeConfigs: []*invokeConfigOutput{}}
	if c, err := s.getInvokeConfig(&functionInput{FunctionName: f.name}); err == nil {
		out.FunctionEventInvokeConfigs = append(out.FunctionEventInvokeConfigs, c)
	}
	return out, nil
}

type getPolicyOutput struct{ Policy, RevisionID string }

func (s *Server) getPolicy(in *functionInput) (*getPolicyOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := s.findFunction(in.FunctionName)
	switch {
	case err != nil:
		return nil, err
	case f.conf.Policy == "":
		return nil, notFound("The resource you requested does not exist.")
	}
	return &getPolicyOutput{Policy: f.conf.Policy}, nil
}

// Handler is a function as the runtime has it: what it returns becomes JSON.
type Handler func(ctx context.Context, event json.RawMessage) (response any, err error)

// HandlerOf is the Handler of a function for lambda.Start.
func HandlerOf[T any](f func(context.Context, json.RawMessage) (T, error)) Handler {
	return func(ctx context.Context, event json.RawMessage) (any, error) { return f(ctx, event) }
}
