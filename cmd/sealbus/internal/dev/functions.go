package dev

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/awscli"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/errtext"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/home"
	"github.com/sealbus/sealbus/internal/localaws"
)

// functionTimeout is how long a function may take for a batch.
const functionTimeout = functionSeconds * time.Second

// function is one that --function names.
type function struct {
	name    string // also of its queue
	url     string // "" = it is a program
	program string
}

// where is what the function is, for people.
func (f *function) where() string {
	if f.url != "" {
		return "POST " + f.url
	}
	return f.program
}

func parseFunctions(list []string) ([]function, error) {
	var functions []function
	for _, text := range list {
		name, where, ok := strings.Cut(text, "=")
		switch {
		case !ok || where == "":
			return nil, ui.Usage("write it as NAME=PROGRAM or NAME=URL, such as billing=./billing",
				"--function: %q names no function", text)
		case !isQueueName(name):
			return nil, ui.Usage("use letters, digits, - and _, and neither quarantine nor a name that ends with -dlq",
				"--function: %q cannot be the name of a queue", name)
		case slices.ContainsFunc(functions, func(f function) bool { return f.name == name }):
			return nil, ui.Usage("drop one of them", "--function: %s is given twice", name)
		}
		f := function{name: name}
		if strings.HasPrefix(where, "http://") || strings.HasPrefix(where, "https://") {
			if err := awscli.CheckURL("function", where); err != nil {
				return nil, err
			}
			f.url = where
		} else if err := checkProgram(where); err != nil {
			return nil, err
		} else {
			f.program = where
		}
		functions = append(functions, f)
	}
	return functions, nil
}

// checkConsumers refuses a function whose name is of none of the consumers of the home: it would get every
// event of the bus. A home without consumers may get them later.
func checkConsumers(h *home.Home, functions []function) error {
	if h == nil || len(h.Config().Consumers) == 0 {
		return nil
	}
	var names []string
	for i := range h.Config().Consumers {
		names = append(names, h.Config().Consumers[i].Name)
	}
	for i := range functions {
		if name := functions[i].name; !slices.Contains(names, name) {
			return ui.Usage("correct the name, or make the consumer first: `sealbus init "+name+" --consumer`",
				"--function: the home has no consumer %s, but %s", name, strings.Join(names, ", "))
		}
	}
	return nil
}

func checkProgram(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return ui.WrongFile("build it first, as in `go build -o "+ui.ShellQuote(path)+" PACKAGE`",
			"--function: %s: %w", path, ui.Cause(err))
	case !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0:
		return ui.WrongFile("name the program: the bootstrap of a Lambda function, built for this machine",
			"--function: %s is no program", path)
	}
	return nil
}

// isQueueName reports whether a name with that of its dead-letter queue can be of a queue, a rule and a
// function.
func isQueueName(name string) bool {
	return name != "" && len(name) <= 64 && name != quarantine && !strings.HasSuffix(name, deadSuffix) &&
		strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == ""
}

// running are the functions that were started.
type running struct{ programs []*localaws.Bootstrap }

func (r *running) close() {
	for _, b := range r.programs {
		_ = b.Close() // it is killed in any case
	}
	r.programs = nil
}

// startFunctions feeds each function from the queue of its name, which is there.
func startFunctions(ctx context.Context, list []function, world *world, w *watcher, homeDir string) (*running,
	error) {
	r := &running{}
	for i := range list {
		f := &list[i]
		handler := localaws.URLFunction(f.url, nil)
		if f.program != "" {
			path, err := filepath.Abs(f.program)
			if err == nil {
				var b *localaws.Bootstrap
				b, err = localaws.StartBootstrap(path, &localaws.BootstrapOptions{
					Name: f.name, Timeout: functionTimeout, Env: environment(os.Environ(), world.url,
						homeDir),
					Output: &outputOf{w: w, name: f.name}, Ended: endsOf(w, f.name),
				})
				if err == nil {
					r.programs, handler = append(r.programs, b), b.Invoke
				}
			}
			if err != nil {
				r.close()
				return nil, ui.WrongFile("check that it is built for this machine", "starting %s: %w",
					f.program, err)
			}
		}
		world.server.SetFunction(f.name, localaws.FunctionConfig{Timeout: functionTimeout})
		err := world.server.MapQueue(queueARN(f.name), f.name, told(ctx, w, f.name, handler),
			&localaws.Mapping{ReportBatchItemFailures: true, Timeout: functionTimeout})
		if err != nil {
			r.close()
			return nil, notMade("the event source mapping of "+f.name, err)
		}
	}
	return r, nil
}

