package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/quarantine"
	"github.com/sealbus/sealbus/consumer/quarantine/s3"
	"github.com/sealbus/sealbus/consumer/quarantine/sqs"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/b64"
	"github.com/sealbus/sealbus/internal/filekind"
)

func (a *app) quarantineCommand() *cobra.Command {
	return a.group("quarantine", "Look at what a consumer refused, and reopen it",
		"Look at what a consumer refused for good, and, when the cause is mended, hand it to the consumer again.\n"+
			"Each record is authenticated under the key that the consumer has too: what is not authentic was slipped in, or\n"+
			"was changed, and is never reopened.",
		a.quarantineListCommand(), a.quarantineShowCommand(), a.quarantineReopenCommand(), a.quarantineRemoveCommand(), a.quarantineKeyCommand())
}

// quarantineFlags say where records are, and how they are authenticated.
type quarantineFlags struct {
	awsFlags
	from, keyFile string
}

func (f *quarantineFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.from, "from", "", "the quarantine, a `PLACE`: a directory, s3://BUCKET/PREFIX or sqs:QUEUE-URL")
	flags.StringVar(&f.keyFile, "key-file", "", "the quarantine's key, a `FILE` of `sealbus quarantine key new`")
	f.awsFlags.register(cmd)
}

func (f *quarantineFlags) check() error {
	if err := need(required{"from", f.from}, required{"key-file", f.keyFile}); err != nil {
		return err
	}
	return f.awsFlags.check()
}

// maxKeyFile bounds a key file, in bytes, so that a file named by mistake is refused.
const maxKeyFile = 1 << 10

// quarantineKey reads a key file. No error quotes anything in it.
func (a *app) quarantineKey(path string) ([]byte, error) {
	a.warnShared(path)
	text, err := a.readFile(path, maxKeyFile)
	if err != nil {
		return nil, err
	}
	key, err := b64.AppendStd(nil, bytes.TrimSpace(text))
	if err != nil || len(key) < consumer.MinQuarantineKey {
		why := fmt.Errorf("%s is not a quarantine key: base64 of at least %d bytes", nameOf(path), consumer.MinQuarantineKey)
		if damage := filekind.Damage(text); damage != nil {
			why = inFile(nameOf(path), damage)
		} else if is := filekind.Of(text); is != "" {
			why = fmt.Errorf("%s is %s, not a quarantine key", nameOf(path), is)
		}
		return nil, wrongFile("give the file that `sealbus quarantine key new` wrote for this consumer: no other key reads its records", "%w", why)
	}
	return key, nil
}

// openQuarantine makes the store that --from names. Nothing is asked of it yet.
func (a *app) openQuarantine(ctx context.Context, f *quarantineFlags) (quarantine.Store, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	key, err := a.quarantineKey(f.keyFile)
	if err != nil {
		return nil, err
	}
	return f.open(ctx, key)
}

// open is openQuarantine with flags that were checked, and the key.
func (f *quarantineFlags) open(ctx context.Context, key []byte) (quarantine.Store, error) {
	switch place, rest := placeOf(f.from); place {
	case "dir":
		return openQuarantineDir(rest, key)
	case "s3":
		return f.openBucket(ctx, rest, key)
	case "sqs":
		return f.openQueue(ctx, rest, key)
	}
	return nil, wrongPlace(f.from)
}

// placeOf is the kind of a quarantine, and what follows it: a path alone is that of a directory. "" = it is
// none.
func placeOf(from string) (place, rest string) {
	place, rest, found := strings.Cut(from, ":")
	switch {
	case found && slices.Contains([]string{"dir", "s3", "sqs"}, place):
		return place, rest
	case from != "" && !strings.Contains(from, "://"):
		return "dir", from
	}
	return "", ""
}

func wrongPlace(from string) error {
	return usage("write it as a directory's path, s3://BUCKET/PREFIX or sqs:https://sqs.REGION.amazonaws.com/ACCOUNT/NAME", "--from: %q is no quarantine", from)
}

func openQuarantineDir(path string, key []byte) (quarantine.Store, error) {
	info, err := os.Stat(path)
	switch {
	case path == "":
		return nil, wrongPlace("dir:")
	case err != nil:
		return nil, openFailed(path, err)
	case !info.IsDir():
		return nil, wrongFile("name the directory that the records are in", "%s is not a directory", path)
	}
	return asStore(quarantine.NewDir(path, key))
}

