// Package loadtrust reads the trust bundles and pinned roots that flags name: from files, https:// URLs and
// S3.
package loadtrust

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/awscli"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/errtext"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/keys/trust"
	"github.com/sealbus/sealbus/keys/trust/awss3"
)

// fetchTimeout is how long a command waits for a bundle from the network.
const fetchTimeout = 30 * time.Second

// TrustFlags name what to judge with.
type TrustFlags struct{ Trust, Roots, state string }

func (f *TrustFlags) Register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.Trust, "trust", "",
		"the signed trust bundle: a `FILE`, an https:// URL or s3://BUCKET/KEY")
	cmd.Flags().StringVar(&f.Roots, "roots", "", "the pinned roots that sign the bundle, a `FILE`")
	cmd.Flags().StringVar(&f.state, "trust-state", "",
		"remember the newest bundle in this `FILE`, and refuse an older one from then on (default nothing is remembered)")
}

// ReasonUnavailable is envelope.ReasonTrustUnavailable, for bundles and roots that cannot be used.
const ReasonUnavailable = "trust_unavailable"

// Open reads the bundle and verifies it under the roots, at a.now(). Whatever is wrong with them, it is
// never a rejection: the event was not judged.
func Open(ctx context.Context, env *ui.Env, f *TrustFlags) (*trust.Bundle, error) {
	if f.state != "" {
		return rememberedTrust(ctx, env, f)
	}
	roots, err := readTrustRoots(env, f)
	if err != nil {
		return nil, err
	}
	b, err := openBundle(ctx, env, f.Trust, roots)
	return b, asNeededOrNil(err)
}

// trustSource is a source of the keys package that follows a bundle.
type trustSource interface {
	trust.Refresher
	LastError() error
}

// rememberedTrust is openTrust with a state file. A bundle that is older than what that remembers is refused
// here, although the remembered one would do: the person who runs the command is to know.
func rememberedTrust(ctx context.Context, env *ui.Env, f *TrustFlags) (*trust.Bundle, error) {
	source, err := followTrust(ctx, env, f)
	if err != nil {
		return nil, err
	}
	if err := source.LastError(); err != nil {
		return nil, ui.AsNeeded(ReasonUnavailable, Refused(f.Trust, err))
	}
	return source.Bundle(ctx)
}

// Live is openTrust for commands that go on for long: it follows the file, URL or object by a's clock.
func Live(ctx context.Context, env *ui.Env, f *TrustFlags) (trust.Refresher, error) {
	source, err := followTrust(ctx, env, f)
	if err != nil {
		return nil, err
	}
	if err := source.LastError(); err != nil {
		env.Warnf("%s: the bundle that %s remembers is used instead: %v", f.Trust, f.state, err)
	}
	return source, nil
}

func followTrust(ctx context.Context, env *ui.Env, f *TrustFlags) (trustSource, error) {
	if f.Trust == "-" {
		return nil, ui.Usage("name a file or a URL",
			"the bundle is followed: it cannot come from standard input")
	}
	roots, err := readTrustRoots(env, f)
	if err != nil {
		return nil, err
	}
	origin, err := trustOrigin(ctx, env, f.Trust)
	if err != nil {
		return nil, err
	}
	if origin == nil {
		return watchTrust(ctx, env, f, roots)
	}
	source, err := trust.FetchFrom(ctx, origin, roots,
		&trust.Options{Now: env.Now, Timeout: fetchTimeout, StateFile: f.state})
	if err != nil {
		return nil, ui.AsNeeded(ReasonUnavailable, notFetched(origin, err))
	}
	return source, nil
}

func watchTrust(ctx context.Context, env *ui.Env, f *TrustFlags, roots *trust.Roots) (trustSource, error) {
	source, err := trust.WatchFile(f.Trust, roots, &trust.Options{Now: env.Now, StateFile: f.state})
	if err == nil {
		return source, nil
	}
	// says what is wrong with the bundle better
	if _, plain := openBundle(ctx, env, f.Trust, roots); plain != nil {
		return nil, ui.AsNeeded(ReasonUnavailable, plain)
	}
	return nil, ui.AsNeeded(ReasonUnavailable, Refused(f.Trust, err))
}

func readTrustRoots(env *ui.Env, f *TrustFlags) (*trust.Roots, error) {
	if err := ui.Need(ui.Flag("trust", f.Trust), ui.Flag("roots", f.Roots)); err != nil {
		return nil, err
	}
	roots, err := ReadRoots(env, f.Roots)
	if err != nil {
		return nil, ui.AsNeeded(ReasonUnavailable, err)
	}
	return roots, nil
}

func asNeededOrNil(err error) error {
	if err == nil {
		return nil
	}
	return ui.AsNeeded(ReasonUnavailable, err)
}

