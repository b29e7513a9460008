// Package authcontext says in an event on whose behalf it was published: the CloudEvents extension Auth
// Context. sealbus signs its attributes with the event, and a consumer can require them.
//
//	authtype    what called: "service_account" for a client, "app_user" for a user of one
//	authid      who called, as an HMAC under a key: equal callers have equal IDs, and no ID is a name
//	authclaims  what the caller may do, as JSON; never a credential
//
//	key, err := authcontext.NewKey(secret)
//	err = authcontext.Context{Type: authcontext.ServiceAccount, ID: key.ID("acme", clientID)}.Set(&ev)
//
//	handler := authcontext.Require(next, authcontext.ServiceAccount) // at a consumer
//
// Threats: an attacker who writes the attributes on the bus (they are signed, and an unsigned one is not in
// the event that a handler gets); a reader of the bus who wants to know who called (the ID is an HMAC, and
// its key never leaves the gateway). Not stopped: a producer whose key may speak for the source can write any
// caller. Not hidden: that two events have one caller.
//
// Stable: all of it. https://github.com/cloudevents/spec/blob/main/cloudevents/extensions/authcontext.md
package authcontext

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/redact"
	"github.com/sealbus/sealbus/internal/wire"
)

// The types of callers that the extension lists.
const (
	AppUser         = "app_user"
	User            = "user"
	ServiceAccount  = "service_account"
	APIKey          = "api_key"
	System          = "system"
	Unauthenticated = "unauthenticated"
)

// The names of the attributes.
const (
	attrType   = "authtype"
	attrID     = "authid"
	attrClaims = "authclaims"
)

// The longest attributes, in bytes.
const (
	maxID     = 256
	maxClaims = 4 << 10 // relays must forward 64 KiB of all attributes
)

// minKey is the shortest key, in bytes: as long as the digest.
const minKey = 32

// Context is the caller of an event.
type Context struct {
	Type   string // one of the constants; required
	ID     string // up to 256 bytes of printable text, such as that of Key.ID; "" = it is not told
	Claims string // an object of JSON of up to 4 KiB, without credentials; "" = none
}

// Check refuses a Context that cannot be in an event.
func (c Context) Check() error {
	if !slices.Contains([]string{AppUser, User, ServiceAccount, APIKey, System, Unauthenticated}, c.Type) {
		return fmt.Errorf("authcontext: the type %.40q is none of the extension's", c.Type)
	}
	if c.ID != "" && (len(c.ID) > maxID || wire.CheckText(attrID, c.ID, maxID) != nil) {
		return fmt.Errorf("authcontext: the ID is not within %d bytes of printable text", maxID)
	}
	if c.Claims == "" {
		return nil
	}
	d := jsontext.NewDecoder([]byte(c.Claims))
	d.ReadDocument()
	if len(c.Claims) > maxClaims || c.Claims[0] != '{' || d.End() != nil ||
		wire.CheckText(attrClaims, c.Claims, maxClaims) != nil {
		return fmt.Errorf("authcontext: the claims are no object of JSON within %d bytes", maxClaims)
	}
	return nil
}

// Set writes the attributes into an event that is not sealed yet. Those that the event has already are
// replaced, and removed where the Context has none: a sender may have written them.
func (c Context) Set(ev *event.Event) error {
	if err := c.Check(); err != nil {
		return err
	}
	for _, a := range [][2]string{{attrType, c.Type}, {attrID, c.ID}, {attrClaims, c.Claims}} {
		ev.SetExtension(a[0], nil)
		if a[1] != "" {
			ev.SetExtension(a[0], a[1])
		}
	}
	return nil
}

// Of is the Context of an event that was verified, such as that of a consumer.Delivery: what is in it was
// signed. An event without the attributes has the zero Context. One with others than Set writes is an error.
func Of(o *envelope.Opened) (Context, error) {
	if o == nil || o.Event.Context == nil {
		return Context{}, errors.New("authcontext: there is no event")
	}
	all := o.Event.Extensions()
	var c Context
	for name, to := range map[string]*string{attrType: &c.Type, attrID: &c.ID, attrClaims: &c.Claims} {
		value, found := all[name]
		text, ok := value.(string)
		if found && (!ok || text == "") {
			return Context{}, fmt.Errorf("authcontext: %s is no text", name)
		}
		*to = text
	}
	if c == (Context{}) {
		return c, nil
	}
	if err := c.Check(); err != nil {
		return Context{}, err
	}
	return c, nil
}

// Require is a handler that gets only events whose caller is told: with an ID, and of one of the types.
// Others are envelope.ReasonSchemaInvalid, and quarantined. No types = ServiceAccount and AppUser.
func Require(next consumer.Handler, types ...string) consumer.Handler {
	if next == nil {
		return nil // Handle says that there is no handler
	}
	allowed := slices.Clone(types)
	if len(allowed) == 0 {
		allowed = []string{ServiceAccount, AppUser}
	}
	return func(ctx context.Context, d consumer.Delivery[[]byte]) error {
		c, err := Of(d.Opened)
		switch {
		case err != nil:
			return consumer.Unfit(err.Error())
		case c.Type == "":
			return consumer.Unfit("it does not say who called (authtype)")
		case c.ID == "":
			return consumer.Unfit("it does not say who called (authid)")
		case !slices.Contains(allowed, c.Type):
			return consumer.Unfit(fmt.Sprintf("its caller is of the type %q, which is not taken", c.Type))
		}
		return next(ctx, d)
	}
}

// Key makes IDs of callers. It prints as redacted. It is safe for concurrent use.
type Key struct {
	redact.Printed
	secret redact.Hidden[[]byte]
}

// NewKey makes a Key of a secret of at least 32 random bytes. Another key gives every caller another ID.
func NewKey(secret []byte) (*Key, error) {
	if len(secret) < minKey {
		return nil, fmt.Errorf("authcontext: a key of %d bytes: give at least %d random ones", len(secret), minKey)
	}
	return &Key{redact.Key("authcontext.Key", "authid"), redact.Hide(slices.Clone(secret))}, nil
}

// ID is that of a caller, who is named by all parts together, such as tenant, client and user: the
// HMAC-SHA256 of the parts, each after its length, in 43 characters of base64url.
func (k *Key) ID(parts ...string) string {
	mac := hmac.New(sha256.New, k.secret())
	text := []byte("sealbus authid 1\n")
	for _, p := range parts {
		text = append(binary.AppendUvarint(text, uint64(len(p))), p...)
	}
	_, _ = mac.Write(text) // never fails
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// ErrNoCaller says that a request has no caller whose Context could be in its event.
var ErrNoCaller = errors.New("authcontext: the request has no caller")

type contextKey struct{}

// With keeps the caller of a request for the program that publishes its event, such as webhook/ingest with
// Options.Callers.
func With(ctx context.Context, c Context) context.Context {
	return context.WithValue(ctx, contextKey{}, c)
}

// From is the Context that With kept; ErrNoCaller = there is none.
func From(ctx context.Context) (Context, error) {
	c, ok := ctx.Value(contextKey{}).(Context)
	if !ok {
		return Context{}, ErrNoCaller
	}
	return c, nil
}
