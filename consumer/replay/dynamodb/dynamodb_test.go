package dynamodb_test

import (
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"testing"
	"time"

	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/consumer/replay/dynamodb"
	"github.com/sealbus/sealbus/consumer/replay/replaytest"
)

const lease = 30 * time.Second

var key, digest = [32]byte{1}, [32]byte{2}

var itemID = hex.EncodeToString(key[:])

func newStore(t *testing.T, client dynamodb.Client, now func() time.Time) *dynamodb.Store {
	t.Helper()
	s, err := dynamodb.New(client, table, &dynamodb.Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestContract(t *testing.T) {
	for name, returnsItems := range map[string]bool{"as the service": true, "as an emulator": false} {
		t.Run(name, func(t *testing.T) {
			replaytest.Run(t, func(t *testing.T, clock *replaytest.Clock) replay.Store {
				f, client := newFake(t)
				f.returnsItems = returnsItems
				return newStore(t, client, clock.Now)
			})
		})
	}
}

func claim(t *testing.T, s replay.Store, until time.Time) replay.Claim {
	t.Helper()
	c, status, err := s.Claim(t.Context(), key, digest, until, lease)
	if err != nil || status != replay.New {
		t.Fatalf("Claim = %v, %v, want new", status, err)
	}
	return c
}

func wantStatus(t *testing.T, s replay.Store, until time.Time, want replay.Status) {
	t.Helper()
	if _, status, err := s.Claim(t.Context(), key, digest, until, lease); status != want || err != nil {
		t.Fatalf("Claim = %v, %v, want %v", status, err, want)
	}
}

func wantUnavailable(t *testing.T, s replay.Store, until time.Time) {
	t.Helper()
	if _, status, err := s.Claim(t.Context(), key, digest, until, lease); status != 0 || !errors.Is(err, replay.ErrUnavailable) {
		t.Fatalf("Claim = %v, %v, want ErrUnavailable", status, err)
	}
}

func (f *fake) item() attributes {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.items[itemID]
}

// forgetAt is when the item is garbage.
func (f *fake) forgetAt(t *testing.T) time.Time {
	t.Helper()
	n, err := strconv.ParseInt(f.item()[dynamodb.TTLAttribute]["N"], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return time.Unix(n, 0)
}

// What was completed is forgotten after its until, and is never new again for a consumer whose clock was set back.
func TestForgotten(t *testing.T) {
	f, client := newFake(t)
	start := time.Now().Truncate(time.Second)
	service := replaytest.NewClock(start)
	f.now = service.Now
	s := newStore(t, client, func() time.Time { return start }) // stands still, far behind in the end
	until := start.Add(time.Hour)
	if err := s.Complete(t.Context(), claim(t, s, until), until); err != nil {
		t.Fatal(err)
	}
	if want := until.Add(time.Hour); !f.forgetAt(t).Equal(want) {
		t.Errorf("forgotten at %v, want %v", f.forgetAt(t), want)
	}
	service.Advance(73 * time.Hour) // time to live is late
	wantStatus(t, s, until, replay.Completed)
	f.change(func() { delete(f.items, itemID) })
	wantUnavailable(t, s, until)
	wantUnavailable(t, s, service.Now())
	if f.item() != nil {
		t.Errorf("a claim that was not given is still there: %v", f.item())
	}
	wantStatus(t, s, service.Now().Add(time.Second), replay.New)
}

// A claim that was not given and could not be taken back either is not given to whoever comes next.
func TestForgottenAndNotTakenBack(t *testing.T) {
	f, client := newFake(t)
	clock := replaytest.NewClock(time.Now().Truncate(time.Second))
	until := clock.Now().Add(time.Hour)
	f.now = func() time.Time { return until }
	s := newStore(t, client, clock.Now)
	f.before = func(operation string) {
		if operation == "DeleteItem" {
			panic(http.ErrAbortHandler)
		}
	}
	wantUnavailable(t, s, until)
	clock.Advance(lease)
	wantUnavailable(t, s, until)
}

func TestNoDate(t *testing.T) {
	f, client := newFake(t)
	f.now = nil
	wantUnavailable(t, newStore(t, client, nil), time.Now().Add(time.Hour))
	if f.item() != nil {
		t.Errorf("a claim that was not given is still there: %v", f.item())
	}
}

// Every item has an end, also that of a claim whose holder crashed and of one whose lease goes beyond until.
func TestEveryItemExpires(t *testing.T) {
	f, client := newFake(t)
	start := time.Now().Truncate(time.Second)
	s := newStore(t, client, func() time.Time { return start })
	want := func(after time.Duration) {
		t.Helper()
		if got := f.forgetAt(t).Sub(start); got != after {
			t.Fatalf("the item lives for %v, want %v", got, after)
		}
	}
	c := claim(t, s, start.Add(20*time.Second))
	want(lease + time.Hour)
	if err := s.Renew(t.Context(), c, 15*time.Second); err != nil {
		t.Fatal(err)
	}
	want(lease + time.Hour)
	if err := s.Renew(t.Context(), c, 10*time.Minute); err != nil {
		t.Fatal(err)
	}
	want(10*time.Minute + time.Hour)
	if err := s.Complete(t.Context(), c, start.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	want(time.Minute + time.Hour)
}

func TestDownAndUp(t *testing.T) {
	f, client := newFake(t)
	s := newStore(t, client, nil)
	until := time.Now().Add(time.Hour)
	c := claim(t, s, until)
	lost := make(map[string]func())
	for _, code := range []string{
		"ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded", "InternalServerError",
		"ResourceNotFoundException", "AccessDeniedException", "ValidationException",
	} {
		lost[code] = func() { f.refuse = code }
	}
	lost["connection lost"] = func() { f.refuse = ""; f.before = func(string) { panic(http.ErrAbortHandler) } }
	for name, down := range lost {
		t.Run(name, func(t *testing.T) {
			f.change(down)
			defer f.change(func() { f.refuse, f.before = "", nil })
			wantUnavailable(t, s, until)
			for name, err := range map[string]error{
				"Renew":    s.Renew(t.Context(), c, lease),
				"Complete": s.Complete(t.Context(), c, until),
				"Release":  s.Release(t.Context(), c),
			} {
				if !errors.Is(err, replay.ErrUnavailable) || errors.Is(err, replay.ErrClaimLost) {
					t.Errorf("%s: %v, want ErrUnavailable", name, err)
				}
			}
		})
	}
	wantStatus(t, s, until, replay.Held)
	if err := s.Complete(t.Context(), c, until); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, s, until, replay.Completed)
}

// The client asks again when an answer is lost. Its own write must not be in its way.
func TestLostAnswers(t *testing.T) {
	for name, returnsItems := range map[string]bool{"as the service": true, "as an emulator": false} {
		t.Run(name, func(t *testing.T) {
			f, client := newFake(t)
			f.returnsItems = returnsItems
			s := newStore(t, client, nil)
			until := time.Now().Add(time.Hour)
			f.change(func() { f.loseAnswers = 1 })
			c := claim(t, s, until)
			wantStatus(t, s, until, replay.Held)
			f.change(func() { f.loseAnswers = 1 })
			if err := s.Renew(t.Context(), c, lease); err != nil {
				t.Errorf("Renew: %v", err)
			}
			f.change(func() { f.loseAnswers = 1 })
			if err := s.Complete(t.Context(), c, until); err != nil {
				t.Errorf("Complete: %v", err)
			}
			wantStatus(t, s, until, replay.Completed)
			if err := s.Complete(t.Context(), c, until); !errors.Is(err, replay.ErrClaimLost) {
				t.Errorf("Complete once more: %v, want ErrClaimLost", err)
			}
		})
	}
}

// An item that vanishes before it can be read was released: the claim is asked for again.
func TestReleasedInBetween(t *testing.T) {
	f, client := newFake(t)
	f.returnsItems = false
	s := newStore(t, client, nil)
	until := time.Now().Add(time.Hour)
	claim(t, s, until)
	f.change(func() {
		f.before = func(operation string) {
			if operation == "GetItem" {
				f.change(func() { f.before = nil; delete(f.items, itemID) })
			}
		}
	})
	claim(t, s, until)
}

// If others claim and release all the time, it is theirs.
func TestReleasedAgainAndAgain(t *testing.T) {
	f, client := newFake(t)
	f.returnsItems = false
	s := newStore(t, client, nil)
	until := time.Now().Add(time.Hour)
	claim(t, s, until)
	kept := f.item()
	f.change(func() {
		f.before = func(operation string) {
			f.change(func() {
				if f.items[itemID] = kept; operation == "GetItem" {
					delete(f.items, itemID)
				}
			})
		}
	})
	wantStatus(t, s, until, replay.Held)
}

// Whatever else is stored under the key is neither taken for a claim nor overwritten.
func TestForeignItem(t *testing.T) {
	f, client := newFake(t)
	s := newStore(t, client, nil)
	until := time.Now().Add(time.Hour)
	claim(t, s, until)
	sound := f.item()
	for _, attribute := range []string{"phase", "token", "digest", "lease_end", "until"} {
		for name, value := range map[string]map[string]string{"missing": nil, "odd": {"S": "odd"}} {
			item := make(attributes)
			for n, v := range sound {
				item[n] = v
			}
			if item[attribute] = value; value == nil {
				delete(item, attribute)
			}
			f.change(func() { f.items[itemID] = item })
			t.Run(attribute+" "+name, func(t *testing.T) { wantUnavailable(t, s, until) })
		}
	}
}

func TestOptions(t *testing.T) {
	f, client := newFake(t)
	for name, make := range map[string]func() (*dynamodb.Store, error){
		"no client":        func() (*dynamodb.Store, error) { return dynamodb.New(nil, table, nil) },
		"no table":         func() (*dynamodb.Store, error) { return dynamodb.New(client, "", nil) },
		"a negative grace": func() (*dynamodb.Store, error) { return dynamodb.New(client, table, &dynamodb.Options{Grace: -1}) },
	} {
		if _, err := make(); err == nil {
			t.Errorf("a store with %s", name)
		}
	}
	s, err := dynamodb.New(client, table, &dynamodb.Options{Grace: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	until := time.Now().Truncate(time.Second).Add(time.Hour)
	claim(t, s, until)
	if got := f.forgetAt(t).Sub(until); got != time.Minute {
		t.Errorf("the item is forgotten %v after until, want a minute", got)
	}
}

// The narrow interface is enough: a wrapper of the client is a client.
type wrapped struct{ dynamodb.Client }

func (w wrapped) GetItem(context.Context, *awsdynamodb.GetItemInput, ...func(*awsdynamodb.Options)) (*awsdynamodb.GetItemOutput, error) {
	return nil, errors.New("the item that is in the way comes with the error, no read is needed")
}

func TestNoReadWhereTheServiceReturnsTheItem(t *testing.T) {
	_, client := newFake(t)
	s := newStore(t, wrapped{client}, nil)
	until := time.Now().Add(time.Hour)
	c := claim(t, s, until)
	wantStatus(t, s, until, replay.Held)
	if err := s.Complete(t.Context(), c, until); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, s, until, replay.Completed)
}
