package loadclaims_test

import (
	"crypto/tls"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadclaims"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/consumer/replay/replaytest"
	"github.com/sealbus/sealbus/internal/testbed/cases"
)

const lease = time.Minute

func open(t *testing.T, url string) replay.Store {
	t.Helper()
	store, done, err := loadclaims.Open(url)
	t.Cleanup(done)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// claim claims an event of its own kind and completes it.
func claim(t *testing.T, store replay.Store, key byte) {
	t.Helper()
	until := time.Now().Add(time.Hour)
	c, status, err := store.Claim(t.Context(), [32]byte{key}, [32]byte{2}, until, lease)
	if err != nil || status != replay.New {
		t.Fatalf("Claim = %v, %v, want new", status, err)
	}
	if err := store.Complete(t.Context(), c, until); err != nil {
		t.Fatal(err)
	}
}

// TestStoreOfTheCommandKeepsTheContract: the server has the clock of the test.
func TestStoreOfTheCommandKeepsTheContract(t *testing.T) {
	contract := replaytest.Contract{Steps: cases.Of(2000)}
	contract.Run(t, func(t *testing.T, clock *replaytest.Clock) replay.Store {
		r := miniredis.RunT(t)
		r.Server().SetPreHook(func(_ *server.Peer, command string, _ ...string) bool {
			if strings.HasPrefix(command, "EVAL") { // the commands in a script come here, too
				r.SetTime(clock.Now())
			}
			return false
		})
		return open(t, "redis://"+r.Addr())
	})
}

// TestBrokenConnectionsAreReplaced: a command whose connection breaks is sent again, and a restart of the
// server costs nothing.
func TestBrokenConnectionsAreReplaced(t *testing.T) {
	r := miniredis.RunT(t)
	var cut atomic.Int64
	r.Server().SetPreHook(func(c *server.Peer, command string, _ ...string) bool {
		if !strings.HasPrefix(command, "EVAL") || cut.Add(-1) < 0 {
			return false
		}
		c.Close()
		return true
	})
	store := open(t, "redis://"+r.Addr())
	claim(t, store, 1)
	cut.Store(2)
	claim(t, store, 2)
	r.Close()
	if _, _, err := store.Claim(t.Context(), [32]byte{3}, [32]byte{2}, time.Now().Add(time.Hour),
		lease); err == nil {
		t.Error("a claim without a server")
	}
	if err := r.Restart(); err != nil {
		t.Fatal(err)
	}
	claim(t, store, 3)
}

// TestURLsSayWhereAndHow: user, password, database and TLS of a URL are used.
func TestURLsSayWhereAndHow(t *testing.T) {
	web := httptest.NewUnstartedServer(nil)
	web.StartTLS()
	defer web.Close()
	roots := filepath.Join(t.TempDir(), "roots.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw})
	if err := os.WriteFile(roots, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SSL_CERT_FILE", roots)
	secure, err := miniredis.RunTLS(&tls.Config{Certificates: web.TLS.Certificates})
	if err != nil {
		t.Fatal(err)
	}
	defer secure.Close()
	secure.RequireUserAuth("billing", "hush")
	claim(t, open(t, "rediss://billing:hush@"+secure.Addr()+"/3"), 1)
	if keys := secure.DB(3).Keys(); len(keys) != 1 {
		t.Errorf("database 3 has the keys %q, want one", keys)
	}

	plain := miniredis.RunT(t)
	plain.RequireAuth("hush")
	claim(t, open(t, "redis://:hush@"+plain.Addr()), 1)
}

func TestOddURLsAreRefused(t *testing.T) {
	for _, url := range []string{
		"", "localhost:6379", "http://u:hush@h", "redis:u:hush", "redis://u:hush@h/a", "redis://u:hush@h/0/1",
		"redis://u:hush@h/-1",
		"redis://u:hush@h?db=1", "redis://u:hush@h:port", "unix://u:hush@/socket",
	} {
		if _, err := loadclaims.Connect(url); err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v", url, err)
		}
	}
	for url, want := range map[string]string{"redis://h": "h:6379",
		"redis://u:hush@[::1]:7000/1": "[::1]:7000", "redis://": "localhost:6379"} {
		if client, err := loadclaims.Connect(url); err != nil || client.Addr != want {
			t.Errorf("%s: %+v, %v, want %s", url, client, err, want)
		}
	}
}