// ReadRoots reads a pinned roots file.
func ReadRoots(env *ui.Env, path string) (*trust.Roots, error) {
	data, err := env.ReadFile(path, keydoc.MaxSigned)
	if err != nil {
		return nil, err
	}
	roots, err := trust.ParseRoots(data)
	if err != nil {
		return nil, Refused(path, err)
	}
	return roots, nil
}

// openBundle reads a signed bundle, from wherever it is, and verifies it at a.now().
func openBundle(ctx context.Context, env *ui.Env, where string, roots *trust.Roots) (*trust.Bundle, error) {
	signed, err := ReadSigned(ctx, env, where)
	if err != nil {
		return nil, err
	}
	return OpenSigned(ctx, env, where, signed, roots, 0)
}

// maxSteps is how many roots a command follows.
const maxSteps = 64

// Newest are the newest roots that follow these beside the bundle. A bundle from standard input has nothing
// beside it.
func Newest(ctx context.Context, env *ui.Env, where string, roots *trust.Roots) (*trust.Roots, error) {
	origin, err := trustOrigin(ctx, env, where)
	_, hasMore := origin.(trust.Directory)
	if err != nil || where == "-" || origin != nil && !hasMore {
		return roots, err
	}
	for range maxSteps {
		name := keydoc.RootsDir + strconv.FormatInt(roots.Version()+1, 10)
		path := filepath.Join(filepath.Dir(where), filepath.FromSlash(name))
		if origin == nil && !ui.Exists(path) {
			return roots, nil
		}
		signed, err := readBeside(ctx, env, where, name, keydoc.MaxRoots)
		if errors.Is(err, trust.ErrNotFound) {
			return roots, nil
		}
		if err != nil {
			return nil, err
		}
		if roots, err = roots.Next(signed); err != nil {
			return nil, Refused(name, err)
		}
	}
	return nil, ui.Rejected("give a newer roots file", "more than %d roots follow those of --roots", maxSteps)
}

// OpenSigned verifies a bundle that was read from there, at a.now(), under the newest roots that follow
// these. If they name timestamp keys, it reads the timestamp beside it.
func OpenSigned(ctx context.Context, env *ui.Env, where string, signed []byte, roots *trust.Roots,
	minVersion int64) (*trust.Bundle, error) {
	roots, err := Newest(ctx, env, where, roots)
	if err != nil {
		return nil, err
	}
	opts := trust.Options{Now: env.Now, MinVersion: minVersion}
	if len(roots.TimestampKeys()) > 0 {
		timestamp, err := readBeside(ctx, env, where, keydoc.TimestampFile, keydoc.MaxTimestamp)
		if err != nil {
			return nil, orFirst(where, err)
		}
		opts.Timestamp = timestamp
	}
	b, err := trust.OpenBundle(signed, roots, &opts)
	if err != nil {
		return nil, Refused(where, err)
	}
	return b, nil
}

// orFirst adds to the error of a timestamp that is missing that the trust may be too new to have one.
func orFirst(where string, err error) error {
	e, ok := errors.AsType[*ui.Error](err)
	missing := !ui.Exists(filepath.Join(filepath.Dir(where), keydoc.TimestampFile))
	if !ok || !missing || strings.Contains(where, "://") {
		return err
	}
	told := *e
	told.Fix = "put it beside the bundle; the first one of a new trust is made by `sealbus trust timestamp --previous none`"
	return &told
}

// TimestampBeside is the signed timestamp beside a bundle, not verified; nil = there is none.
func TimestampBeside(ctx context.Context, env *ui.Env, where string) ([]byte, error) {
	origin, err := trustOrigin(ctx, env, where)
	if err != nil || where == "-" {
		return nil, err
	}
	if origin == nil && !ui.Exists(filepath.Join(filepath.Dir(where), keydoc.TimestampFile)) {
		return nil, nil
	}
	signed, err := readBeside(ctx, env, where, keydoc.TimestampFile, keydoc.MaxTimestamp)
	if errors.Is(err, trust.ErrNotFound) {
		return nil, nil
	}
	return signed, err
}

// readBeside reads the file of that name beside the bundle.
func readBeside(ctx context.Context, env *ui.Env, where, name string, most int) ([]byte, error) {
	origin, err := trustOrigin(ctx, env, where)
	if err != nil {
		return nil, err
	}
	if dir, ok := origin.(trust.Directory); ok {
		return fetchSigned(ctx, dir.Beside(name))
	}
	return env.ReadFile(filepath.Join(filepath.Dir(where), filepath.FromSlash(name)), most)
}

// ReadSigned reads a signed bundle from a file, standard input, an https:// URL or an object of S3. Nothing
// of it is verified yet.
func ReadSigned(ctx context.Context, env *ui.Env, where string) ([]byte, error) {
	origin, err := trustOrigin(ctx, env, where)
	if err != nil {
		return nil, err
	}
	if origin == nil {
		return env.ReadFile(where, keydoc.MaxSigned)
	}
	return fetchSigned(ctx, origin)
}

