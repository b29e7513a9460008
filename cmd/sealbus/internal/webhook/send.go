package webhook

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/dialing"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/errtext"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadkeys"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadtoken"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/internal/dialguard"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/sender"
)

// The help of flags that several commands have.
const (
	helpSecretFile = "the secret, whsec_... or whsk_..., in a `FILE`; several during a rotation"
	helpID         = "the `ID` of the message (default a new one)"
)

type sendFlags struct {
	dialing.Flags
	loadkeys.SignFlags
	token                 loadtoken.Flags
	secrets, headers      []string
	httpSignature, dryRun bool
	id, contentType       string
}

func sendCommand(env *ui.Env) *cobra.Command {
	f := &sendFlags{}
	cmd := env.Command(ui.Command{
		Use:   "send URL (--secret-file FILE... | --http-signature --keyring FILE) < BODY",
		Short: "Sign a body as a webhook, and send it once", Now: true, Args: ui.Exactly("URL"),
		Long: `Sign the body on standard input, and send it to the URL once. The header lines that are signed
or sign are written to standard output, and what was signed and the answer to standard error.

--secret-file signs as Standard Webhooks 1.0.0 says: a secret that begins with whsec_ signs v1 (HMAC-SHA256),
one that begins with whsk_ signs v1a (Ed25519). All sign, as during a rotation. --http-signature signs as
HTTP Message Signatures (RFC 9421) say, by a key of --keyring or of --kms.

--dry-run sends nothing: curl takes the header lines by --header @FILE.

Only public addresses are called, by https, without a proxy; redirects are not followed. --allow opens a
network of your own. To an address of this machine http is enough.

--token-url and --token-client get an access token for a receiver that asks who is calling, and add it to the
request; it is not shown. The secret comes from --token-secret-file or $SEALBUS_CLIENT_SECRET.

--id is the same each time that one message is sent. --now is the time of the attempt.

Exit status: 0 the answer was 2xx, 1 it was another one, 2 a flag, a file or the URL is wrong, 3 there was
no answer, or one that may be another next time (409, 429, 5xx).`,
		Example: `echo "whsec_$(openssl rand -base64 32)" > local.secret
sealbus webhook send http://127.0.0.1:3000/hooks --allow 127.0.0.0/8 --secret-file local.secret < body.json
sealbus webhook send https://acme.example/hooks --http-signature --keyring hooks.keyring < body.json
sealbus webhook send https://acme.example/hooks --dry-run --secret-file local.secret < body.json > headers
curl --header @headers --data-binary @body.json https://acme.example/hooks`,
		Run: func(ctx context.Context, args []string) error { return send(ctx, env, f, args[0]) },
	})
	flags := cmd.Flags()
	flags.StringArrayVar(&f.secrets, "secret-file", nil, helpSecretFile)
	flags.BoolVar(&f.httpSignature, "http-signature", false, "sign as RFC 9421 says, by a key of --keyring")
	flags.StringVar(&f.id, "id", "", helpID)
	flags.StringVar(&f.contentType, "content-type", "application/json", "the media `TYPE` of the body")
	flags.StringArrayVar(&f.headers, "header", nil, "another header `LINE`, as 'Name: value'; it is not signed")
	flags.BoolVar(&f.dryRun, "dry-run", false, "send nothing")
	f.Flags.Register(cmd)
	f.SignFlags.Register(cmd)
	f.token.Register(cmd)
	return cmd
}

// sentResult is a request and its answer, for programs.
type sentResult struct {
	Headers map[string]string `json:"headers"` // by name in lower case
	Signed  string            `json:"signed"`  // the signed text, with the body cut
	Status  int               `json:"status"`  // 0 = there was no answer, or nothing was sent
	Message string            `json:"message,omitempty"`

	lines []string // what was signed, for people
}

func send(ctx context.Context, env *ui.Env, f *sendFlags, to string) error {
	u, err := url.Parse(to)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return ui.Usage("write it as https://HOST/PATH", "URL: it is no URL of a receiver")
	}
	guard, err := f.guard(u)
	if err != nil {
		return err
	}
	body, err := readBody(env)
	if err != nil {
		return err
	}
	signing, base, err := f.signing(ctx, env)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, resendTimeout)
	defer cancel()
	req, err := f.request(ctx, u, body)
	if err != nil {
		return err
	}
	if err := signing.Sign(ctx, req, body, env.Now()); errors.Is(err, sender.ErrUnsignable) {
		return ui.Rejected("sign it by --http-signature, which signs a digest of the body", "%w", err)
	} else if err != nil {
		return signingFailed(err)
	}
	r := sentResult{Headers: map[string]string{}}
	r.setSigned(req, body, base())
	for name := range req.Header {
		if !slices.Contains(connection, name) {
			r.Headers[strings.ToLower(name)] = req.Header.Get(name)
		}
	}
	exit := ui.ExitDone
	if !f.dryRun {
		transport, err := f.transport(ctx, env, u, guard)
		if err != nil {
			return err
		}
		resp, err := transport.RoundTrip(req)
		if exit, err = r.answered(resp, err); err != nil {
			return err
		}
	}
	if err := r.tell(env, req); err != nil {
		return err
	}
	return ui.Ended(exit)
}

