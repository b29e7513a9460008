package webhook

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// arrive reads a body of n bytes, and holds it until release is closed.
func arrive(b *Budget, n int, release <-chan struct{}) error {
	_, held, err := readBody(bytes.NewReader(make([]byte, n)), int64(n), 1<<20, b)
	defer b.give(held)
	if err == nil {
		<-release
	}
	return err
}

// empty checks that nothing is left in the count of the Budget.
func empty(t *testing.T, b *Budget) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.used != 0 || b.due != 0 || len(b.waiting) != 0 {
		t.Errorf("left in the budget: %d held, %d due, %d waiting", b.used, b.due, len(b.waiting))
	}
}

// TestBodiesWaitInTheirOrder: a small body that came later does not overtake a large one, so large ones do
// not starve.
func TestBodiesWaitInTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &Budget{limit: 100}
		ends, free := make([]chan struct{}, 4), make(chan struct{})
		var order []int
		for i, n := range []int{60, 80, 10, 90} {
			ends[i] = make(chan struct{})
			go func() {
				_, held, err := readBody(bytes.NewReader(make([]byte, n)), int64(n), 1<<20, b)
				if err != nil {
					t.Errorf("body %d: %v", i, err)
				}
				b.mu.Lock()
				order = append(order, i)
				b.mu.Unlock()
				<-ends[i]
				b.give(held)
				free <- struct{}{}
			}()
			synctest.Wait()
		}
		if !slices.Equal(order, []int{0}) {
			t.Errorf("at first %v are read", order)
		}
		close(ends[0])
		<-free
		synctest.Wait()
		if slices.Sort(order[1:]); !slices.Equal(order, []int{0, 1, 2}) {
			t.Errorf("then %v are read", order)
		}
		for _, end := range ends[1:] {
			close(end)
			<-free
		}
		empty(t, b)
	})
}

// TestWaitingHasAnEnd: without room a body is refused after 2 s, and no byte of it was read. Beyond 256 that
// wait, it is refused at once.
func TestWaitingHasAnEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &Budget{limit: 100}
		release := make(chan struct{})
		go func() { _ = arrive(b, 100, release) }()
		synctest.Wait()
		unread := bytes.NewReader([]byte("x"))
		began := time.Now()
		if _, held, err := readBody(unread, 1, 8, b); !errors.Is(err, errBusy) || held != 0 ||
			unread.Len() != 1 || time.Since(began) != roomPatience {
			t.Errorf("after %v: %v, %d held, %d not read", time.Since(began), err, held, unread.Len())
		}
		for range maxWaiting {
			go func() { _ = arrive(b, 1, release) }()
		}
		synctest.Wait()
		began = time.Now()
		if err := arrive(b, 1, release); !errors.Is(err, errBusy) || time.Since(began) != 0 {
			t.Errorf("beyond those that may wait: %v after %v", err, time.Since(began))
		}
		close(release)
		synctest.Wait()
		empty(t, b)
	})
}

// TestEmptyPromisesKeepNoneOut: senders who announce all that there is and send nothing hold almost nothing.
// A body beside them waits, and then is read.
func TestEmptyPromisesKeepNoneOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &Budget{limit: 1 << 20}
		stalled, more := io.Pipe()
		defer more.Close()
		for range 3 {
			go func() {
				_, held, _ := readBody(stalled, 1<<20, 1<<20, b)
				b.give(held)
			}()
			synctest.Wait()
		}
		done := make(chan struct{})
		close(done)
		began := time.Now()
		if err := arrive(b, 1<<19, done); err != nil || time.Since(began) > roomPatience {
			t.Errorf("beside empty promises: %v after %v", err, time.Since(began))
		}
		_ = more.Close() // ends all of them
		synctest.Wait()
		empty(t, b)
	})
}

// TestPromisesAreKept: of bodies that together are too large only those are read that fit, so none of them
// fails in its middle.
func TestPromisesAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &Budget{limit: 100_000}
		first, second := make(chan error, 1), make(chan error, 1)
		slow, sender := io.Pipe()
		go func() {
			_, held, err := readBody(slow, 80_000, 1<<20, b)
			b.give(held)
			first <- err
		}()
		synctest.Wait()
		done := make(chan struct{})
		close(done)
		go func() { second <- arrive(b, 50_000, done) }()
		synctest.Wait()
		if _, err := sender.Write(make([]byte, 80_000)); err != nil {
			t.Error(err)
		}
		_ = sender.Close()
		if a, b := <-first, <-second; a != nil || b != nil {
			t.Errorf("the first: %v, the second: %v", a, b)
		}
		empty(t, b)
	})
}
