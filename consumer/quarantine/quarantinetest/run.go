// Package quarantinetest is the contract of quarantine.Store as tests. Every implementation runs it:
//
//	func TestStore(t *testing.T) {
//		quarantinetest.Run(t, func(t *testing.T) *quarantinetest.Place {
//			return quarantinetest.NewMemory()
//		})
//	}
//
// New makes a Store in memory, for tests of programs that use a Store.
package quarantinetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/quarantine"
	"github.com/sealbus/sealbus/envelope"
)

// Place is where records are: a directory, a prefix in a bucket, a queue. It is empty at first.
type Place struct {
	// Open makes a store on the place. Stores with one key share their records.
	Open func(t *testing.T, keys consumer.QuarantineKeys) quarantine.Store
	// Inject acts as an attacker who may write to the place but has no key. It replaces the record of that ID by
	// doc, or, where that is impossible, adds doc.
	Inject func(t *testing.T, id string, doc []byte)
	// Down makes every call fail soon, from now on.
	Down func(t *testing.T)
	// Fits is the size in bytes of a body that the place can hold, and TooLarge of one that it cannot hold; 0 =
	// not tested.
	Fits, TooLarge int
	// Unordered says that List is not in the order of time.
	Unordered bool
	// Repeats says that a record may be in the place twice after one Put, because an answer was lost. A Store
	// that has its key lists it once.
	Repeats bool
}

// Run runs the contract.
func Run(t *testing.T, open func(t *testing.T) *Place) {
	for _, c := range []struct {
		name string
		test func(*env)
	}{
		{"put, list, get, remove", lifecycle},
		{"any text comes back", anyText},
		{"order and interval", orderAndInterval},
		{"twice the same record", twice},
		{"what is not there", notThere},
		{"tampered record", tampered},
		{"under another's name", underAnothersName},
		{"its keys", itsKeys},
		{"wrong key", wrongKey},
		{"older key", olderKey},
		{"another consumer's record", anothersRecord},
		{"junk", junk},
		{"large record", large},
		{"concurrent puts", concurrentPuts},
		{"put while listing", putWhileListing},
		{"remove while listing", removeWhileListing},
		{"stop in the middle", stopInTheMiddle},
		{"many", many},
		{"store down", down},
		{"cancelled context", cancelled},
		{"the key is never printed", keyIsSecret},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := &env{T: t, Place: open(t), now: time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)}
			e.Store = e.Open(t, Keys("bin"))
			c.test(e)
		})
	}
}

// Keys are those of a quarantine of that name, for tests only: they are the same for every name.
func Keys(name string) consumer.QuarantineKeys { return keysOf(name, 'k') }

// keysOf has a key of these bytes, then the older ones.
func keysOf(name string, letters ...byte) consumer.QuarantineKeys {
	var list [][]byte
	for _, letter := range letters {
		list = append(list, bytes.Repeat([]byte{letter}, consumer.MinQuarantineKey))
	}
	keys, err := consumer.NewQuarantineKeys(name, list[0], list[1:]...)
	if err != nil {
		panic(err)
	}
	return keys
}

// Record is a record of that time, of an event that claims to have that ID.
func Record(at time.Time, id string) consumer.Record {
	return consumer.Record{
		Consumer: "billing", Quarantine: "bin", At: at,
		Reason: envelope.ReasonModified, Cause: "the data was changed", Advice: "look for who did it",
		Message: consumer.Message{
			Body: []byte(`{"id":"` + id + `"}`), Format: consumer.EventBridge,
			Account: "111111111111", ReplayName: "r",
		},
		UnverifiedID: id, UnverifiedSource: "https://orders.example/eu", UnverifiedType: "com.example.order",
	}
}

// env is one store at one place.
type env struct {
	*testing.T
	*Place
	quarantine.Store
	now time.Time
}

// put stores a record of that many seconds after the first.
func (e *env) put(seconds int, id string) consumer.Record {
	e.Helper()
	r := Record(e.now.Add(time.Duration(seconds)*time.Second), id)
	if err := e.Put(e.Context(), r); err != nil {
		e.Fatalf("Put: %v", err)
	}
	return r
}

