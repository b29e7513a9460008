package trust

import (
	"context"
	"time"
)

// await fetches if that is due, and shares the fetch with other callers. If there is a usable bundle and
// settle is true, it does not wait for an origin that fails while another caller waits already.
func (s *RemoteSource) await(ctx context.Context, due func(*remoteState, time.Time) bool, settle bool) error {
	if !settle {
		return s.shared.Await(ctx, due, nil)
	}
	return s.shared.Await(ctx, due, func(state *remoteState) (can, failing bool) {
		return state.held.isAlive(s.now()), state.err != nil
	})
}