// guard opens what the flags say, the port of the URL, and http to this machine.
func (f *sendFlags) guard(u *url.URL) (*dialguard.Guard, error) {
	allow, err := f.Networks()
	if err != nil {
		return nil, err
	}
	o := &dialguard.Options{Allow: allow, Ports: []uint16{443, 80}, PlainHTTP: f.InsecureHTTP}
	if port, err := strconv.ParseUint(u.Port(), 10, 16); err == nil {
		o.Ports = append(o.Ports, uint16(port))
	}
	if a, err := netip.ParseAddr(u.Hostname()); err == nil && a.IsLoopback() {
		o.PlainHTTP = true
	}
	return dialguard.New(o), nil
}

// transport is the guard, or one that adds an access token. The token is asked for here, so that a refusal of
// the issuer is not taken for one of the receiver.
func (f *sendFlags) transport(ctx context.Context, env *ui.Env, u *url.URL, guard *dialguard.Guard,
) (http.RoundTripper, error) {
	if !f.token.IsGiven() {
		return guard, nil
	}
	source, err := f.token.Open(env, u.String())
	if err != nil {
		return nil, err
	}
	transport, err := source.Transport(guard, u.Scheme+"://"+u.Host)
	if err != nil {
		return nil, ui.Usage("write it as https://HOST/PATH", "URL: %w", err)
	}
	if _, err := source.Token(ctx); err != nil {
		return nil, loadtoken.Failed(err)
	}
	return transport, nil
}

// readBody reads standard input, as far as receivers take a body.
func readBody(env *ui.Env) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(env.Stdin, webhook.DefaultMaxBody+1))
	switch {
	case err != nil:
		return nil, ui.OpenFailed("standard input", err)
	case len(body) > webhook.DefaultMaxBody:
		return nil, ui.Rejected("send less", "standard input has more than %d bytes, which receivers refuse",
			webhook.DefaultMaxBody)
	}
	return body, nil
}

// signing signs as the flags say. After it has signed, base is the signature base of RFC 9421; nil = it is
// the text of Standard Webhooks.
func (f *sendFlags) signing(ctx context.Context, env *ui.Env,
) (_ sender.Signing, base func() []byte, err error) {
	if !f.httpSignature {
		if f.SignFlags.Named() {
			return nil, nil, ui.Usage("add --http-signature, or drop the key",
				"--keyring and --kms are for --http-signature")
		}
		secrets, err := signingSecrets(env, f.secrets)
		if err != nil {
			return nil, nil, err
		}
		s, err := sender.StandardWebhooks(secrets)
		if err != nil {
			return nil, nil, signingFailed(err)
		}
		return s, func() []byte { return nil }, nil
	}
	if len(f.secrets) > 0 {
		return nil, nil, ui.Usage("drop one of the two", "--secret-file and --http-signature exclude each other")
	}
	_, source, err := loadkeys.OpenSigning(ctx, env, &f.SignFlags)
	if err != nil {
		return nil, nil, err
	}
	list, err := loadkeys.SignersNow(env, source)
	if err != nil {
		return nil, nil, err
	}
	i := slices.IndexFunc(list, func(s keys.Signer) bool {
		alg := s.Verifier().Algorithm()
		return alg == keys.Ed25519 || alg == keys.ES256
	})
	if i < 0 {
		return nil, nil, ui.WrongFile("give the keyring of a producer with such a key",
			"RFC 9421 is signed by an Ed25519 or ES256 key, and none signs now")
	}
	kept := &keeping{Signer: list[i]}
	s, err := sender.HTTPSignature(kept, nil)
	return s, func() []byte { return kept.message }, err
}

// keeping is a signer that keeps what it signed last, to be shown.
type keeping struct {
	keys.Signer
	message []byte
}

// Sign is the method of keys.Signer.
func (k *keeping) Sign(ctx context.Context, message []byte) ([]byte, error) {
	k.message = bytes.Clone(message)
	return k.Signer.Sign(ctx, message)
}

func signingFailed(err error) error {
	if errtext.IsNetwork(err) || errtext.MayPass(err) {
		return ui.Unavailable("try again", "%w", err)
	}
	return ui.Usage("correct the flag; `sealbus webhook send --help` shows how a secret is made", "%w", err)
}

// own are header lines that a request gets in another way than by --header.
var own = []string{"Content-Type", "Webhook-Id", "Webhook-Timestamp", "Webhook-Signature", "Signature",
	"Signature-Input", "Content-Digest", "Content-Length", "Host", "Connection", "Transfer-Encoding"}

// connection are header lines that curl makes itself.
var connection = []string{"User-Agent", "Accept-Encoding"}