// list is everything, and no error.
func (e *env) list(s quarantine.Store, opts *quarantine.ListOptions) (entries []quarantine.Entry) {
	e.Helper()
	for entry, err := range s.List(e.Context(), opts) {
		if err != nil {
			e.Fatalf("List: %v", err)
		}
		check(e.T, entry)
		entries = append(entries, entry)
	}
	return entries
}

// check holds an entry against what is promised of all.
func check(t *testing.T, e quarantine.Entry) {
	t.Helper()
	_, wellFormed := quarantine.TimeOf(e.ID)
	switch {
	case e.ID == "":
		t.Fatalf("an entry without an ID: %+v", e)
	case (e.Record != nil) != (e.Err == nil), (e.Document != nil) != (e.Err == nil):
		t.Fatalf("neither authentic nor not: %+v", e)
	case e.Record != nil && !wellFormed:
		t.Fatalf("the ID %q of an authentic record", e.ID)
	}
}

// claims are the sorted IDs that the authentic ones claim.
func claims(entries []quarantine.Entry) (ids []string) {
	for _, e := range entries {
		if e.Record != nil {
			ids = append(ids, e.Record.UnverifiedID)
		}
	}
	slices.Sort(ids)
	return ids
}

func (e *env) want(entries []quarantine.Entry, ids ...string) {
	e.Helper()
	if got := claims(entries); !slices.Equal(got, ids) {
		e.Fatalf("authentic are %q, want %q", got, ids)
	}
}

// only is the one entry that there is.
func (e *env) only(s quarantine.Store) quarantine.Entry {
	e.Helper()
	entries := e.list(s, nil)
	if len(entries) != 1 {
		e.Fatalf("%d entries, want 1", len(entries))
	}
	return entries[0]
}

// remove accepts both answers on what is not there.
func (e *env) remove(id string) {
	e.Helper()
	if err := e.Remove(e.Context(), id); err != nil {
		e.Fatalf("Remove(%q): %v", id, err)
	}
}

func lifecycle(e *env) {
	want := e.put(0, "o-1")
	entry := e.only(e.Store)
	if !reflect.DeepEqual(*entry.Record, want) {
		e.Errorf("listed %+v, want %+v", *entry.Record, want)
	}
	again := e.Open(e.T, Keys("bin")) // another process
	got, err := again.Get(e.Context(), entry.ID)
	if err != nil || !reflect.DeepEqual(got, entry) {
		e.Fatalf("Get = %+v, %v, want %+v", got, err, entry)
	}
	if parsed, err := Keys("bin").Parse(got.Document); err != nil || !reflect.DeepEqual(*parsed, want) {
		e.Errorf("the document holds %+v, %v", parsed, err)
	}
	e.remove(entry.ID)
	if list := e.list(e.Store, nil); len(list) != 0 {
		e.Errorf("after Remove: %+v", list)
	}
}

func anyText(e *env) {
	r := Record(e.now, "../../etc/passwd\x00\x1b[2J\u2028\"\\")
	r.UnverifiedSource, r.UnverifiedType = strings.Repeat("x", 8<<10), "\u202Eevil"
	r.Cause, r.Message.Body, r.Message.Account, r.Message.ReplayName = "", []byte("\x00\xff\r\n"), "", ""
	if err := e.Put(e.Context(), r); err != nil {
		e.Fatal(err)
	}
	if got := e.only(e.Store); !reflect.DeepEqual(*got.Record, r) {
		e.Errorf("got %+v, want %+v", *got.Record, r)
	}
	r.UnverifiedID = "\xff\uFFFE\uFFFF" // neither JSON nor SQS can carry it as it is
	r.At = r.At.Add(time.Second)
	if err := e.Put(e.Context(), r); err != nil {
		e.Fatal(err)
	}
	if list := e.list(e.Store, nil); len(claims(list)) != 2 {
		e.Errorf("listed %+v", list)
	}
}

