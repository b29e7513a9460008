// Command localkms serves local-kms (github.com/nsmithuk/local-kms) on a port of 127.0.0.1. The emulator's
// own command listens on every interface, and ends with a panic when its port is taken.
//
//	localkms PORT DIRECTORY
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/nsmithuk/local-kms/src"
	"github.com/nsmithuk/local-kms/src/config"
	"github.com/nsmithuk/local-kms/src/data"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: localkms PORT DIRECTORY")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "localkms:", err)
		os.Exit(1)
	}
}

// run serves until it fails. The keys are kept in the directory.
func run(port, directory string) error {
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		return err
	}
	config.AWSAccountId, config.AWSRegion, config.DatabasePath = "111122223333", "us-east-1", directory
	database := data.NewDatabase(directory)
	defer database.Close()
	server := &http.Server{
		ReadHeaderTimeout: 10 * time.Second,
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { src.HandleRequest(w, r, database) }),
	}
	return server.Serve(listener)
}