// endsOf says it when the function ends before it asks for an event; of several such ends in a row that are
// alike, once. It also says when a new build takes over. It is called for one end at a time.
func endsOf(w *watcher, name string) func(localaws.End) {
	said := ""
	return func(end localaws.End) {
		switch {
		case end.Replaced:
			said = ""
			w.add(happening{kind: homeChanged,
				text: "the function " + name + " was built anew: the new one is started"})
		case end.Asked:
			said = ""
		case end.How != said:
			said = end.How
			w.add(happening{kind: homeChanged, text: fmt.Sprintf("the function %s ended before it asked "+
				"for an event: %s. It is started again, and again", name, end.How)})
		}
	}
}

// environment is that of a function: what this program has, without what it has for AWS, and with what leads
// to the server.
func environment(have []string, url, homeDir string) []string {
	env := slices.DeleteFunc(slices.Clone(have), func(e string) bool {
		return strings.HasPrefix(e, "AWS_") || strings.HasPrefix(e, "_LAMBDA") ||
			strings.HasPrefix(e, home.Variable+"=") || strings.HasPrefix(e, home.QuarantineVariable+"=")
	})
	for _, v := range variables(url) {
		env = append(env, v.name+"="+v.value)
	}
	env = append(env, home.QuarantineVariable+"="+urlOfQueue(url, quarantine))
	if homeDir != "" {
		env = append(env, home.Variable+"="+homeDir)
	}
	return env
}

// told is the function, of which each message is told until end ends.
func told(end context.Context, w *watcher, name string, f localaws.Handler) localaws.Handler {
	return func(ctx context.Context, event json.RawMessage) (any, error) {
		response, err := f(ctx, event)
		var batch struct {
			Records []struct {
				MessageID string `json:"messageId"`
				Body      string `json:"body"`
			}
		}
		if end.Err() != nil || json.Unmarshal(event, &batch) != nil {
			return response, err
		}
		failure := err
		if failure == nil && ctx.Err() != nil {
			failure = fmt.Errorf("it took longer than %s", ui.FormatDuration(functionTimeout))
		}
		ids := make([]string, 0, len(batch.Records))
		for _, m := range batch.Records {
			ids = append(ids, m.MessageID)
		}
		failed, bad := failuresIn(response, ids)
		if failure == nil {
			failure = bad
		}
		for _, m := range batch.Records {
			h := happening{kind: byFunction, where: name, body: m.Body,
				failed: failure != nil || slices.Contains(failed, m.MessageID)}
			if failure != nil {
				h.text = causeOf(failure, len(batch.Records))
			}
			w.add(h)
		}
		return response, err
	}
}

// causeOf is why a batch of so many messages failed, without what says nothing to those who wrote the
// function: that it failed is said already, and its error types are those of Go.
func causeOf(failure error, messages int) string {
	f, ok := errors.AsType[*localaws.FunctionError](failure)
	switch {
	case !ok:
		return errtext.Plain(failure)
	case strings.Contains(f.Type, "."): // of Lambda, not of the function
		return f.Type + ": " + f.Message
	}
	text := strings.TrimPrefix(f.Message, "awslambda: ")
	if rest, is := strings.CutPrefix(text, "1 of 1 messages are to be delivered again, the first because: "); is &&
		messages == 1 {
		text = rest
	}
	return text
}

// failuresIn are the messages that a response says are to come again. Its error is where the whole batch
// does: the server cannot read the response either, or it names a message that is none of the batch.
func failuresIn(response any, batch []string) (ids []string, err error) {
	text, err := json.Marshal(response)
	if err != nil {
		return nil, err
	}
	var r struct {
		BatchItemFailures []struct{ ItemIdentifier string }
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("its response is no answer to a batch: %w", err)
	}
	for _, f := range r.BatchItemFailures {
		if !slices.Contains(batch, f.ItemIdentifier) {
			return nil, fmt.Errorf("its response names the message %q, which is none of the batch", f.ItemIdentifier)
		}
		ids = append(ids, f.ItemIdentifier)
	}
	return ids, nil
}