func orderAndInterval(e *env) {
	for _, s := range []int{4, 0, 86400, 2} { // into the next day
		e.put(s, fmt.Sprintf("o-%d", s))
	}
	all := e.list(e.Store, nil)
	e.want(all, "o-0", "o-2", "o-4", "o-86400")
	byTime := func(a, b quarantine.Entry) int { return a.Record.At.Compare(b.Record.At) }
	if !e.Unordered && !slices.IsSortedFunc(all, byTime) {
		e.Errorf("not in the order of time")
	}
	at := func(s int) time.Time { return e.now.Add(time.Duration(s) * time.Second) }
	e.want(e.list(e.Store, &quarantine.ListOptions{From: at(2)}), "o-2", "o-4", "o-86400")
	e.want(e.list(e.Store, &quarantine.ListOptions{To: at(4)}), "o-0", "o-2")
	e.want(e.list(e.Store, &quarantine.ListOptions{From: at(3), To: at(5)}), "o-4")
	e.want(e.list(e.Store, &quarantine.ListOptions{From: at(1).Add(time.Nanosecond), To: at(2)}))
}

func twice(e *env) {
	r := e.put(0, "o-1")
	if err := e.Put(e.Context(), r); err != nil {
		e.Fatal(err)
	}
	entry := e.only(e.Store)
	if got, err := e.Get(e.Context(), entry.ID); err != nil || got.ID != entry.ID {
		e.Errorf("Get = %+v, %v", got, err)
	}
	r.Cause = "another" // is another record
	if err := e.Put(e.Context(), r); err != nil {
		e.Fatal(err)
	}
	e.want(e.list(e.Store, nil), "o-1", "o-1")
}

func notThere(e *env) {
	r := e.put(0, "o-1")
	entry := e.only(e.Store)
	missing := quarantine.TimeID(r.At) + "-" + strings.Repeat("0", 32)
	for _, id := range []string{
		missing, "", "../" + entry.ID, entry.ID + "/", entry.ID[1:], strings.ToUpper(entry.ID), "*",
		entry.ID + ".json",
	} {
		if got, err := e.Get(e.Context(), id); !errors.Is(err, quarantine.ErrNotFound) || got.Record != nil {
			e.Errorf("Get(%q) = %+v, %v", id, got, err)
		}
		if err := e.Remove(e.Context(), id); err != nil && !errors.Is(err, quarantine.ErrNotFound) {
			e.Errorf("Remove(%q): %v", id, err)
		}
	}
	e.want(e.list(e.Store, nil), "o-1")
	e.remove(entry.ID)
	if _, err := e.Get(e.Context(), entry.ID); !errors.Is(err, quarantine.ErrNotFound) {
		e.Errorf("Get of what was removed: %v", err)
	}
}

// tampered: not one of these is handed out as a record, and each can be removed.
func tampered(e *env) {
	e.put(0, "o-1")
	entry := e.only(e.Store)
	doc := string(entry.Document)
	for name, changed := range map[string]string{
		"claimed source": strings.Replace(doc, "orders.example", "orders.evil.example", 1),
		"consumer":       strings.Replace(doc, `"billing"`, `"payroll"`, 1),
		"quarantine":     strings.Replace(doc, `"quarantine":"bin"`, `"quarantine":""`, 1),
		"body":           strings.Replace(doc, `"body":"`, `"body":"AAAA`, 1),
		"mac":            doc[:strings.Index(doc, `"mac"`)] + `"mac":""}` + "\n",
		"cut":            doc[:len(doc)/2],
		"duplicate":      strings.Replace(doc, "{", `{"consumer":"x",`, 1),
	} {
		if changed == doc {
			e.Fatalf("%s: nothing was changed", name)
		}
		e.Inject(e.T, entry.ID, []byte(changed))
		bad := notAuthentic(e.list(e.Store, nil))
		if len(bad) != 1 || !errors.Is(bad[0].Err, consumer.ErrNotAuthentic) {
			e.Fatalf("%s: not authentic are %+v", name, bad)
		}
		got, err := e.Get(e.Context(), bad[0].ID)
		if !errors.Is(err, consumer.ErrNotAuthentic) || got.Record != nil || got.Document != nil {
			e.Errorf("%s: Get = %+v, %v", name, got, err)
		}
		e.remove(bad[0].ID)
		if bad := notAuthentic(e.list(e.Store, nil)); len(bad) != 0 {
			e.Errorf("%s: it cannot be removed: %+v", name, bad)
		}
	}
}

