// Package quarantine has the commands that look at what a consumer refused, and reopen it.
package quarantine

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"strconv"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/errtext"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/quarantine"
	"github.com/sealbus/sealbus/envelope"
)

func Command(env *ui.Env) *cobra.Command {
	return env.Group("quarantine", "Look at what a consumer refused, and reopen it",
		"Look at what a consumer refused for good, and, when the cause is mended, hand it to the consumer again.\n"+
			"Each record is authenticated under the key that the consumer has too: what is not authentic was slipped in, or\n"+
			"was changed, and is never reopened.",
		listCommand(env), showCommand(env), reopenCommand(env), removeCommand(env), keyCommand(env))
}

// storeFailed is an error of the store, with what to do.
func storeFailed(err error) error {
	if _, ok := errors.AsType[*ui.Error](err); ok || errors.Is(err, context.Canceled) {
		return err
	}
	fix := "check --from and --region"
	switch {
	case errors.Is(err, quarantine.ErrNotFound):
		return ui.Rejected("take the ID from `sealbus quarantine list`; what was reopened is no longer there",
			"%w", err)
	case errors.Is(err, consumer.ErrNotAuthentic):
		return &ui.Error{Code: ui.ExitRejected, Reason: notAuthentic, Err: err, Fix: fixNotAuthentic}
	case errtext.Denied(err):
		fix = "ask for the permission that is named, on that queue or bucket"
	}
	if errtext.IsNetwork(err) || errtext.MayPass(err) {
		return ui.Unavailable("check the network, --from and --endpoint, and try again", "%w", err)
	}
	if ui.IsPathError(err) || errtext.Code(err) != "" {
		return ui.WrongFile(fix, "%w", err)
	}
	return ui.Unavailable(fix, "%w", err)
}

// notAuthentic is what is said of a record whose MAC is wrong.
const notAuthentic = "not_authentic"

// fixNotAuthentic does not say to remove the record: under the key that the consumer had before, it may be a
// payment.
const fixNotAuthentic = "check --key-file, and try the keys that this consumer had before; if none fits, " +
	"someone without the key wrote it: find out who can write to the quarantine"

// recordView is a record for programs. Whatever is called unverified is what the event claims.
type recordView struct {
	ID               string          `json:"id"`
	Authentic        bool            `json:"authentic"`
	At               string          `json:"at,omitempty"`
	Consumer         string          `json:"consumer,omitempty"`
	Quarantine       string          `json:"quarantine,omitempty"`
	Reason           envelope.Reason `json:"reason,omitempty"`
	Cause            string          `json:"cause,omitempty"`
	Fix              string          `json:"fix,omitempty"`
	UnverifiedID     string          `json:"unverified_id,omitempty"`
	UnverifiedSource string          `json:"unverified_source,omitempty"`
	UnverifiedType   string          `json:"unverified_type,omitempty"`
	Format           string          `json:"format,omitempty"`
	Account          string          `json:"account,omitempty"`
	ReplayName       string          `json:"replay_name,omitempty"`
	Bytes            int             `json:"bytes,omitempty"` // of the body
	Body             string          `json:"body,omitempty"`  // base64; only if it was asked for
	Now              *verdictNow     `json:"now,omitempty"`   // only if there is trust to judge it with
	// not_authentic, or unavailable if it could not be read
	Error   string `json:"error,omitempty"`
	Message string `json:"message,omitempty"`
}

// viewOf shows nothing of a record that is not authentic.
func viewOf(e quarantine.Entry) recordView {
	r := e.Record
	if r == nil {
		v := recordView{ID: e.ID, Error: notAuthentic, Message: errtext.Plain(e.Err),
			Fix: ui.Fix(fixNotAuthentic, notAuthentic)}
		if !errors.Is(e.Err, consumer.ErrNotAuthentic) {
			v.Error, v.Fix = ui.ExitWord(ui.ExitUnavailable), "try again"
		}
		return v
	}
	return recordView{
		ID: e.ID, Authentic: true, At: ui.FormatTime(r.At), Consumer: r.Consumer, Quarantine: r.Quarantine,
		Reason: r.Reason, Cause: r.Cause, Fix: ui.Fix(cmp.Or(r.Advice, r.Reason.Fix()), string(r.Reason)),
		UnverifiedID: r.UnverifiedID, UnverifiedSource: r.UnverifiedSource, UnverifiedType: r.UnverifiedType,
		Format: r.Message.Format.String(), Account: r.Message.Account, ReplayName: r.Message.ReplayName,
		Bytes: len(r.Message.Body),
	}
}

// exit is the status that the record itself stands for.
func (v *recordView) exit() int {
	switch v.Error {
	case "":
		return ui.ExitDone
	case notAuthentic:
		return ui.ExitRejected
	}
	return ui.ExitUnavailable
}

// claimLine is what the event claims to be, in one line. It is ASCII: letters that run from right to left
// would move what stands beside them.
func claimLine(r *consumer.Record) string {
	claims := []string{r.UnverifiedID, r.UnverifiedType, r.UnverifiedSource}
	for i, text := range claims {
		if claims[i] = strconv.QuoteToASCII(clipped(text)); text == "" {
			claims[i] = "-"
		}
	}
	return claims[0] + " " + claims[1] + " from " + claims[2]
}

// mostClaimed is how much of a claim is shown in a list, in characters.
const mostClaimed = 60

func clipped(text string) string {
	if utf8.RuneCountInString(text) <= mostClaimed {
		return text
	}
	return string([]rune(text)[:mostClaimed]) + "…"
}

func encodeBody(body []byte) string { return base64.StdEncoding.EncodeToString(body) }
