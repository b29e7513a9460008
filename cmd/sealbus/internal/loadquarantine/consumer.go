package loadquarantine

import (
	"context"
	"os"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/awscli"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/consumer"
)

// ConsumerFlags are those of a command that puts into quarantine what it refuses.
type ConsumerFlags struct {
	Place         string // "" = there is none
	keyFile, name string
}

func (f *ConsumerFlags) Register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.Place, "quarantine", "",
		"where refused events go, a `PLACE`: a directory, s3://BUCKET/PREFIX or sqs:QUEUE-URL")
	flags.StringVar(&f.keyFile, "quarantine-key-file", "",
		"the quarantine's key, a `FILE` of `sealbus quarantine key new`")
	flags.StringVar(&f.name, "quarantine-name", "",
		"the quarantine's `NAME` in its records (default that of --name)")
}

// Check refuses flags that contradict each other.
func (f *ConsumerFlags) Check() error {
	switch {
	case (f.Place == "") != (f.keyFile == ""):
		return ui.Usage("give both or none", "--quarantine and --quarantine-key-file belong together")
	case f.name != "" && f.Place == "":
		return ui.Usage("add --quarantine PLACE and --quarantine-key-file FILE, or drop it",
			"--quarantine-name names no quarantine")
	}
	return nil
}

// Open is nil if none is wanted. The consumer's name is that of the quarantine, too, unless the flags say
// another one. A missing directory is made, as a consumer does. A record that was put there is accepted when
// it is reopened.
func (f *ConsumerFlags) Open(ctx context.Context, env *ui.Env, consumerName string, aws awscli.AWSFlags,
) (consumer.Quarantine, error) {
	if f.Place == "" {
		return nil, nil
	}
	place, rest := PlaceOf(f.Place)
	if rest == "" {
		return nil, ui.Usage("write it as a directory's path, s3://BUCKET/PREFIX or sqs:QUEUE-URL",
			"--quarantine: %q is not the place of a quarantine", f.Place)
	}
	if place == "dir" {
		if err := os.MkdirAll(rest, 0o700); err != nil {
			return nil, ui.WrongFile("name another directory", "making %s: %w", rest, ui.Cause(err))
		}
	}
	key, err := ReadKey(env, f.keyFile)
	if err != nil {
		return nil, ui.AsNeeded("", err) // no event was judged
	}
	if f.name != "" {
		consumerName = f.name
	}
	keys, err := consumer.NewQuarantineKeys(consumerName, key)
	if err != nil {
		return nil, ui.Usage("correct the flag", "%w", err)
	}
	store, err := (&QuarantineFlags{AWSFlags: aws, From: f.Place}).Open(ctx, keys)
	if err != nil {
		return nil, ui.AsNeeded("", err)
	}
	return store, nil
}
