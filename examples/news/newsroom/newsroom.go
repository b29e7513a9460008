// Package newsroom is what the programs of examples/news have in common: the news, what a caller needs to
// delete one, and the sealed event that a deletion is. Copy it and change it for your API.
package newsroom

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/producer"
	"github.com/sealbus/sealbus/webhook/authcontext"
	"github.com/sealbus/sealbus/webhook/authn"
)

// The source and the types of the events. The trust bundle lets the key of the newsroom speak for them.
const (
	Source    = "https://news.example/newsroom"
	Deleted   = "com.example.news.deleted"
	Submitted = "com.example.news.submitted"
)

// UserScope is the scope of the access tokens that Cognito gives a user who signs in by its API. Id tokens
// have no scopes: asking for this one keeps them out, also where API Gateway has verified the token.
const UserScope = "aws.cognito.signin.user.admin"

// MayDelete is what a caller needs to delete news.
func MayDelete() *authn.Need {
	return &authn.Need{Scopes: []string{UserScope}, Groups: []string{"admin"}}
}

// Item is one piece of news.
type Item struct {
	ID    string `json:"id"`
	Title string `json:"title"`
}

// Today are the news.
func Today() []Item {
	return []Item{{"1", "The bridge is open"}, {"2", "Rain on Sunday"}}
}

// Deletion is the data of the event.
type Deletion struct {
	ID string `json:"id"`
}

// Desk publishes what callers do.
type Desk struct {
	Producer *producer.Producer
	Callers  *authcontext.Key // makes the IDs of callers in events; it stays with the API
}

// Delete publishes the event that a caller deletes an item. It returns when the bus has the event.
func (d *Desk) Delete(ctx context.Context, item string, caller *authn.Identity) error {
	ev := event.New()
	ev.SetID(rand.Text())
	ev.SetSource(Source)
	ev.SetType(Deleted)
	ev.SetSubject(item)
	if err := ev.SetData(event.ApplicationJSON, Deletion{item}); err != nil {
		return err
	}
	// Signed with the event: who called, as an HMAC and not by name. A subject is one within its issuer.
	who := authcontext.Context{Type: authcontext.AppUser, ID: d.Callers.ID(caller.Issuer, caller.Subject)}
	if err := who.Set(&ev); err != nil {
		return err
	}
	if _, err := d.Producer.Publish(ctx, ev); err != nil {
		return fmt.Errorf("the deletion is not on the bus: %w", err)
	}
	return nil
}
