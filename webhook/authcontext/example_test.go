package authcontext_test

import (
	"context"
	"fmt"
	"log"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/webhook/authcontext"
)

// A publisher says who called, and a consumer requires that it is said.
func Example() {
	key, err := authcontext.NewKey([]byte("32 random bytes, out of a keyring"))
	if err != nil {
		log.Fatal(err)
	}
	ev := event.New()
	c := authcontext.Context{Type: authcontext.ServiceAccount, ID: key.ID("acme", "4f9c2d")}
	if err := c.Set(&ev); err != nil {
		log.Fatal(err)
	}
	handle := func(_ context.Context, d consumer.Delivery[[]byte]) error {
		caller, err := authcontext.Of(d.Opened)
		fmt.Println(caller.Type, err)
		return err
	}
	_ = authcontext.Require(handle) // for consumer.Consumer.Handle
	got, err := authcontext.Of(&envelope.Opened{Event: ev})
	fmt.Println(got.Type, len(got.ID), err)
	// Output: service_account 43 <nil>
}
