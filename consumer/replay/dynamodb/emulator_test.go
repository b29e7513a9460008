package dynamodb_test

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/consumer/replay/dynamodb"
	"github.com/sealbus/sealbus/consumer/replay/replaytest"
	"github.com/sealbus/sealbus/internal/claimtable"
)

// dated gives every answer the date of the test's clock, which a server cannot be told.
type dated struct{ now func() time.Time }

func (d dated) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err == nil {
		answer.Header.Set("Date", d.now().UTC().Format(http.TimeFormat))
	}
	return answer, err
}

// TestEmulator runs the contract on whatever AWS_ENDPOINT_URL_DYNAMODB names: an emulator, or the service
// itself through a proxy that signs. It makes a table of its own, and takes it away. Without the variable it
// is the fake of this package.
func TestEmulator(t *testing.T) {
	url := os.Getenv("AWS_ENDPOINT_URL_DYNAMODB")
	open := func(clock *replaytest.Clock, name string) replay.Store {
		client := awsdynamodb.New(newClient(url).Options(), func(o *awsdynamodb.Options) {
			o.HTTPClient = &http.Client{Transport: dated{clock.Now}}
		})
		s, err := dynamodb.New(client, name, &dynamodb.Options{Now: clock.Now})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if url == "" {
		_, client := newFake(t)
		url = *client.Options().BaseEndpoint
		contract.Run(t, func(t *testing.T, clock *replaytest.Clock) replay.Store { return open(clock, table) })
		return
	}
	client, name := newClient(url), "sealbus-contract-"+strings.ToLower(rand.Text()[:12])
	t.Cleanup(func() { deleteTable(t, client, name) })
	created, err := claimtable.Ensure(t.Context(), client, name)
	if !created || err != nil && !errors.Is(err, claimtable.ErrNoTTL) {
		t.Fatalf("Ensure = %v, %v", created, err)
	}
	t.Run("table again", func(t *testing.T) {
		if created, err := claimtable.Ensure(t.Context(), client, name); created || err != nil &&
			!errors.Is(err, claimtable.ErrNoTTL) {
			t.Errorf("Ensure = %v, %v", created, err)
		}
	})
	contract.Run(t, func(t *testing.T, clock *replaytest.Clock) replay.Store { return open(clock, name) })
}

// deleteTable takes a table away that is protected from it.
func deleteTable(t *testing.T, client *awsdynamodb.Client, name string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context()) // it is the end of the test
	// Some emulators know no protection, and refuse this.
	_, unprotected := client.UpdateTable(ctx, &awsdynamodb.UpdateTableInput{TableName: &name,
		DeletionProtectionEnabled: aws.Bool(false)})
	if _, err := client.DeleteTable(ctx, &awsdynamodb.DeleteTableInput{TableName: &name}); err != nil {
		t.Errorf("the table %s is left behind: %v", name, errors.Join(unprotected, err))
	}
}
