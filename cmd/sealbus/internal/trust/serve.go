package trust

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/errtext"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadtrust"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// The names under which files are served, and where the JWK Set is.
const (
	bundleFile = "bundle.dsse"
	jwksPath   = "jwks.json"
)

// The times of the local server, and the bytes of a request's head.
const (
	serveTimeout = 30 * time.Second // for a request, and for its answer
	maxServeHead = 16 << 10
)

// besideBundle are the other files that are served, if they are there.
var besideBundle = regexp.MustCompile(`^(timestamp\.dsse|bundles/[0-9a-f]{64}|roots/[1-9][0-9]{0,15})$`)

type serveFlags struct{ bundle, dir, roots, listen string }

func serveCommand(env *ui.Env) *cobra.Command {
	f := &serveFlags{}
	cmd := env.Command(ui.Command{
		Use:   "serve --bundle FILE|--dir DIR --roots FILE [--listen ADDRESS]",
		Short: "Serve the trust over HTTP to programs on this machine", Now: true,
		Long: `Serve bundle.dsse, and what is beside it: timestamp.dsse, bundles/SHA256 and roots/N. Each answer has an ETag, and
If-None-Match saves the download. The files are read for each request, so publishing is replacing them.

/jwks.json is a JWK Set (RFC 7517) for other JOSE libraries: the signing keys of the verified bundle from which events are
accepted now. It has no sources and types: who verifies with it must check these. It lacks ML-DSA keys, since some
libraries refuse a set with a kind of key that they do not know. Without a live bundle the answer is 503.

It is for one machine, without TLS, and listens on its loopback address. For others, publish the files on an HTTPS
server or in S3. Ctrl-C ends it.`,
		Example: `sealbus trust serve --dir trust --roots roots.json
curl http://127.0.0.1:8099/jwks.json`,
		Run: func(ctx context.Context, _ []string) error { return serveTrust(ctx, env, f) },
	})
	flags := cmd.Flags()
	flags.StringVar(&f.bundle, "bundle", "", "the signed bundle, a `FILE`")
	flags.StringVar(&f.dir, "dir", "", "instead of --bundle: the `DIR` that has bundle.dsse")
	flags.StringVar(&f.roots, "roots", "", "the pinned roots that sign the bundle, a `FILE`")
	flags.StringVar(&f.listen, "listen", "127.0.0.1:8099", "the `ADDRESS` to listen on, HOST:PORT")
	return cmd
}

func serveTrust(ctx context.Context, env *ui.Env, f *serveFlags) error {
	switch {
	case (f.bundle == "") == (f.dir == ""):
		return ui.Usage("give --bundle FILE, or --dir DIR with bundle.dsse in it",
			"one of --bundle and --dir names what to serve")
	case f.dir != "":
		f.bundle = filepath.Join(f.dir, bundleFile)
	}
	source, err := loadtrust.Live(ctx, env, &loadtrust.TrustFlags{Trust: f.bundle, Roots: f.roots})
	if err != nil {
		return err
	}
	files, err := os.OpenRoot(filepath.Dir(f.bundle))
	if err != nil {
		return ui.OpenFailed(f.bundle, err)
	}
	defer files.Close()
	listening, err := net.Listen("tcp", f.listen)
	if err != nil {
		return ui.Usage("give another address with --listen, or end the program that uses this one",
			"cannot listen on %s: %w", f.listen, errtext.Innermost(err))
	}
	if addr, ok := listening.Addr().(*net.TCPAddr); !ok || !addr.IP.IsLoopback() {
		env.Warnf("any program that reaches %s can read the trust, without TLS", listening.Addr())
	}
	server := &http.Server{
		Handler:  &trustServer{files: files, bundle: filepath.Base(f.bundle), source: source, now: env.Now},
		ErrorLog: log.New(io.Discard, "", 0), MaxHeaderBytes: maxServeHead, ReadTimeout: serveTimeout,
		WriteTimeout: serveTimeout, IdleTimeout: time.Minute,
	}
	env.Sayf("listening on http://%s/, Ctrl-C ends it", listening.Addr())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listening) }()
	select {
	case err := <-ended:
		return ui.Unavailable("start it again", "serving: %w", err)
	case <-ctx.Done():
		_ = server.Close() // a client asks again
		return nil
	}
}

// trustServer serves the files of one directory, and the JWK Set.
type trustServer struct {
	files  *os.Root
	bundle string // the name of its file
	source trust.Source
	now    func() time.Time
}

func (s *trustServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/")
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "GET it", http.StatusMethodNotAllowed)
	case name == jwksPath:
		s.serveJWKS(w, r)
	case name == bundleFile:
		s.serveFile(w, r, s.bundle)
	case besideBundle.MatchString(name):
		s.serveFile(w, r, name)
	default:
		http.Error(w, "there is no such file: ask for "+bundleFile+" or "+jwksPath, http.StatusNotFound)
	}
}

func (s *trustServer) serveFile(w http.ResponseWriter, r *http.Request, name string) {
	f, err := s.files.Open(name)
	if err != nil {
		status := http.StatusServiceUnavailable
		if errors.Is(err, fs.ErrNotExist) {
			status = http.StatusNotFound
		}
		http.Error(w, "there is no such file", status)
		return
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, keydoc.MaxSigned+1))
	if err != nil || len(content) > keydoc.MaxSigned {
		http.Error(w, "the file cannot be read, or is too large", http.StatusServiceUnavailable)
		return
	}
	answer(w, r, "application/json", content)
}

// serveJWKS has the keys from which events are accepted now. The state of a key changes with time, so they
// are computed for each request.
func (s *trustServer) serveJWKS(w http.ResponseWriter, r *http.Request) {
	b, err := s.source.Bundle(r.Context())
	now := s.now()
	if err != nil || b == nil || !b.Expires().IsZero() && !now.Before(b.Expires()) {
		http.Error(w, "there is no live bundle", http.StatusServiceUnavailable)
		return
	}
	answer(w, r, "application/jwk-set+json", b.JWKS(func(k *trust.Key) bool {
		switch k.StateAt(now) {
		case keys.StatePublished, keys.StateActive, keys.StateRetired:
			return !k.Verifier.Algorithm().PostQuantum()
		}
		return false
	}))
}

// answer has an ETag of the content, and answers If-None-Match.
func answer(w http.ResponseWriter, r *http.Request, kind string, content []byte) {
	sum := sha256.Sum256(content)
	h := w.Header()
	h.Set("ETag", `"`+hex.EncodeToString(sum[:])+`"`)
	h.Set("Content-Type", kind)
	h.Set("Cache-Control", "no-cache") // ask each time, with the ETag
	h.Set("X-Content-Type-Options", "nosniff")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}