func (f *quarantineFlags) openBucket(ctx context.Context, name string, key []byte) (quarantine.Store, error) {
	bucket, prefix, _ := strings.Cut(strings.TrimPrefix(name, "//"), "/")
	if !strings.HasPrefix(name, "//") || bucket == "" {
		return nil, wrongPlace(f.from)
	}
	cfg, err := loadAWS(ctx, f.region)
	if err != nil {
		return nil, err
	}
	client := awss3.NewFromConfig(cfg, func(o *awss3.Options) {
		if f.endpoint != "" {
			o.BaseEndpoint = f.base()
		}
		o.UsePathStyle = o.BaseEndpoint != nil // an emulator has no host for each bucket
	})
	return asStore(s3.New(client, bucket, key, &s3.Options{Prefix: strings.TrimSuffix(prefix, "/")}))
}

func (f *quarantineFlags) openQueue(ctx context.Context, queueURL string, key []byte) (quarantine.Store, error) {
	client, err := queueClientFor(ctx, queueURL, f.awsFlags)
	if err != nil {
		return nil, flagFailed("from", err)
	}
	return asStore(sqs.New(client, queueURL, key, nil))
}

// asStore is a store whose arguments came from flags.
func asStore[S quarantine.Store](s S, err error) (quarantine.Store, error) {
	if err != nil {
		return nil, usage("correct --from", "--from: %w", err)
	}
	return s, nil
}

// storeFailed is an error of the store, with what to do.
func storeFailed(err error) error {
	if _, ok := errors.AsType[*exitError](err); ok || errors.Is(err, context.Canceled) {
		return err
	}
	fix := "check --from and --region"
	switch {
	case errors.Is(err, quarantine.ErrNotFound):
		return rejected("take the ID from `sealbus quarantine list`; what was reopened is no longer there", "%w", err)
	case errors.Is(err, consumer.ErrNotAuthentic):
		return &exitError{code: exitRejected, reason: notAuthentic, err: err, fix: fixNotAuthentic}
	case permissionDenied(err):
		fix = "ask for the permission that is named, on that queue or bucket"
	}
	if isNetwork(err) || mayPass(err) {
		return unavailable("check the network, --from and --endpoint, and try again", "%w", shortStoreError(err))
	}
	if isPathError(err) || errorCode(err) != "" {
		return wrongFile(fix, "%w", shortStoreError(err))
	}
	return unavailable(fix, "%w", shortStoreError(err))
}

// shortStoreError is err with AWS's own words instead of the SDK's around them.
func shortStoreError(err error) error {
	inner := errors.Unwrap(err)
	if inner == nil {
		return err
	}
	where, ok := strings.CutSuffix(err.Error(), inner.Error())
	if !ok {
		return err
	}
	return fmt.Errorf("%s%w", where, shortAWSError(inner))
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
	Error            string          `json:"error,omitempty"` // not_authentic, or unavailable if it could not be read
	Message          string          `json:"message,omitempty"`
}

// viewOf shows nothing of a record that is not authentic.
func viewOf(e quarantine.Entry) recordView {
	r := e.Record
	if r == nil {
		v := recordView{ID: e.ID, Error: notAuthentic, Message: plainMessage(e.Err), Fix: fixNotAuthentic}
		if !errors.Is(e.Err, consumer.ErrNotAuthentic) {
			v.Error, v.Fix = exitWord(exitUnavailable), "try again"
		}
		return v
	}
	return recordView{
		ID: e.ID, Authentic: true, At: formatTime(r.At), Consumer: r.Consumer, Quarantine: r.Quarantine,
		Reason: r.Reason, Cause: r.Cause, Fix: r.Reason.Explain().Fix,
		UnverifiedID: r.UnverifiedID, UnverifiedSource: r.UnverifiedSource, UnverifiedType: r.UnverifiedType,
		Format: r.Message.Format.String(), Account: r.Message.Account, ReplayName: r.Message.ReplayName, Bytes: len(r.Message.Body),
	}
}

// exit is the status that the record itself stands for.
func (v *recordView) exit() int {
	switch v.Error {
	case "":
		return exitDone
	case notAuthentic:
		return exitRejected
	}
	return exitUnavailable
}

// refuseTerminal keeps what strangers wrote, where it is written as it is, from a terminal: that takes some
// of it for commands.
func (a *app) refuseTerminal() error {
	if !a.onTerminal() {
		return nil
	}
	return usage("redirect it: > FILE, | sealbus inspect, or | cat -v", "nobody has verified what would be written, and standard output is a terminal, which takes some of it for commands")
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