func fetchSigned(ctx context.Context, origin trust.Origin) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	signed, err := trust.FetchSigned(ctx, origin)
	if err != nil {
		return nil, notFetched(origin, err)
	}
	return signed, nil
}

// trustOrigin is where a bundle comes from that is not a file; nil = it is a file.
func trustOrigin(ctx context.Context, env *ui.Env, where string) (trust.Origin, error) {
	scheme, rest, ok := strings.Cut(where, "://")
	if !ok {
		return nil, nil
	}
	switch strings.ToLower(scheme) {
	case "http":
		return nil, ui.Usage("write it as https://HOST/PATH", "a trust bundle is not fetched over http://")
	case "https":
		origin, err := trust.HTTPSOrigin(where, &trust.Options{Client: env.HTTPClient()})
		if err != nil {
			return nil, ui.Usage("write it as https://HOST/PATH", "%w", err)
		}
		return origin, nil
	case "s3":
		return objectOrigin(ctx, env, rest)
	}
	return nil, ui.Usage("name a file, an https:// URL or s3://BUCKET/KEY", "a bundle cannot be read from %q",
		scheme+"://")
}

func objectOrigin(ctx context.Context, env *ui.Env, name string) (trust.Origin, error) {
	client, bucket, key, err := object(ctx, name)
	if err != nil {
		return nil, err
	}
	return awss3.Origin(client, bucket, key)
}

// object is the object of that name, which is BUCKET/KEY, and a client for it.
func object(ctx context.Context, name string) (client *s3.Client, bucket, key string, err error) {
	bucket, key, _ = strings.Cut(name, "/")
	if bucket == "" || key == "" {
		return nil, "", "", ui.Usage("write it as s3://BUCKET/KEY", "%q names no object", "s3://"+name)
	}
	cfg, err := awscli.Load(ctx, "")
	if err != nil {
		return nil, "", "", err
	}
	client = s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.UsePathStyle = o.BaseEndpoint != nil // an emulator has no host for each bucket
	})
	return client, bucket, key, nil
}

// notFetched is the error of an origin: what it gave was refused, or there was nothing.
func notFetched(origin trust.Origin, err error) error {
	var b *trust.BundleError
	if errors.As(err, &b) {
		return Refused(origin.String(), err)
	}
	err = errtext.ReachedAt(errtext.HostPort(origin.String()), "the trust bundle", err)
	if !errtext.MayPass(err) {
		return ui.WrongFile("correct that: another try would end the same", "%w", err)
	}
	return ui.Unavailable("try again", "%w", err)
}

// Refused turns the refusal of a bundle or roots file into a rejection with its reason and what to do.
func Refused(path string, err error) error {
	var b *trust.BundleError
	switch {
	case errors.Is(err, fs.ErrPermission):
		return ui.WrongFile("find out who made the file: root may have, in the home of this user", "%s: %w", path, err)
	case !errors.As(err, &b):
		return ui.Rejected("check that this is the file you mean", "%s: %w", path, err)
	}
	fix := refusalFix[b.Why]
	if strings.HasPrefix(b.Err.Error(), "timestamp ") && (b.Why == trust.WhyExpired || b.Why == trust.WhyRollback) {
		fix = "fetch the newest " + keydoc.TimestampFile + ", or sign one with `sealbus trust timestamp`"
	}
	return &ui.Error{
		Code: ui.ExitRejected, Reason: string(b.Why), Err: ui.InFile(path, b.Err), Fix: fix,
		Later: b.Why == trust.WhyExpired || b.Why == trust.WhyRollback,
	}
}

// refusalFix says what to do about each refusal.
var refusalFix = map[trust.BundleWhy]string{
	trust.WhyMalformed:   "check that this is the file you mean, and that nothing edited it",
	trust.WhyTooLarge:    "check that this is the file you mean",
	trust.WhyType:        "check which file is which: a bundle and roots are different documents",
	trust.WhyThreshold:   "check that these are its roots and that nothing changed the file; if root keys are to sign it, look at it first with `sealbus trust sign --show`",
	trust.WhyExpired:     "fetch the newest bundle, or build one with `sealbus trust build`",
	trust.WhyRollback:    "fetch the newest bundle and timestamp, and roots from a place that you trust; if the host goes on serving older ones, find out who changed it",
	trust.WhyFuture:      "check the clocks of this machine and of the one that signed it",
	trust.WhyNoTimestamp: "give --roots with the roots file that names the timestamp keys, and keep timestamp.dsse beside the bundle",
	trust.WhyOtherBundle: "fetch the bundle and its timestamp together, or sign a timestamp with `sealbus trust timestamp`",
	trust.WhyNewerRoots:  "fetch the newest roots file, from a place that you trust",
	trust.WhyLifetime:    "build it anew with `sealbus trust build --roots FILE`",
	trust.WhyEquivocate:  "find out who signed two bundles of one version; build one with a higher version",
}