func notAuthentic(entries []quarantine.Entry) (bad []quarantine.Entry) {
	for _, e := range entries {
		if e.Record == nil {
			bad = append(bad, e)
		}
	}
	return bad
}

// underAnothersName: what is shown under an ID is what the ID was made for.
func underAnothersName(e *env) {
	e.put(0, "o-1")
	first := e.only(e.Store)
	e.put(1, "o-2")
	var second quarantine.Entry
	for _, entry := range e.list(e.Store, nil) {
		if entry.ID != first.ID {
			second = entry
		}
	}
	e.Inject(e.T, first.ID, second.Document)
	for _, entry := range e.list(e.Store, nil) {
		if entry.ID == first.ID && entry.Record != nil && entry.Record.UnverifiedID != "o-1" {
			e.Errorf("%s shows %+v", first.ID, entry.Record)
		}
	}
	if got, err := e.Get(e.Context(), first.ID); err == nil && got.Record.UnverifiedID != "o-1" {
		e.Errorf("Get = %+v", got.Record)
	}
}

// itsKeys: the store says which quarantine it is, and writes records of that one only.
func itsKeys(e *env) {
	if name := e.Store.Keys().Name(); name != "bin" {
		e.Errorf("its keys are of %q", name)
	}
	r := Record(e.now, "o-1")
	r.Quarantine = "other"
	if err := e.Put(e.Context(), r); err == nil {
		e.Error("a record of another quarantine was taken")
	}
	r.Quarantine = ""
	if err := e.Put(e.Context(), r); err != nil {
		e.Fatal(err)
	}
	if got := e.only(e.Store); got.Record.Quarantine != "bin" {
		e.Errorf("the record is of %q", got.Record.Quarantine)
	}
}

// olderKey: after a change of keys, the records under the old one stay authentic.
func olderKey(e *env) {
	e.put(0, "o-1")
	next := e.Open(e.T, keysOf("bin", 'n', 'k'))
	if err := next.Put(e.Context(), Record(e.now, "o-2")); err != nil {
		e.Fatal(err)
	}
	e.want(e.list(next, nil), "o-1", "o-2")
	e.want(e.list(e.Store, nil), "o-1")
}

func wrongKey(e *env) {
	e.put(0, "o-1")
	other := e.Open(e.T, keysOf("bin", 'o'))
	entries := e.list(other, nil)
	if len(entries) != 1 && !(e.Repeats && len(entries) == 2) {
		e.Fatalf("%d entries, want 1", len(entries))
	}
	entry := entries[0]
	if !errors.Is(entry.Err, consumer.ErrNotAuthentic) {
		e.Errorf("under another key: %+v", entry)
	}
	got, err := other.Get(e.Context(), entry.ID)
	if !errors.Is(err, consumer.ErrNotAuthentic) || got.Record != nil {
		e.Errorf("Get = %+v, %v", got, err)
	}
	e.want(e.list(e.Store, nil), "o-1")
}

