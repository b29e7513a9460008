package webhook

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/awscli"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/errtext"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/webhook"
)

type resendFlags struct {
	to      string
	secrets []string
}

func resendCommand(env *ui.Env) *cobra.Command {
	f := &resendFlags{}
	cmd := env.Command(ui.Command{
		Use:   "resend DIR --to URL --secret-file FILE",
		Short: "Send recorded webhooks to a program, signed anew", Now: true, Args: ui.Exactly("DIR"),
		Long: `Send each record that sealbus webhook listen kept in DIR to a program, the oldest first. Each
is signed anew, as Standard Webhooks does, with a secret of your own, so that the program needs no secret of
the provider, and an old time is no hindrance. The header lines of the provider stay, its signature
included; Authorization, Cookie and those of the connection do not.

A record has one webhook-id, however often it is sent: a program that handles a delivery once takes it once.

Only you may be able to write to DIR: all that is in it is signed.

Exit status: 0 all were answered 2xx, 1 the program refused one, 2 a flag or a file is wrong, 3 the program
was not reached, or wants one later.`,
		Example: "sealbus webhook resend deliveries --to http://127.0.0.1:3000/hooks --secret-file " +
			"local.secret",
		Run: func(ctx context.Context, args []string) error { return resend(ctx, env, f, args[0]) },
	})
	cmd.Flags().StringVar(&f.to, "to", "", "where the deliveries go, a `URL`")
	cmd.Flags().StringArrayVar(&f.secrets, "secret-file", nil, helpSecretFile)
	return cmd
}

// maxID is the most bytes of an ID that webhook.Sign takes.
const maxID = 256

const resendTimeout = 30 * time.Second // of one delivery

// resentResult is what became of one record, for programs.
type resentResult struct {
	Record  string `json:"record"`
	ID      string `json:"webhook-id"`
	Status  int    `json:"status"` // 0 = there was no answer
	Message string `json:"message,omitempty"`
}

func resend(ctx context.Context, env *ui.Env, f *resendFlags, dir string) error {
	if err := ui.Need(ui.Flag("to", f.to)); err != nil {
		return err
	}
	if err := awscli.CheckURL("to", f.to); err != nil {
		return err
	}
	secrets, err := signingSecrets(env, f.secrets)
	if err != nil {
		return err
	}
	names, err := recordsIn(dir)
	if err != nil {
		return err
	}
	client := &http.Client{Timeout: resendTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if c := env.HTTPClient(); c != nil {
		client.Transport = c.Transport
	}
	exit := ui.ExitDone
	for _, name := range names {
		r, at, err := readRecord(env, filepath.Join(dir, name))
		if err != nil {
			return err
		}
		result := resentResult{Record: name, ID: idOf(&r, at)}
		req, err := resigned(ctx, f.to, &r, result.ID, env.Now(), secrets)
		if err != nil {
			return signingFailed(err)
		}
		exit = max(exit, result.send(client, req))
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := env.Emit(result, result.print); err != nil {
			return err
		}
	}
	return ui.Ended(exit)
}

// idOf is the ID of the message: its own, or one that is made of the record, the same each time.
func idOf(r *webhook.Request, at time.Time) string {
	isOther := func(c rune) bool { return c <= ' ' || c > '~' || c == '.' || c == ',' }
	id, err := r.HeaderValue("Webhook-Id")
	if err == nil && id != "" && len(id) <= maxID && !strings.ContainsFunc(id, isOther) {
		return id
	}
	sum := sha256.Sum256(append([]byte(at.Format(time.RFC3339Nano)+"\n"+r.Target+"\n"), r.Body...))
	return "rec_" + hex.EncodeToString(sum[:12])
}

// dropped are header lines that are about the connection, or let a program act for another one.
var dropped = []string{"Host", "Content-Length", "Connection", "Keep-Alive", "Te", "Trailer",
	"Transfer-Encoding", "Upgrade", "Expect", "Accept-Encoding", "Forwarded", "Authorization", "Cookie",
	"Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"}

// resigned is the recorded delivery as a new request.
func resigned(ctx context.Context, to string, r *webhook.Request, id string, now time.Time,
	secrets []webhook.Secret) (*http.Request, error) {
	lines, err := webhook.Sign(id, now, r.Body, secrets)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(r.Body))
	if err != nil {
		return nil, err
	}
	for _, f := range r.Header {
		name := http.CanonicalHeaderKey(f.Name)
		if slices.Contains(dropped, name) || strings.HasPrefix(name, "X-Forwarded-") ||
			strings.HasPrefix(name, "Proxy-") {
			continue
		}
		req.Header.Add(name, f.Value)
	}
	for _, f := range lines {
		req.Header.Set(f.Name, f.Value)
	}
	return req, nil
}

// send sends the request, and returns the exit status.
func (r *resentResult) send(client *http.Client, req *http.Request) int {
	resp, err := client.Do(req)
	if err != nil {
		r.Message = errtext.Plain(errtext.Innermost(err))
		if errors.Is(err, context.DeadlineExceeded) {
			r.Message = "no answer in time"
		}
		return ui.ExitUnavailable
	}
	defer func() { _ = resp.Body.Close() }() // its content is of no use
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	r.Status = resp.StatusCode
	return exitOf(r.Status)
}

func (r resentResult) print(p *ui.Printer) {
	answer := p.Red(ui.Clean(r.Message))
	switch {
	case r.Status != 0 && r.Status < 300:
		answer = p.Green(strconv.Itoa(r.Status))
	case r.Status != 0:
		answer = p.Red(strconv.Itoa(r.Status) + " " + http.StatusText(r.Status))
	}
	p.Hanging(ui.Clean(r.Record)+"  "+answer, 0, 4, p.Width)
}
