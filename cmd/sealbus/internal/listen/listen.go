// Package listen has the command that takes events from a queue or over HTTP, and does all checks of a
// consumer.
package listen

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/awscli"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/input"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadclaims"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadkeys"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadquarantine"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadtrust"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/internal/wire"
	"github.com/sealbus/sealbus/keys"
)

// listenName is the consumer's name unless told otherwise: that of no other.
const listenName = "sealbus-listen"

// listenFlags are those of `listen`.
type listenFlags struct {
	loadtrust.TrustFlags
	awscli.AWSFlags
	loadkeys.IdentityFlags
	loadkeys.RequireFlags
	input.IgnoreFlags
	quarantine  loadquarantine.ConsumerFlags
	queue, http string
	sources     []string
	types       []string
	audience    string
	account     string
	maxAge      ui.DurationValue
	name        string
	forwardTo   string
	redis       string
	limit       int
	remove      bool
	wrapper     string
}

func Command(env *ui.Env) *cobra.Command {
	f := &listenFlags{maxAge: ui.DurationValue(envelope.DefaultMaxAge)}
	cmd := env.Command(ui.Command{
		Use:   "listen (--queue URL | --http ADDR) --trust FILE --roots FILE --allow-source PATTERN...",
		Short: "Verify events as they come, from a queue or over HTTP", Now: true,
		Long: `Take sealed events from an SQS queue, or by POST on a local address, through all checks of a consumer, and write a
line for each: what became of it, why, who sealed it. Encrypted data is opened with a key of --identity.
Text behind a ? is only claimed by the event; it was not verified.

--forward-to URL posts verified events, and nothing else, to a program of yours: one CloudEvent each, as
application/cloudevents+json, with the header Idempotency-Key. A 2xx answer within 20 seconds means that it is
handled; anything else, and it is made again. Redirects are not followed.

--queue URL only looks, at first: messages stay on the queue and come back when their visibility timeout is over. Each look
counts, though: after maxReceiveCount of them SQS moves a message to the dead-letter queue. With --delete, or once
forwarded, a verified message is deleted, and so is a refused one that --quarantine has taken; other refused
ones stay. It needs the permissions sqs:ReceiveMessage and sqs:DeleteMessage.

--http ADDR is a port of this machine only, or HOST:PORT. The body of a POST is a CloudEvent in JSON, an EventBridge
event, or an array of them, with a JSON content type. The answer is 200 when it is handled, or was before; 4xx when it is refused
for good, 503 when it should come again; with the verdict in JSON.

With --quarantine, the records that sealbus quarantine reopen sends back from there are taken too, if they are of the
consumer --name: the event in one is judged anew, as it was delivered at first. A record under another key, or of
another consumer or quarantine, is refused and kept whole.

It ends with Ctrl-C, or after --limit events, with exit status 0: verdicts are on the lines. The AWS account is believed
as the event or --account states it. Handled events are remembered until it ends, with --redis for longer.`,
		Example: `sealbus listen --http 8080 --trust bundle.dsse --roots roots.json --allow-source 'https://orders.example/*'
curl --json @sealed.json http://127.0.0.1:8080/
sealbus listen --queue https://sqs.eu-west-1.amazonaws.com/111122223333/billing --trust bundle.dsse --roots roots.json \
  --allow-source 'https://orders.example/*' --forward-to http://127.0.0.1:3000/events`,
		Run: func(ctx context.Context, _ []string) error { return listen(ctx, env, f) },
	})
	flags := cmd.Flags()
	flags.StringVar(&f.queue, "queue", "", "take messages from this SQS queue, a `URL`")
	flags.StringVar(&f.http, "http", "", "take POSTs on this `ADDR`: a port of 127.0.0.1, or HOST:PORT")
	f.TrustFlags.Register(cmd)
	flags.StringArrayVar(&f.sources, "allow-source", nil,
		"a source `PATTERN` that this consumer takes: exact, or ending in /*")
	flags.StringArrayVar(&f.types, "allow-type", nil,
		"a type `PATTERN` that it takes (default all that the bundle allows)")
	flags.StringVar(&f.audience, "audience", "",
		"the `NAME` that must be among those the event was sealed for (default not checked)")
	flags.StringVar(&f.account, "account", "",
		"the AWS account that sent them, an `ID` (default as the EventBridge event says)")
	flags.StringVar(&f.wrapper, "wrapper", "",
		"what only AWS can put around them here, a `NAME` as of open --from; the account in it counts then")
	flags.Var(&f.maxAge, "max-age", "how long ago they may have been sealed")
	// envelope.DefaultMaxAge; the general form has its largest unit only
	flags.Lookup("max-age").DefValue = "24h5m"
	flags.StringVar(&f.forwardTo, "forward-to", "", "post verified events to this `URL`")
	flags.BoolVar(&f.remove, "delete", false, "delete verified messages from the queue")
	f.quarantine.Register(cmd)
	flags.StringVar(&f.redis, "redis", "",
		"remember in this Redis what was handled, a `URL` (default in memory)")
	flags.StringVar(&f.name, "name", listenName, "the consumer's `NAME`: with --redis, its workers share one")
	flags.IntVar(&f.limit, "limit", 0, "end after this `NUMBER` of events (default without end)")
	f.AWSFlags.Register(cmd)
	f.IdentityFlags.Register(cmd)
	f.RequireFlags.Register(cmd)
	f.IgnoreFlags.Register(cmd, strings.Join(wire.DefaultIgnoreMembers, ", "))
	return cmd
}

