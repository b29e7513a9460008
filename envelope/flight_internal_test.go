package envelope

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sealbus/sealbus/internal/jwe"
)

// The key of a call is zeroed when the last caller has given it back. It is also zeroed if all callers left
// before the call returned it.
func TestSharedCallLeavesNoKeyBehind(t *testing.T) {
	for name, test := range map[string]struct {
		leave int // of three callers, before the call returns
	}{
		"all stay": {0}, "one leaves": {1}, "all leave": {3},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var f flights[string, *unwrapped]
				going := make(chan struct{})
				made := &unwrapped{sharedKey: sharedKey{key: jwe.NewContentKey()}}
				made.users.Store(1)
				got := make(chan *unwrapped, 3)
				var leave []context.CancelFunc
				for range 3 {
					ctx, cancel := context.WithCancel(t.Context())
					leave = append(leave, cancel)
					go func() {
						k, err := f.do(ctx, "a", morning, func(context.Context) (*unwrapped, error) {
							<-going // it does not heed its context
							return made, nil
						})
						if (k == nil) != errors.Is(err, context.Canceled) {
							t.Errorf("got %v, %v", k, err)
						}
						got <- k
					}()
					synctest.Wait()
				}
				for _, cancel := range leave[:test.leave] {
					cancel()
				}
				synctest.Wait()
				close(going)
				synctest.Wait()
				for range 3 {
					k := <-got
					if k == nil {
						continue
					}
					if _, err := k.key.Bytes(); err != nil {
						t.Errorf("zeroed in use: %v", err)
					}
					k.addUsers(-1)
				}
				if _, err := made.key.Bytes(); err == nil || made.users.Load() != 0 {
					t.Errorf("not zeroed, with %d users", made.users.Load())
				}
				for _, cancel := range leave {
					cancel()
				}
			})
		})
	}
}

// A caller whose context ends in the moment in which the call returns is counted once, whatever it gets.
func TestSharedCallEndsWithItsCaller(t *testing.T) {
	for range 100 {
		synctest.Test(t, func(t *testing.T) {
			var f flights[string, *unwrapped]
			made := &unwrapped{sharedKey: sharedKey{key: jwe.NewContentKey()}}
			made.users.Store(1)
			ctx, leave := context.WithCancel(t.Context())
			k, err := f.do(ctx, "a", morning, func(context.Context) (*unwrapped, error) {
				leave()
				return made, nil
			})
			if err == nil {
				k.addUsers(-1)
			}
			synctest.Wait()
			if n := made.users.Load(); n != 0 {
				t.Fatalf("%d users are left", n)
			}
		})
	}
}

// The error of a call is remembered for a second. A call that was cancelled because its callers left is no
// failure.
func TestSharedCallFails(t *testing.T) {
	var f flights[string, *unwrapped]
	failure := errors.New("down")
	calls := 0
	do := func(ctx context.Context, after time.Duration) error {
		_, err := f.do(ctx, "a", morning.Add(after), func(context.Context) (*unwrapped, error) {
			calls++
			return nil, failure
		})
		return err
	}
	for _, test := range []struct {
		after time.Duration
		calls int
	}{{0, 1}, {restAfterError / 2, 1}, {2 * restAfterError, 2}} {
		if err := do(t.Context(), test.after); !errors.Is(err, failure) || calls != test.calls {
			t.Errorf("after %s: %v, %d calls, want %d", test.after, err, calls, test.calls)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		var f flights[string, *unwrapped]
		ctx, leave := context.WithCancel(t.Context())
		go leave()
		_, err := f.do(ctx, "a", morning, func(ctx context.Context) (*unwrapped, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		synctest.Wait()
		if !errors.Is(err, context.Canceled) || len(f.under)+len(f.rests) != 0 {
			t.Errorf("got %v, %d calls and %d errors are remembered", err, len(f.under), len(f.rests))
		}
	})
}