// anothersRecord: a record that was moved here from another quarantine is not authentic, even under the same
// key. If the store has the keys of the other one, its records are authentic, and say whose they are; but a
// holder of its keys makes no record of this one. An operator who does not know the name reads it in the
// record.
func anothersRecord(e *env) {
	for second, doc := range []struct {
		by   consumer.QuarantineKeys
		name string
	}{{Keys("other"), "other"}, {keysOf("other", 'p'), "other"}, {keysOf("bin", 'o'), "bin"}} {
		r := Record(e.now.Add(time.Duration(second)*time.Second), fmt.Sprintf("o-%d", second))
		r.Quarantine = doc.name
		id, text, err := quarantine.Encode(doc.by, r)
		if err != nil {
			e.Fatal(err)
		}
		e.Inject(e.T, id, text)
	}
	both, err := Keys("bin").Also(keysOf("other", 'o', 'p')) // under 'o', other wrote a record as bin
	if err != nil {
		e.Fatal(err)
	}
	anyName, err := consumer.AnyQuarantine(bytes.Repeat([]byte{'k'}, consumer.MinQuarantineKey))
	if err != nil {
		e.Fatal(err)
	}
	for _, c := range []struct {
		name string
		keys consumer.QuarantineKeys
		want []string
	}{
		{"its own keys", Keys("bin"), nil},
		{"with those of another", both, []string{"o-1"}},
		{"of any name", anyName, []string{"o-0"}},
	} {
		list := e.list(e.Open(e.T, c.keys), nil)
		if got := claims(list); !slices.Equal(got, c.want) {
			e.Errorf("%s: authentic are %q, want %q", c.name, got, c.want)
		}
		if bad := notAuthentic(list); len(bad) != 3-len(c.want) {
			e.Errorf("%s: not authentic are %+v", c.name, bad)
		}
		for _, entry := range list {
			if entry.Record != nil && entry.Record.Quarantine != "other" {
				e.Errorf("%s: it says %+v", c.name, entry.Record)
			}
		}
	}
}

// junk does not keep the records from being listed.
func junk(e *env) {
	e.put(0, "o-1")
	for i, doc := range []string{"{", "null", strings.Repeat("[", 100_000), "\xff",
		`{"consumer":"billing"}`} {
		e.Inject(e.T, quarantine.TimeID(e.now)+"-"+strings.Repeat(fmt.Sprint(i), 32), []byte(doc))
	}
	list := e.list(e.Store, nil)
	e.want(list, "o-1")
	if bad := notAuthentic(list); len(bad) < 4 { // a queue takes no message that is not UTF-8
		e.Errorf("not authentic are %d", len(bad))
	}
}

func large(e *env) {
	r := Record(e.now, "o-1")
	if e.Fits > 0 {
		r.Message.Body = bytes.Repeat([]byte("x"), e.Fits)
		if err := e.Put(e.Context(), r); err != nil {
			e.Fatal(err)
		}
		if got := e.only(e.Store); !bytes.Equal(got.Record.Message.Body, r.Message.Body) {
			e.Errorf("%d bytes came back", len(got.Record.Message.Body))
		}
	}
	if e.TooLarge > 0 {
		before := len(e.list(e.Store, nil))
		r.Message.Body = bytes.Repeat([]byte("x"), e.TooLarge)
		if err := e.Put(e.Context(), r); err == nil {
			e.Errorf("a body of %d bytes was taken", e.TooLarge)
		}
		if after := len(e.list(e.Store, nil)); after != before {
			e.Errorf("%d records, and then %d", before, after)
		}
	}
}

func concurrentPuts(e *env) {
	const n = 16
	var wg sync.WaitGroup
	want := make([]string, n)
	for i := range n {
		want[i] = fmt.Sprintf("o-%02d", i)
		wg.Go(func() {
			if err := e.Put(e.Context(), Record(e.now, want[i])); err != nil { // all of one moment
				e.Errorf("Put: %v", err)
			}
		})
	}
	wg.Wait()
	e.want(e.list(e.Store, nil), want...)
}

// putWhileListing: what was there is listed once, whatever comes meanwhile.
func putWhileListing(e *env) {
	const n = 12
	for i := range n {
		e.put(2*i, fmt.Sprintf("old-%02d", i))
	}
	seen := make(map[string]int)
	for entry, err := range e.List(e.Context(), nil) {
		if err != nil {
			e.Fatal(err)
		}
		check(e.T, entry)
		if seen[entry.Record.UnverifiedID]++; len(seen) <= 5 {
			e.put(len(seen), fmt.Sprintf("new-%02d", len(seen)))
		}
	}
	for i := range n {
		if id := fmt.Sprintf("old-%02d", i); seen[id] != 1 {
			e.Errorf("%s was listed %d times", id, seen[id])
		}
	}
	for id, times := range seen {
		if times > 1 {
			e.Errorf("%s was listed %d times", id, times)
		}
	}
}