func (f *listenFlags) check() error {
	switch {
	case f.queue == "" && f.http == "":
		return ui.Usage("add --queue URL, or --http 8080", "missing flag --queue or --http")
	case f.queue != "" && f.http != "":
		return ui.Usage("remove one of them", "--queue and --http exclude each other")
	case len(f.sources) == 0:
		return ui.Usage("add --allow-source PATTERN, such as 'https://orders.example/*': the sources that this consumer wants", "%w", ui.MissingFlag("allow-source"))
	case f.limit < 0:
		return ui.Usage("give a positive number, or remove --limit to listen without end",
			"--limit %d is negative", f.limit)
	case f.maxAge <= 0:
		return ui.Usage("give a duration, such as 24h", "--max-age must be longer than zero")
	case len(f.Identities) == 0 && (f.Encrypted || len(f.Fields) > 0):
		return ui.Usage("add --identity KEY, or drop it",
			"--require-encrypted and --require-encrypted-field need an --identity to open the events with")
	case f.http != "" && f.remove:
		return ui.Usage("remove --delete, or use --queue", "--delete is for --queue only")
	case f.redis != "" && f.forwardTo == "" && f.name != listenName:
		return ui.Usage("add --forward-to URL, or drop --name or --redis",
			"what is only shown would be remembered as handled by %s: a consumer of that name would skip it",
			f.name)
	case f.quarantine.Check() != nil:
		return f.quarantine.Check()
	case f.quarantine.Place != "" && f.queue != "" && !f.deletes():
		return ui.Usage("add --delete, or drop --quarantine",
			"without --delete or --forward-to a refused message stays on the queue, and would be put into quarantine each time it comes")
	}
	return f.checkValues()
}

func (f *listenFlags) checkValues() error {
	if err := f.RequireFlags.Check(); err != nil {
		return err
	}
	if err := f.IgnoreFlags.Check(); err != nil {
		return err
	}
	if err := input.CheckWrapper(f.wrapper); err != nil {
		return err
	}
	if err := keys.CheckScope(f.sources, f.types); err != nil {
		return ui.Usage("correct the pattern; `https://orders.example/*` and `com.example.*` are such", "%w",
			err)
	}
	if f.account != "" {
		if err := keydoc.CheckAccounts([]string{f.account}); err != nil {
			return ui.Usage("give the 12 digits of an AWS account", "--account: %w", err)
		}
	}
	for _, u := range []struct{ flag, text string }{{"queue", f.queue}, {"forward-to", f.forwardTo},
		{"endpoint", f.Endpoint}} {
		if err := awscli.CheckURL(u.flag, u.text); err != nil {
			return err
		}
	}
	return nil
}

