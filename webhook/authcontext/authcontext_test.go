package authcontext_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/testbed/secrettest"
	"github.com/sealbus/sealbus/webhook/authcontext"
)

const secret = "0123456789abcdef0123456789ABCDEF"

func newKey(t *testing.T) *authcontext.Key {
	t.Helper()
	k, err := authcontext.NewKey([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// Of reads what Set wrote. Anything else is refused, by Set as by Of.
func TestSetAndOf(t *testing.T) {
	long, claims := strings.Repeat("a", 257), `{"a":"`+strings.Repeat("a", 4096)+`"}`
	for name, c := range map[string]struct {
		context authcontext.Context
		good    bool
	}{
		"a client":       {authcontext.Context{Type: "service_account", ID: "x", Claims: `{"a":"b"}`}, true},
		"no more":        {authcontext.Context{Type: "app_user"}, true},
		"no type":        {authcontext.Context{ID: "x"}, false},
		"another type":   {authcontext.Context{Type: "root", ID: "x"}, false},
		"a long ID":      {authcontext.Context{Type: "user", ID: long}, false},
		"a line end":     {authcontext.Context{Type: "user", ID: "a\nb"}, false},
		"no JSON":        {authcontext.Context{Type: "user", Claims: `{"a":`}, false},
		"a list":         {authcontext.Context{Type: "user", Claims: `[]`}, false},
		"twice":          {authcontext.Context{Type: "user", Claims: `{"a":1,"a":2}`}, false},
		"more behind it": {authcontext.Context{Type: "user", Claims: `{} {}`}, false},
		"long claims":    {authcontext.Context{Type: "user", Claims: claims}, false},
	} {
		ev := event.New()
		if err := c.context.Set(&ev); (err == nil) != c.good {
			t.Errorf("%s: set: %v", name, err)
		}
		if c.good {
			if got, err := authcontext.Of(&envelope.Opened{Event: ev}); err != nil || got != c.context {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
			continue
		}
		if len(ev.Extensions()) > 0 {
			t.Errorf("%s: %v is set", name, ev.Extensions())
		}
		for attribute, value := range map[string]string{"authtype": c.context.Type, "authid": c.context.ID,
			"authclaims": c.context.Claims} {
			if value != "" {
				ev.SetExtension(attribute, value)
			}
		}
		if got, err := authcontext.Of(&envelope.Opened{Event: ev}); err == nil || got != (authcontext.Context{}) {
			t.Errorf("%s: it is read as %+v, %v", name, got, err)
		}
	}
	ev := event.New()
	if c, err := authcontext.Of(&envelope.Opened{Event: ev}); err != nil || c != (authcontext.Context{}) {
		t.Errorf("no context: %+v, %v", c, err)
	}
	ev.SetExtension("authtype", 7)
	if _, err := authcontext.Of(&envelope.Opened{Event: ev}); err == nil {
		t.Error("a number is a type")
	}
	for _, o := range []*envelope.Opened{nil, {}} {
		if c, err := authcontext.Of(o); err == nil || c != (authcontext.Context{}) {
			t.Errorf("no event: %+v, %v", c, err)
		}
	}
}

// Set leaves nothing of the attributes that a sender wrote into its event.
func TestSetReplaces(t *testing.T) {
	for _, c := range []authcontext.Context{
		{Type: "service_account", ID: "x", Claims: `{"a":"b"}`}, {Type: "app_user", ID: "x"},
		{Type: "app_user", Claims: `{}`}, {Type: "unauthenticated"},
	} {
		ev := event.New()
		for _, attribute := range []string{"authtype", "AuthID", "authclaims"} {
			ev.SetExtension(attribute, `{"tenant":"another"}`)
		}
		if err := c.Set(&ev); err != nil {
			t.Fatal(err)
		}
		if got, err := authcontext.Of(&envelope.Opened{Event: ev}); err != nil || got != c {
			t.Errorf("%+v is read as %+v, %v", c, got, err)
		}
	}
}

// Equal callers have equal IDs. Parts that are cut in another place, and another key, give other ones.
func TestKeyID(t *testing.T) {
	k := newKey(t)
	seen := map[string]string{}
	for _, parts := range [][]string{{}, {""}, {"", ""}, {"acme", "a"}, {"acm", "ea"}, {"acmea"}, {"a", "acme"},
		{"acme", "a", ""}, {"acme", "", "a"}} {
		id := k.ID(parts...)
		if other, found := seen[id]; found || len(id) != 43 {
			t.Errorf("%q has the ID of %s: %s", parts, other, id)
		}
		seen[id] = fmt.Sprint(parts)
		if again := newKey(t).ID(parts...); again != id {
			t.Errorf("%q: %s, and then %s", parts, id, again)
		}
	}
	other, err := authcontext.NewKey([]byte(secret + "x"))
	if err != nil || other.ID("acme", "a") == k.ID("acme", "a") {
		t.Errorf("another key gives the same ID, %v", err)
	}
	if _, err := authcontext.NewKey([]byte(secret[1:])); err == nil {
		t.Error("a key of 31 bytes is taken")
	}
	for _, v := range []any{k, *k} {
		for _, text := range secrettest.Prints(v) {
			secrettest.NotShown(t, fmt.Sprintf("%T", v), text, []byte(secret), secret)
		}
	}
}

// A handler that requires a caller gets no other event.
func TestRequire(t *testing.T) {
	called := 0
	next := func(context.Context, consumer.Delivery[[]byte]) error { called++; return nil }
	for name, c := range map[string]struct {
		context authcontext.Context
		types   []string
		pass    bool
	}{
		"a client":           {authcontext.Context{Type: "service_account", ID: "x"}, nil, true},
		"a user":             {authcontext.Context{Type: "app_user", ID: "x"}, nil, true},
		"a system":           {authcontext.Context{Type: "system", ID: "x"}, nil, false},
		"a system, required": {authcontext.Context{Type: "system", ID: "x"}, []string{"system"}, true},
		"not a client":       {authcontext.Context{Type: "app_user", ID: "x"}, []string{"service_account"}, false},
		"no ID":              {authcontext.Context{Type: "service_account"}, nil, false},
		"none":               {authcontext.Context{}, nil, false},
	} {
		ev := event.New()
		if c.context.Type != "" {
			if err := c.context.Set(&ev); err != nil {
				t.Fatal(err)
			}
		}
		called = 0
		d := consumer.Delivery[[]byte]{Opened: &envelope.Opened{Event: ev}}
		err := authcontext.Require(next, c.types...)(t.Context(), d)
		if (err == nil) != c.pass || (called == 1) != c.pass {
			t.Errorf("%s: %d calls, %v", name, called, err)
		}
	}
	if authcontext.Require(nil) != nil {
		t.Error("there is a handler without next")
	}
}

func TestFrom(t *testing.T) {
	if _, err := authcontext.From(t.Context()); !errors.Is(err, authcontext.ErrNoCaller) {
		t.Errorf("no caller: %v", err)
	}
	want := authcontext.Context{Type: authcontext.AppUser, ID: "x"}
	if got, err := authcontext.From(authcontext.With(t.Context(), want)); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
}
