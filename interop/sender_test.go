package interop_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	replayredis "github.com/sealbus/sealbus/consumer/replay/redis"
	"github.com/sealbus/sealbus/consumer/replay/replaytest"
	"github.com/sealbus/sealbus/webhook/sender"
	"github.com/sealbus/sealbus/webhook/sender/redis"
	"github.com/sealbus/sealbus/webhook/sender/sendertest"
)

// deliveryStores counts the stores of deliveries: each has a prefix of its own.
var deliveryStores atomic.Int32

func newDeliveryStore(tb testing.TB, client replayredis.Client[*goredis.Cmd]) sender.BackEnd {
	tb.Helper()
	s, err := redis.New(client, &redis.Options{Prefix: fmt.Sprintf("{out%d}:", deliveryStores.Add(1))})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// testDeliveryContract has the clock of the test inside the real server.
func testDeliveryContract(t *testing.T, client replayredis.Client[*goredis.Cmd]) {
	t.Helper()
	sendertest.Contract{}.Run(t, func(t *testing.T, clock *replaytest.Clock) sender.BackEnd {
		return newDeliveryStore(t, timed{client, clock.Now})
	})
}

func TestDeliveryStoreContract(t *testing.T) {
	_, client := startRedis(t, "--appendfsync", "no")
	testDeliveryContract(t, client)
}

// TestDeliveryStoreClusterContract: a cluster takes the scripts, whose keys are declared and in one slot.
func TestDeliveryStoreClusterContract(t *testing.T) {
	s, single := startRedis(t, "--appendfsync", "no", "--cluster-enabled", "yes",
		"--cluster-require-full-coverage", "no")
	if err := single.ClusterAddSlotsRange(t.Context(), 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(startPatience); !strings.Contains(single.ClusterInfo(t.Context()).Val(),
		"cluster_state:ok"); {
		if time.Now().After(deadline) {
			t.Fatalf("no cluster: %s\n%s", single.ClusterInfo(t.Context()).Val(), s.output)
		}
	}
	client := goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: []string{s.addr()}})
	t.Cleanup(func() { client.Close() })
	testDeliveryContract(t, client)
}
