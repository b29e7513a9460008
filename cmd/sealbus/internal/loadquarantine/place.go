// Package loadquarantine opens a quarantine, as flags name it: a directory, a bucket of S3 or a queue of SQS.
package loadquarantine

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/awscli"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/quarantine"
	"github.com/sealbus/sealbus/consumer/quarantine/s3"
	"github.com/sealbus/sealbus/consumer/quarantine/sqs"
	"github.com/sealbus/sealbus/internal/filekind"
	"github.com/sealbus/sealbus/internal/jsontext"
)

// QuarantineFlags say where records are, and how they are authenticated.
type QuarantineFlags struct {
	awscli.AWSFlags
	From, keyFile string
}

func (f *QuarantineFlags) Register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.From, "from", "",
		"the quarantine, a `PLACE`: a directory, s3://BUCKET/PREFIX or sqs:QUEUE-URL")
	flags.StringVar(&f.keyFile, "key-file", "",
		"the quarantine's key, a `FILE` of `sealbus quarantine key new`")
	f.AWSFlags.Register(cmd)
}

func (f *QuarantineFlags) check() error {
	if err := ui.Need(ui.Flag("from", f.From), ui.Flag("key-file", f.keyFile)); err != nil {
		return err
	}
	return f.AWSFlags.Check()
}

// maxKeyFile bounds a key file, in bytes, so that a file named by mistake is refused.
const maxKeyFile = 1 << 10

// ReadKey reads a key file. No error quotes anything in it.
func ReadKey(env *ui.Env, path string) ([]byte, error) {
	env.WarnShared(path)
	text, err := env.ReadFile(path, maxKeyFile)
	if err != nil {
		return nil, err
	}
	key, err := jsontext.Base64.AppendDecode(nil, bytes.TrimSpace(text))
	if err != nil || len(key) < consumer.MinQuarantineKey {
		why := fmt.Errorf("%s is not a quarantine key: base64 of at least %d bytes", ui.NameOf(path),
			consumer.MinQuarantineKey)
		if damage := filekind.Damage(text); damage != nil {
			why = ui.InFile(ui.NameOf(path), damage)
		} else if is := filekind.Of(text); is != "" {
			why = fmt.Errorf("%s is %s, not a quarantine key", ui.NameOf(path), is)
		}
		return nil,
			ui.WrongFile("give the file that `sealbus quarantine key new` wrote for this consumer: no other key reads its records", "%w", why)
	}
	return key, nil
}

// Open makes the store that --from names. Nothing is asked of it yet.
func Open(ctx context.Context, env *ui.Env, f *QuarantineFlags) (quarantine.Store, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	key, err := ReadKey(env, f.keyFile)
	if err != nil {
		return nil, err
	}
	keys, err := consumer.AnyQuarantine(key)
	if err != nil {
		return nil, err
	}
	return f.Open(ctx, keys)
}

// Open is openQuarantine with flags that were checked, and the keys.
func (f *QuarantineFlags) Open(ctx context.Context, keys consumer.QuarantineKeys) (quarantine.Store, error) {
	switch place, rest := PlaceOf(f.From); place {
	case "dir":
		return openQuarantineDir(rest, keys)
	case "s3":
		return f.openBucket(ctx, rest, keys)
	case "sqs":
		return f.openQueue(ctx, rest, keys)
	}
	return nil, wrongPlace(f.From)
}

// PlaceOf is the kind of a quarantine, and what follows it: a path alone is that of a directory. "" = it is
// none.
func PlaceOf(from string) (place, rest string) {
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
	return ui.Usage("write it as a directory's path, s3://BUCKET/PREFIX or sqs:https://sqs.REGION.amazonaws.com/ACCOUNT/NAME", "--from: %q is not the place of a quarantine", from)
}

func openQuarantineDir(path string, keys consumer.QuarantineKeys) (quarantine.Store, error) {
	info, err := os.Stat(path)
	switch {
	case path == "":
		return nil, wrongPlace("dir:")
	case err != nil:
		return nil, ui.OpenFailed(path, err)
	case !info.IsDir():
		return nil, ui.WrongFile("name the directory that the records are in", "%s is not a directory", path)
	}
	return asStore(quarantine.NewDir(path, keys))
}

func (f *QuarantineFlags) openBucket(ctx context.Context, name string,
	keys consumer.QuarantineKeys) (quarantine.Store, error) {
	bucket, prefix, _ := strings.Cut(strings.TrimPrefix(name, "//"), "/")
	if !strings.HasPrefix(name, "//") || bucket == "" {
		return nil, wrongPlace(f.From)
	}
	cfg, err := awscli.Load(ctx, f.Region)
	if err != nil {
		return nil, err
	}
	client := awss3.NewFromConfig(cfg, func(o *awss3.Options) {
		if f.Endpoint != "" {
			o.BaseEndpoint = f.Base()
		}
		o.UsePathStyle = o.BaseEndpoint != nil // an emulator has no host for each bucket
	})
	return asStore(s3.New(client, bucket, keys, &s3.Options{Prefix: strings.TrimSuffix(prefix, "/")}))
}

func (f *QuarantineFlags) openQueue(ctx context.Context, queueURL string,
	keys consumer.QuarantineKeys) (quarantine.Store, error) {
	client, err := awscli.QueueClient(ctx, queueURL, f.AWSFlags)
	if err != nil {
		return nil, ui.FlagFailed("from", err)
	}
	return asStore(sqs.New(client, queueURL, keys, nil))
}

// asStore is a store whose arguments came from flags.
func asStore[S quarantine.Store](s S, err error) (quarantine.Store, error) {
	if err != nil {
		return nil, ui.Usage("correct --from", "--from: %w", err)
	}
	return s, nil
}
