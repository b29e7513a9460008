package ui

import (
	"context"
	"errors"
	"strings"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/errtext"
)

// Finish reports how the run ended and returns the exit status.
func (env *Env) Finish(err error) int {
	switch {
	case err == nil && env.closed.Load():
		return ExitUnavailable // and it cannot be said
	case err == nil:
		return ExitDone
	}
	var e *Error
	if !errors.As(err, &e) || errors.Is(err, context.Canceled) {
		e = env.classify(err)
	}
	if e.Err != nil {
		env.report(e)
	}
	return e.Code
}

// classify gives a status to the errors that cobra makes, which are about usage, and to an interruption.
func (env *Env) classify(err error) *Error {
	if errors.Is(err, context.Canceled) {
		return &Error{Code: ExitInterrupted, Err: errors.New("interrupted"), Fix: "run it again"}
	}
	return &Error{Code: ExitUsage, Err: err, Fix: "run `sealbus --help`"}
}

func (env *Env) report(e *Error) {
	message := errtext.Plain(e.Err)
	for line := range strings.SplitSeq(message, "\n") { // several: of joined errors
		env.Say(env.Talk.Red("sealbus:")+" "+Clean(line), 2)
	}
	fix := Fix(e.Fix, e.Reason)
	if fix != "" {
		env.Say("  "+env.Talk.Dim(Clean(fix)), 2)
	}
	if env.JSON {
		_ = env.WriteJSON(ErrorResult{Error: ExitWord(e.Code), Reason: e.Reason, Message: message,
			Fix: fix})
	}
}

// ErrorResult is an error for programs.
type ErrorResult struct {
	Error   string `json:"error"` // rejected, usage, unavailable or interrupted
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message"`
	Fix     string `json:"fix"`
}