// idOr is the ID, or a new one if there is none.
func idOr(id string) string {
	if id != "" {
		return id
	}
	var random [12]byte
	_, _ = rand.Read(random[:]) // it never fails
	return "msg_" + hex.EncodeToString(random[:])
}

// request is the request, not signed yet.
func (f *sendFlags) request(ctx context.Context, u *url.URL, body []byte) (*http.Request, error) {
	id := idOr(f.id)
	d := sender.Delivery{Key: sender.Key{Endpoint: "send", ID: id}, ContentType: f.contentType, Body: body}
	if err := d.Check(); err != nil {
		return nil, ui.Usage("correct the flag", "%w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, ui.Usage("write it as https://HOST/PATH", "URL: it is no URL of a receiver")
	}
	req.Header.Set("User-Agent", "sealbus")
	req.Header.Set("Accept-Encoding", "identity")
	for _, line := range f.headers {
		h, err := headerLine(line)
		if err != nil {
			return nil, err
		}
		if slices.Contains(own, http.CanonicalHeaderKey(h.Name)) {
			return nil, ui.Usage("drop it; --content-type and --id have flags of their own",
				"--header: %s is set by the command", h.Name)
		}
		req.Header.Add(h.Name, h.Value)
	}
	req.Header.Set("Content-Type", f.contentType)
	req.Header.Set("Webhook-Id", id)
	return req, nil
}

// mostShown is how much of a body is shown, in bytes.
const mostShown = 200

// setSigned sets what was signed, with the body cut: the base, or else the text of Standard Webhooks.
func (r *sentResult) setSigned(req *http.Request, body, base []byte) {
	if base != nil {
		r.Signed = string(base)
		r.lines = strings.Split(r.Signed, "\n")
		return
	}
	text := strings.ToValidUTF8(string(body[:min(len(body), mostShown)]), "\ufffd")
	if len(body) > mostShown {
		text += fmt.Sprintf("... (a body of %d bytes)", len(body))
	}
	r.Signed = req.Header.Get("Webhook-Id") + "." + req.Header.Get("Webhook-Timestamp") + "." + text
	r.lines = []string{r.Signed}
}

// answered sets the answer, and returns the exit status. The error is that of an address that is refused.
func (r *sentResult) answered(resp *http.Response, err error) (int, error) {
	if fix := dialing.Fix(err); fix != "" {
		return 0, ui.Usage(fix, "nothing was sent: %w", err)
	}
	if err != nil {
		r.Message = err.Error()
		if failed, ok := errors.AsType[*dialguard.NetworkError](err); ok && !failed.Timeout() {
			r.Message += ": " + errtext.Plain(errtext.Innermost(failed))
		}
		return ui.ExitUnavailable, nil
	}
	_ = resp.Body.Close() // its content is of no use
	r.Status = resp.StatusCode
	return exitOf(r.Status), nil
}

// exitOf is the exit status of an answer.
func exitOf(status int) int {
	switch {
	case status >= 200 && status < 300:
		return ui.ExitDone
	case status >= 500 || status == http.StatusConflict || status == http.StatusTooManyRequests:
		return ui.ExitUnavailable
	}
	return ui.ExitRejected
}

func (r *sentResult) tell(env *ui.Env, req *http.Request) error {
	if env.JSON {
		return env.WriteJSON(r)
	}
	for i, line := range r.lines {
		label := "signed "
		if i > 0 {
			label = "       "
		}
		env.Say("  "+env.Talk.Dim(label)+ui.Clean(line), 11)
	}
	switch {
	case r.Message != "":
		env.Say("  "+env.Talk.Dim("answer ")+env.Talk.Red(ui.Clean(r.Message)), 9)
	case r.Status != 0:
		text := strconv.Itoa(r.Status) + " " + http.StatusText(r.Status)
		paint := env.Talk.Red
		if exitOf(r.Status) == ui.ExitDone {
			paint = env.Talk.Green
		}
		env.Say("  "+env.Talk.Dim("answer ")+paint(text), 9)
	}
	p := &ui.Printer{Style: env.Out}
	for _, name := range ui.SortedKeys(r.Headers) {
		p.Linef("%s: %s", http.CanonicalHeaderKey(name), r.Headers[name])
	}
	return env.WriteText(p)
}

// signingSecrets are the secrets of the files, of which there is one at least.
func signingSecrets(env *ui.Env, files []string) ([]webhook.Secret, error) {
	if len(files) == 0 {
		return nil, ui.Usage("add --secret-file FILE: a file with whsec_ and base64 of 24 to 64 random bytes",
			"missing flag --secret-file")
	}
	var secrets []webhook.Secret
	for _, path := range files {
		env.WarnShared(path)
		list, err := readSecret(env, path, "standardwebhooks")
		if err != nil {
			return nil, err
		}
		secrets = append(secrets, list...)
	}
	return secrets, nil
}