// deletes reports whether messages that are done with leave the queue.
func (f *listenFlags) deletes() bool { return f.remove || f.forwardTo != "" }

func listen(ctx context.Context, env *ui.Env, f *listenFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	l, err := newListener(ctx, env, f)
	if err != nil {
		return err
	}
	defer l.close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l.end = cancel
	env.EndOnSignal(ctx, cancel)
	env.EndOnClosedPipe(cancel)
	if f.http != "" {
		err = cmp.Or(l.serveHTTP(ctx, f.http), l.failed())
	} else {
		err = l.pollQueue(ctx, f)
	}
	if err == nil || l.counted() {
		l.summarise()
	}
	return err
}

// newListener makes everything but the connection to queue or port, so that what is wrong is said at once.
func newListener(ctx context.Context, env *ui.Env, f *listenFlags) (*listener, error) {
	trust, err := loadtrust.Live(ctx, env, &f.TrustFlags)
	if err != nil {
		return nil, err
	}
	decrypter, err := loadkeys.Decrypter(ctx, env, &f.IdentityFlags)
	if err != nil {
		return nil, err
	}
	l := &listener{env: env, account: f.account, limit: f.limit, counts: map[string]map[string]int{},
		view: newListenView(env.Out)}
	if f.forwardTo != "" {
		l.forward = newForwarder(f.forwardTo)
	}
	quarantine, err := f.quarantine.Open(ctx, env, f.name, f.AWSFlags)
	if err != nil {
		return nil, err
	}
	store, err := l.openStore(f.redis)
	if err != nil {
		return nil, err
	}
	policy := &envelope.Policy{
		Sources:                f.sources,
		Types:                  f.types,
		Audience:               f.audience,
		MaxAge:                 time.Duration(f.maxAge),
		Decrypter:              decrypter,
		RequireEncrypted:       f.Encrypted,
		RequireEncryptedFields: f.Fields,
		IgnoreMembers:          f.Ignore,
		Now:                    env.Now,
	}
	l.consumer, err = consumer.New(f.name, trust, store, policy, &consumer.Options{
		Quarantine: quarantine,
		Wrapper:    f.wrapper,
		Logger:     slog.New(slog.DiscardHandler),
	})
	if err != nil {
		l.close()
		return nil, ui.Usage("correct the flag", "%w", err)
	}
	return l, nil
}

// openStore is where it is remembered what was handled.
func (l *listener) openStore(url string) (replay.Store, error) {
	if url == "" {
		return replay.NewMemory(&replay.MemoryOptions{Now: l.env.Now}), nil
	}
	store, closeStore, err := loadclaims.Open(url)
	l.closers = append(l.closers, closeStore)
	return store, err
}

// counted reports whether there was any event.
func (l *listener) counted() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.counts) > 0
}

// summarise says at the end what there was.
func (l *listener) summarise() {
	l.mu.Lock()
	defer l.mu.Unlock()
	var parts []string
	for _, verdict := range listenVerdicts {
		reasons, n := l.counts[verdict], 0
		var why []string
		for _, reason := range ui.SortedKeys(reasons) {
			n += reasons[reason]
			if reason != "" && verdict != ui.VerdictDuplicate {
				why = append(why, fmt.Sprintf("%s %d", reason, reasons[reason]))
			}
		}
		switch {
		case len(why) > 0:
			parts = append(parts, ui.CountVerdict(n, verdict)+" ("+strings.Join(why, ", ")+")")
		case n > 0:
			parts = append(parts, ui.CountVerdict(n, verdict))
		}
	}
	if len(parts) == 0 {
		parts = []string{"no events"}
	}
	l.env.Sayf("%s", strings.Join(parts, ", "))
}
