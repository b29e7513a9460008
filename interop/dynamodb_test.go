package interop_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/consumer/replay/dynamodb"
	"github.com/sealbus/sealbus/consumer/replay/replaytest"
	"github.com/sealbus/sealbus/internal/claimtable"
	"github.com/sealbus/sealbus/internal/localaws/localawstest"
)

const claimTable = "claims"

// startDynalite starts the emulator of DynamoDB, which keeps its tables on disk.
func startDynalite(tb testing.TB) (*server, *awsdynamodb.Client) {
	tb.Helper()
	needPackages(tb)
	node, err := exec.LookPath("node")
	if err != nil {
		missing(tb, "Node.js 20 or later is not installed: install it, then run this test again")
	}
	dir := tb.TempDir()
	s := startServer(tb, func(port string) *exec.Cmd {
		return exec.Command(node, filepath.Join("node_modules", "dynalite", "cli.js"), "--host", "127.0.0.1",
			"--port", port,
			"--path", dir, "--createTableMs", "0")
	})
	client := awsdynamodb.New(awsdynamodb.Options{
		Region: "eu-west-1", BaseEndpoint: aws.String("http://" + s.addr()),
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "example", ""),
		Retryer:     retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts, o.MaxBackoff = 2, time.Millisecond }),
	})
	return s, client
}

// startTable starts the emulator with a table for claims. It has no time to live, and claimtable.Ensure says
// so.
func startTable(tb testing.TB) (*server, *awsdynamodb.Client) {
	tb.Helper()
	s, client := startDynalite(tb)
	created, err := claimtable.Ensure(tb.Context(), client, claimTable)
	if !created || !errors.Is(err, claimtable.ErrNoTTL) {
		tb.Fatalf("Ensure = %v, %v, want a table without time to live", created, err)
	}
	return s, client
}

func newDynamoStore(tb testing.TB, client dynamodb.Client, now func() time.Time) replay.Store {
	tb.Helper()
	s, err := dynamodb.New(client, claimTable, &dynamodb.Options{Now: now})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// dated is a transport that dates the answers of the service by another clock.
type dated struct {
	http.RoundTripper
	now func() time.Time
}

func (d dated) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := d.RoundTripper.RoundTrip(r)
	if err == nil {
		response.Header.Set("Date", d.now().UTC().Format(http.TimeFormat))
	}
	return response, err
}

// datedClient is the client, with answers of that date.
func datedClient(tb testing.TB, client *awsdynamodb.Client, now func() time.Time) *awsdynamodb.Client {
	tb.Helper()
	transport := &http.Transport{}
	tb.Cleanup(transport.CloseIdleConnections)
	opts := client.Options()
	opts.HTTPClient = &http.Client{Transport: dated{transport, now}}
	return awsdynamodb.New(opts)
}

func TestDynamoDBContract(t *testing.T) {
	_, client := startTable(t)
	contract := replaytest.Contract{Steps: contractSteps, LeaseSlack: 2 * time.Second}
	contract.Run(t, func(t *testing.T, clock *replaytest.Clock) replay.Store {
		return newDynamoStore(t, datedClient(t, client, clock.Now), clock.Now)
	})
}

// TestDynamoDBClock: a worker whose own clock is ahead takes over nothing that is live. The dates are the
// emulator's.
func TestDynamoDBClock(t *testing.T) {
	_, client := startTable(t)
	until := time.Now().Add(time.Hour)
	claim := mustClaim(t, newDynamoStore(t, client, nil), [32]byte{1}, until)
	for _, ahead := range []time.Duration{claimLease + time.Second, 5 * time.Minute} {
		other := newDynamoStore(t, client, func() time.Time { return time.Now().Add(ahead) })
		wantClaim(t, other, [32]byte{1}, until, replay.Held)
	}
	if err := newDynamoStore(t, client, nil).Complete(t.Context(), claim, until); err != nil {
		t.Error(err)
	}
}

// A table that is not there is a store that is not there, and not an empty one.
func TestDynamoDBNoTable(t *testing.T) {
	_, client := startDynalite(t)
	store := newDynamoStore(t, client, nil)
	if _, status, err := store.Claim(t.Context(), [32]byte{1}, [32]byte{}, time.Now().Add(time.Hour),
		claimLease); status != 0 || !errors.Is(err, replay.ErrUnavailable) {
		t.Errorf("Claim = %v, %v, want ErrUnavailable", status, err)
	}
}

// TestDynamoDBKilled kills the emulator, which then is unavailable, and starts it again: what was claimed and
// completed is.
func TestDynamoDBKilled(t *testing.T) {
	s, client := startTable(t)
	testKilled(t, s, newDynamoStore(t, client, nil))
}

// TestReplayCreateTable makes the table with the command, twice.
func TestReplayCreateTable(t *testing.T) {
	s, client := startDynalite(t)
	command := filepath.Join(t.TempDir(), "sealbus")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", command, "./cmd/sealbus")
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, created := range []bool{true, false} {
		cmd := exec.CommandContext(t.Context(), command, "claims", "create-table", "--table", claimTable,
			"--region", "eu-west-1", "--endpoint", "http://"+s.addr(), "--output", "json")
		cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID=AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY=example")
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		var made struct {
			Created bool
			TTL     *string
		}
		if err := json.Unmarshal(out, &made); err != nil || made.Created != created || made.TTL == nil ||
			*made.TTL != "" {
			t.Fatalf("%v: %s, want created %v and no time to live", err, out, created)
		}
	}
	mustClaim(t, newDynamoStore(t, client, nil), [32]byte{1}, time.Now().Add(time.Hour))
}

func BenchmarkDynamoDB(b *testing.B) {
	_, client := startTable(b)
	benchStore(b, newDynamoStore(b, client, nil))
}

func BenchmarkMemory(b *testing.B) { benchStore(b, replay.NewMemory(nil)) }

// TestTableContractOfDynalite runs the contract that internal/localaws keeps on a server that is not our own.
// Where dynalite 4.0.0 differs from AWS's documentation, the documentation is what internal/localaws does.
func TestTableContractOfDynalite(t *testing.T) {
	_, client := startDynalite(t)
	localawstest.DynamoDB(t, client, &localawstest.Differences{
		Cases: map[string]string{
			"protection of a table":   "has no deletion protection",
			"time to live":            "has no time to live",
			"item of a failed update": "never returns the item in the way",
		},
	})
}
