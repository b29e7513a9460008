package webhook

import (
	"context"
	"errors"
	"io"
	"log"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/errtext"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/serving"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/webhook"
)

type listenFlags struct {
	senderFlags
	http, record, baseURL string
	limit                 int
}

func listenCommand(env *ui.Env) *cobra.Command {
	f := &listenFlags{senderFlags: senderFlags{urlFlag: "base-url"}}
	cmd := env.Command(ui.Command{
		Use:   "listen --provider NAME --secret-file FILE [--record DIR]",
		Short: "Verify webhooks as they come, and record them", Now: true,
		Long: `Take the deliveries of one provider by POST on a local address, verify each, and write what
became of it. A refused one is diagnosed.

--record DIR keeps each verified delivery in a file. The provider is answered 200 only when the file is on
the disk; if the disk is full, it is answered 503, and sends the delivery again. sealbus webhook resend
sends records to a program, and sealbus webhook verify --record looks at one. A record has all header lines:
keep it as secret as a token in them.

--base-url is needed where the provider signs the URL: scheme and authority that the provider calls, such as
those of a tunnel to this machine.

It ends with Ctrl-C, or after --limit deliveries, with exit status 0. Handled deliveries are remembered
until it ends.`,
		Example: `sealbus webhook listen --provider github --secret-file github.secret --record deliveries
sealbus webhook resend deliveries --to http://127.0.0.1:3000/hooks --secret-file local.secret`,
		Run: func(ctx context.Context, _ []string) error { return listen(ctx, env, f) },
	})
	flags := cmd.Flags()
	f.senderFlags.register(cmd)
	flags.StringVar(&f.http, "http", "8080", "take POSTs on this `ADDR`: a port of 127.0.0.1, or HOST:PORT")
	flags.StringVar(&f.record, "record", "", "keep verified deliveries in this `DIR`")
	flags.StringVar(&f.baseURL, "base-url", "", "the `URL` that the provider called, without its path")
	flags.IntVar(&f.limit, "limit", 0, "end after this `NUMBER` of deliveries (default without end)")
	return cmd
}

// Bounds of the local server.
const (
	mostAtATime = 16 // deliveries: each may hold webhook.DefaultMaxBody
	sendTimeout = 30 * time.Second
	endPatience = 30 * time.Second // for what is under way at the end
)

// listener takes deliveries. It is an http.Handler.
type listener struct {
	env      *ui.Env
	verifier *webhook.Verifier
	receiver *webhook.Receiver
	recorder *recorder // nil = nothing is recorded
	end      context.CancelFunc
	slots    chan struct{}

	mu      sync.Mutex
	left    int // of --limit; 0 = without end
	counts  map[string]int
	failure error // the verdicts cannot be written any more
}

func listen(ctx context.Context, env *ui.Env, f *listenFlags) error {
	if f.limit < 0 {
		return ui.Usage("give a positive number, or remove --limit to listen without end",
			"--limit %d is negative", f.limit)
	}
	base, target, err := splitURL(f.baseURL)
	if err != nil || target != "/" {
		return ui.Usage("write it as https://HOST, without a path",
			"--base-url %.200q is not scheme and authority", f.baseURL)
	}
	v, err := f.open(env, "sealbus webhook listen", base)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l, err := newListener(env, v, f.record, cancel)
	if err != nil {
		return err
	}
	l.left = f.limit
	listening, err := serving.Listen("http", f.http)
	if err != nil {
		return err
	}
	env.EndOnSignal(ctx, cancel)
	env.EndOnClosedPipe(cancel)
	if !serving.Loopback(listening.Addr()) {
		env.Warnf("any program that reaches %s can post here; only verified deliveries are handled",
			listening.Addr())
	}
	env.Sayf("listening on http://%s/, Ctrl-C ends it", listening.Addr())
	err = serving.Until(ctx, &http.Server{Handler: l, ErrorLog: log.New(io.Discard, "", 0),
		MaxHeaderBytes: 64 << 10, ReadHeaderTimeout: sendTimeout, ReadTimeout: sendTimeout,
		WriteTimeout: 2 * sendTimeout, IdleTimeout: time.Minute}, listening, endPatience)
	if err == nil {
		err = l.failure
	}
	if err == nil {
		l.summarise()
	}
	return err
}

func newListener(env *ui.Env, v *webhook.Verifier, record string, end context.CancelFunc) (*listener, error) {
	l := &listener{env: env, verifier: v, end: end, slots: make(chan struct{}, mostAtATime),
		counts: map[string]int{}}
	var err error
	if record != "" {
		if l.recorder, err = newRecorder(record); err != nil {
			return nil, err
		}
	}
	l.receiver, err = webhook.NewReceiver(v, replay.NewMemory(&replay.MemoryOptions{Now: env.Now}), l.handle,
		&webhook.ReceiverOptions{Logger: slog.New(slog.DiscardHandler), Now: env.Now})
	if err != nil {
		return nil, ui.Unavailable("report this as a bug", "%w", err)
	}
	return l, nil
}

// taken is a delivery on its way through the receiver.
type taken struct {
	request webhook.Request
	record  string // the name of its file; "" = there is none
}

type takenKey struct{}

