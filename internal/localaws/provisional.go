package localaws

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
)

// PROVISIONAL: replaced by k-svc.

func URLFunction(url string, client *http.Client) Handler {
	return func(context.Context, json.RawMessage) (any, error) { return nil, errors.New("provisional") }
}

type BootstrapOptions struct {
	Name   string
	Env    []string
	Output io.Writer
}

type Bootstrap struct{}

func StartBootstrap(path string, opts *BootstrapOptions) (*Bootstrap, error) {
	return nil, errors.New("no")
}
func (b *Bootstrap) Close() error                                         { return nil }
func (b *Bootstrap) Invoke(context.Context, json.RawMessage) (any, error) { return nil, nil }
