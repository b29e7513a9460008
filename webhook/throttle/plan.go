package throttle

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/sealbus/sealbus/internal/gcra"
)

// The bounds of a Plan. Beyond them a number is a mistake.
const (
	minRate  = 1e-6 // requests a second: one in eleven days
	maxRate  = 1e6
	maxBurst = 1_000_000
	maxDaily = 1e12
)

// maxLimits bounds the limits of one request: its client's and its tenant's are two.
const maxLimits = 4

// maxKey bounds the Key of a Limit, in bytes. A client ID of Amazon Cognito has 26.
const maxKey = 512

// day is the period of a quota.
const day = 24 * time.Hour

// ErrUnavailable says that a limiter cannot tell whether a request may be made: answer 503. It is transient.
var ErrUnavailable = errors.New("throttle: the limiter is not available")

// Plan is how much one client or one tenant may ask for.
type Plan struct {
	Rate  float64 // requests a second in the long run, from 0.000001 to 1,000,000; required
	Burst int     // requests at once, up to 1,000,000; 0 = Rate, rounded up
	Daily int64   // requests a day, from 00:00 UTC on, up to 10^12; 0 = no quota
}

// Check refuses a Plan without a Rate, and numbers out of bounds.
func (p Plan) Check() error {
	switch {
	case !(p.Rate >= minRate && p.Rate <= maxRate):
		return fmt.Errorf("the rate is %v: give from 0.000001 to 1000000 requests a second", p.Rate)
	case p.Burst < 0 || p.Burst > maxBurst:
		return fmt.Errorf("the burst is %d: give up to %d requests, or 0 for the rate", p.Burst, maxBurst)
	case p.Daily < 0 || p.Daily > maxDaily:
		return fmt.Errorf("the daily quota is %d: give up to 10^12 requests, or 0 for none", p.Daily)
	}
	return nil
}

// AtOnce is the burst: Burst, or Rate rounded up.
func (p Plan) AtOnce() int {
	if p.Burst > 0 {
		return p.Burst
	}
	return int(math.Ceil(p.Rate))
}

func (p Plan) rate() gcra.Rate { return gcra.PerSecond(p.Rate, p.AtOnce()) }

// Limit is a Plan and whose it is.
type Limit struct {
	// Policy is the name of the limit, which callers see in RateLimit: 1 to 32 of a-z, 0-9 and "-", such as
	// "client" or "tenant".
	Policy string
	// Key says whose limit it is, such as the ID of the client, in up to 512 bytes. No caller sees it.
	// Policy and Key together name what is counted.
	Key  string
	Plan Plan
}

// Limiter counts requests. It is safe for concurrent use.
type Limiter interface {
	// Take counts one request against all limits, one to four, or against none if one of them refuses it.
	// An error that is ErrUnavailable is transient; any other is about limits that are none.
	Take(ctx context.Context, limits []Limit) (Verdict, error)
}

// CheckLimits refuses limits that are none. Each Limiter calls it.
func CheckLimits(limits []Limit) error {
	if len(limits) == 0 || len(limits) > maxLimits {
		return fmt.Errorf("throttle: %d limits: give 1 to %d", len(limits), maxLimits)
	}
	for i := range limits {
		l := &limits[i]
		const letters = "abcdefghijklmnopqrstuvwxyz0123456789-"
		switch {
		case l.Policy == "" || len(l.Policy) > 32 || strings.Trim(l.Policy, letters) != "":
			return fmt.Errorf(`throttle: the policy %.40q: give 1 to 32 of a-z, 0-9 and "-"`, l.Policy)
		case l.Key == "" || len(l.Key) > maxKey:
			return fmt.Errorf("throttle: the limit %s has a key of %d bytes: give 1 to %d", l.Policy, len(l.Key),
				maxKey)
		}
		if err := l.Plan.Check(); err != nil {
			return fmt.Errorf("throttle: the limit %s: %w", l.Policy, err)
		}
		for j := range i {
			if limits[j].Policy == l.Policy {
				return fmt.Errorf("throttle: two limits have the policy %s", l.Policy)
			}
		}
	}
	return nil
}