// handle is called with verified deliveries.
func (l *listener) handle(ctx context.Context, _ *webhook.Verified) (err error) {
	if l.recorder == nil {
		return nil
	}
	d, ok := ctx.Value(takenKey{}).(*taken)
	if !ok {
		return errors.New("a delivery without its request")
	}
	d.record, err = l.recorder.record(d.request, l.env.Now())
	return err
}

// ServeHTTP answers one delivery. One that is being handled is finished, also if the sender goes away.
func (l *listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	select {
	case l.slots <- struct{}{}:
		defer func() { <-l.slots }()
	case <-r.Context().Done():
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, int64(l.verifier.MaxBody())+1))
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	d := &taken{request: webhook.FromHTTP(r, body)}
	ctx := context.WithValue(context.WithoutCancel(r.Context()), takenKey{}, d)
	resp := l.receiver.Receive(ctx, d.request, time.Time{})
	var diagnosis []string
	if resp.Verified == nil {
		diagnosis = l.verifier.Diagnose(ctx, d.request, l.env.Now())
	}
	if err := l.tell(&resp, d, diagnosis); err != nil && d.record == "" && resp.Status < 300 {
		w.WriteHeader(http.StatusServiceUnavailable) // its line was all that there is of it
		return
	}
	for _, f := range resp.Header {
		w.Header().Set(f.Name, f.Value)
	}
	w.WriteHeader(resp.Status)
	_, _ = w.Write(resp.Body) // if it fails, the sender has gone
}

// heard is what became of a delivery, for programs.
type heard struct {
	Time      string          `json:"time"`
	Verdict   string          `json:"verdict"`
	Status    int             `json:"status"` // of the answer
	Reason    envelope.Reason `json:"reason,omitempty"`
	Cause     string          `json:"cause,omitempty"`
	Diagnosis []string        `json:"diagnosis,omitempty"`
	KeyID     string          `json:"key_id,omitempty"`
	ID        string          `json:"id,omitempty"`
	IDSigned  bool            `json:"id_signed,omitempty"`
	Type      string          `json:"type,omitempty"`
	Challenge bool            `json:"challenge,omitempty"` // it was answered
	Record    string          `json:"record,omitempty"`    // the name of its file
}

func verdictOf(r *webhook.Response) string {
	switch {
	case r.Reason == envelope.ReasonReplayed:
		return ui.VerdictDuplicate
	case r.Status < 300:
		return ui.VerdictVerified
	case r.Status >= 500 || r.Status == http.StatusConflict:
		return ui.VerdictRetry
	}
	return ui.VerdictRejected
}

// tell writes the verdict, and ends the command after the last one.
func (l *listener) tell(r *webhook.Response, d *taken, diagnosis []string) error {
	h := heard{Time: ui.FormatTime(l.env.Now()), Verdict: verdictOf(r), Status: r.Status, Reason: r.Reason,
		Diagnosis: diagnosis, Record: d.record}
	if e, ok := errors.AsType[*webhook.Error](r.Err); ok && e.Err != nil {
		h.Cause = errtext.Plain(e.Err)
	} else if r.Err != nil {
		h.Cause = errtext.Plain(r.Err)
	}
	if v := r.Verified; v != nil {
		h.KeyID, h.Type, h.Challenge = v.KeyID, v.Type(), v.Answer != nil
		h.ID, h.IDSigned = v.ID()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts[h.Verdict]++
	err := l.env.Emit(h, h.print)
	if err != nil {
		l.failure = err
		l.end()
	}
	if l.left--; l.left == 0 {
		l.end()
	}
	return err
}

func (h heard) print(p *ui.Printer) {
	var about []string
	switch {
	case h.Reason != "" && h.Cause != "":
		about = append(about, p.Bold(string(h.Reason))+": "+ui.Clean(h.Cause))
	case h.Reason != "":
		about = append(about, p.Bold(string(h.Reason)))
	case h.Challenge:
		about = append(about, "a challenge, answered")
	}
	for _, text := range []string{h.Type, h.ID} {
		if text != "" {
			about = append(about, ui.Clean(ui.Shorten(text)))
		}
	}
	if h.Record != "" {
		about = append(about, p.Dim("recorded as "+h.Record))
	}
	const indent = 21
	head := h.Time[len("2006-01-02T"):len(h.Time)-1] + "  " + p.VerdictPaint(h.Verdict)(h.Verdict) +
		strings.Repeat(" ", max(1, indent-10-len(h.Verdict)))
	p.Hanging(head+strings.Join(about, ", "), 0, indent, p.Width)
	for _, found := range h.Diagnosis {
		p.Hanging(p.Dim(ui.Clean(found)), indent, indent, p.Width)
	}
}

// summarise says at the end what there was.
func (l *listener) summarise() {
	l.mu.Lock()
	defer l.mu.Unlock()
	var parts []string
	for _, verdict := range []string{ui.VerdictVerified, ui.VerdictDuplicate, ui.VerdictRejected,
		ui.VerdictRetry} {
		if n := l.counts[verdict]; n > 0 {
			parts = append(parts, ui.CountVerdict(n, verdict))
		}
	}
	if len(parts) == 0 {
		parts = []string{"no deliveries"}
	}
	l.env.Sayf("%s", strings.Join(parts, ", "))
}
