// Command news is an API in one process: anyone reads the news, and only the group admin deletes one. A
// deletion is a sealed event, which a consumer verifies before the news are gone.
//
//	go run ./examples/news
//
// It plays callers against its own HTTP server, and prints each call as a curl command. Then it serves until
// it is stopped, so that a reader can make the same calls.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/sealbus/sealbus/webhook/authn"
)

// settings are the flags.
type settings struct {
	listen   string
	once     bool
	issuer   string // "" = the program is its own
	clientID string
	dev      bool
}

func main() {
	var s settings
	flag.StringVar(&s.listen, "listen", "127.0.0.1:8090", "the address to serve, port 0 = a free one")
	flag.BoolVar(&s.once, "once", false, "end after the walk")
	flag.StringVar(&s.issuer, "issuer", "", "take the tokens of this user pool, and play no walk")
	flag.StringVar(&s.clientID, "client", "", "the app client of that user pool")
	flag.BoolVar(&s.dev, "dev", false, "for cognito-local: an issuer at http://, whose private key is public")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, &s); err != nil {
		fmt.Fprintln(os.Stderr, "news:", err)
		os.Exit(1)
	}
}

// run serves, and tells the story on out.
func run(ctx context.Context, out io.Writer, s *settings) error {
	listener, err := net.Listen("tcp", s.listen)
	if err != nil {
		return fmt.Errorf("%w: --listen names another address", err)
	}
	defer listener.Close()
	if at, ok := listener.Addr().(*net.TCPAddr); !ok || !at.IP.IsLoopback() {
		return errors.New("--listen: tokens would cross a network in the clear: use 127.0.0.1")
	}
	url := "http://" + listener.Addr().String()
	own, err := newIssuer(url + "/issuer")
	if err != nil {
		return err
	}
	verifier, err := newVerifier(s, own)
	if err != nil {
		return err
	}
	paper, err := newPaper(out)
	if err != nil {
		return err
	}
	mux, err := paper.routes(verifier)
	if err != nil {
		return err
	}
	if s.issuer == "" {
		mux.HandleFunc("GET /issuer/.well-known/jwks.json", own.keys)
		mux.HandleFunc("POST /issuer/token", own.token)
	}
	// A token has 16 KiB at most. Bodies are not read, but for the form of the issuer.
	server := &http.Server{Handler: mux, ReadTimeout: 5 * time.Second, MaxHeaderBytes: 32 << 10}
	defer server.Close()
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	if s.issuer == "" {
		if err := walk(ctx, out, url, own, paper); err != nil || s.once {
			return err
		}
	}
	fmt.Fprintf(out, "serving %s until Ctrl-C\n", url)
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return nil
	}
}

// newVerifier verifies access tokens of the user pool, for one app client.
func newVerifier(s *settings, own *issuer) (*authn.Verifier, error) {
	if s.issuer != "" && s.clientID == "" {
		return nil, errors.New("--issuer needs --client")
	}
	url, clientID := cmp.Or(s.issuer, own.url), cmp.Or(s.clientID, client)
	keys, err := authn.FetchKeys(url+"/.well-known/jwks.json", &authn.KeyOptions{
		UnsafeAllowHTTP: s.dev || s.issuer == "", // its own issuer is this process
	})
	if err != nil {
		return nil, err
	}
	return authn.New(url, keys, &authn.Options{ClientIDs: []string{clientID}, UnsafePublishedKeys: s.dev})
}