func removeWhileListing(e *env) {
	const n = 12
	for i := range n {
		e.put(i, fmt.Sprintf("o-%02d", i))
	}
	removed := 0
	for entry, err := range e.List(e.Context(), nil) {
		if err != nil {
			e.Fatal(err)
		}
		if entry.Record.UnverifiedID < "o-06" {
			e.remove(entry.ID)
			removed++
		}
	}
	if removed != 6 {
		e.Errorf("%d removed", removed)
	}
	e.want(e.list(e.Store, nil), "o-06", "o-07", "o-08", "o-09", "o-10", "o-11")
}

// stopInTheMiddle: a list that ends after the first record leaves all of them for the next list.
func stopInTheMiddle(e *env) {
	for i := range 3 {
		e.put(i, fmt.Sprintf("o-%d", i))
	}
	for range e.List(e.Context(), nil) {
		break
	}
	e.want(e.list(e.Store, nil), "o-0", "o-1", "o-2")
}

func many(e *env) {
	const n = 120
	want := make(map[string]bool, n)
	for i := range n {
		e.put(i, fmt.Sprintf("o-%03d", i))
		want[fmt.Sprintf("o-%03d", i)] = true
	}
	e.want(e.list(e.Store, nil), slices.Sorted(maps.Keys(want))...)
}

func down(e *env) {
	r := e.put(0, "o-1")
	id := e.only(e.Store).ID
	e.Down(e.T)
	ctx, done := context.WithTimeout(e.Context(), time.Minute)
	defer done()
	r.At = r.At.Add(time.Second)
	if err := e.Put(ctx, r); err == nil {
		e.Error("Put: no error")
	}
	entry, err := e.Get(ctx, id)
	if err == nil || errors.Is(err, quarantine.ErrNotFound) || errors.Is(err, consumer.ErrNotAuthentic) ||
		entry.Record != nil {
		e.Errorf("Get = %+v, %v", entry, err)
	}
	if err := e.Remove(ctx, id); err == nil || errors.Is(err, quarantine.ErrNotFound) {
		e.Errorf("Remove: %v", err)
	}
	failed := false
	for entry, err := range e.List(ctx, nil) {
		failed = failed || err != nil || entry.Err != nil
		if entry.Record != nil {
			e.Errorf("List: %+v", entry)
		}
	}
	if !failed {
		e.Error("List: no error")
	}
}

func cancelled(e *env) {
	e.put(0, "o-1")
	id := e.only(e.Store).ID
	ctx, cancel := context.WithCancel(e.Context())
	cancel()
	if err := e.Put(ctx, Record(e.now, "o-2")); !errors.Is(err, context.Canceled) {
		e.Errorf("Put: %v", err)
	}
	if _, err := e.Get(ctx, id); !errors.Is(err, context.Canceled) {
		e.Errorf("Get: %v", err)
	}
	if err := e.Remove(ctx, id); !errors.Is(err, context.Canceled) {
		e.Errorf("Remove: %v", err)
	}
	var failed error
	for entry, err := range e.List(ctx, nil) {
		if entry.ID != "" {
			e.Errorf("List: %+v", entry)
		}
		failed = err
	}
	if !errors.Is(failed, context.Canceled) {
		e.Errorf("List: %v", failed)
	}
	e.want(e.list(e.Store, nil), "o-1")
}

func keyIsSecret(e *env) {
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		text := fmt.Sprintf(verb, e.Store) + fmt.Sprintf(verb, e.Store.Keys())
		for _, secret := range []string{"kkkk", "6b6b", "107 107", "0x6b, 0x6b"} {
			if strings.Contains(text, secret) {
				e.Errorf("%s prints the key: %s", verb, text)
			}
		}
	}
}
