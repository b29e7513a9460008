package orderstest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sealbus/sealbus/internal/testbed/cfntest"
)

// Policies are statements that are obeyed as IAM does. The zero value denies everything.
type Policies struct {
	mu         sync.Mutex
	statements []*statement
	used       map[string]bool // "statement action" and "statement resource"
}

type statement struct {
	name               string
	actions, resources []string
	sources            []string // of the condition on events:source; nil = it has none
	isOff              bool
}

// ReadPolicies reads policies from files, in which values replaces the variables.
func ReadPolicies(t testing.TB, values *strings.Replacer, files ...string) *Policies {
	t.Helper()
	p := &Policies{}
	for _, file := range files {
		doc, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var policy struct{ Statement []map[string]any }
		if err := json.Unmarshal([]byte(values.Replace(string(doc))), &policy); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for i, s := range policy.Statement {
			p.Add(fmt.Sprint(file, " ", i), s)
		}
	}
	return p
}

// Add adds a statement that allows, with the variables replaced.
func (p *Policies) Add(name string, s map[string]any) {
	texts := func(v any) (list []string) {
		for _, member := range cfntest.List(v) {
			list = append(list, fmt.Sprint(member))
		}
		return list
	}
	p.statements = append(p.statements, &statement{name: name, actions: texts(s["Action"]),
		resources: texts(s["Resource"]),
		sources:   texts(cfntest.Get(s, "Condition", "StringEquals", "events:source"))})
}

// Denies reports whether no statement allows the action on the resource. source is that of an event, "" if
// the action puts none.
func (p *Policies) Denies(action, resource, source string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.used == nil {
		p.used = make(map[string]bool)
	}
	denied := true
	for _, s := range p.statements {
		if s.isOff || s.sources != nil && !slices.Contains(s.sources, source) {
			continue
		}
		for _, a := range s.actions {
			for _, r := range s.resources {
				prefix, isPrefix := strings.CutSuffix(r, "*")
				if a == action && (r == resource || isPrefix && strings.HasPrefix(resource, prefix)) {
					p.used[s.name+a], p.used[s.name+r], denied = true, true, false
				}
			}
		}
	}
	return denied
}

// Unused are the actions and the resources that allowed nothing yet.
func (p *Policies) Unused() (list []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.statements {
		for _, name := range append(s.actions, s.resources...) {
			if !p.used[s.name+name] {
				list = append(list, s.name+" "+name)
			}
		}
	}
	return list
}

// Without calls do for each statement, while that statement does not count.
func (p *Policies) Without(do func(statement string)) {
	set := func(s *statement, isOff bool) {
		p.mu.Lock()
		defer p.mu.Unlock()
		s.isOff = isOff
	}
	for _, s := range p.statements {
		set(s, true)
		do(s.name)
		set(s, false)
	}
}

// Guarded is the environment of a function that may do what the policies allow and nothing else. It replaces
// the addresses of AWSEnv.
func (w *World) Guarded(p *Policies) []string {
	w.t.Helper()
	at := w.serve(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		to, isDenied := w.judge(p, r, body)
		if isDenied {
			rw.Header().Set("Content-Type", "application/x-amz-json-1.1")
			rw.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(rw, `{"__type":"AccessDeniedException","Message":"no"}`)
			return
		}
		target, err := url.Parse(to)
		if err != nil {
			panic(err) // the address of a server of this process
		}
		httputil.NewSingleHostReverseProxy(target).ServeHTTP(rw, r)
	}))
	return []string{"AWS_ENDPOINT_URL_S3=" + at, "AWS_ENDPOINT_URL_SECRETS_MANAGER=" + at,
		"AWS_ENDPOINT_URL_DYNAMODB=" + at, "AWS_ENDPOINT_URL_EVENTBRIDGE=" + at}
}

// judge says which service gets the request, and whether the policies deny it.
func (w *World) judge(p *Policies, r *http.Request, body []byte) (service string, isDenied bool) {
	target, action, isJSON := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	var in struct {
		SecretID  string `json:"SecretId"`
		TableName string
		Entries   []struct{ EventBusName, Source string }
	}
	_ = json.Unmarshal(body, &in) // of S3 it is no JSON
	switch {
	case !isJSON:
		verb := map[string]string{http.MethodGet: "s3:GetObject", http.MethodPut: "s3:PutObject"}[r.Method]
		return w.s3, p.Denies(verb, "arn:aws:s3:::"+strings.TrimPrefix(r.URL.Path, "/"), "")
	case target == "secretsmanager":
		return w.vault, p.Denies("secretsmanager:"+action, in.SecretID, "")
	case target == "AWSEvents":
		for _, e := range in.Entries {
			isDenied = isDenied || p.Denies("events:"+action, e.EventBusName, e.Source)
		}
		return w.Bus.URL(), isDenied || len(in.Entries) == 0
	default:
		arn := "arn:aws:dynamodb:" + Region + ":" + Account + ":table/" + in.TableName
		return w.dynamo, p.Denies("dynamodb:"+action, arn, "")
	}
}
