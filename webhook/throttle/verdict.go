package throttle

import (
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/sealbus/sealbus/webhook"
)

// ErrThrottled is the Err of a Response about too many requests.
var ErrThrottled = errors.New("throttle: too many requests")

// Verdict says whether a request may be made, and what is left of its limits.
type Verdict struct {
	Wait   time.Duration // above 0 = it may not be made, and may be after that time
	States []State       // of the limits, in their order
}

// State is what is left of a Limit after a request.
type State struct {
	Policy string
	Plan   Plan
	Left   int           // requests that may be made at once
	Full   time.Duration // until the whole burst is there again

	DailyLeft int64         // requests that are left of the day; 0 if the Plan has no quota
	Midnight  time.Duration // until the next quota begins
}

// Fields are RateLimit-Policy and RateLimit for the answer to a caller who is known: each plan has a policy
// of its burst, in the time in which it comes again, and one of its day. Give them with every answer, or with
// 429 alone.
// https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-ratelimit-headers-10#section-3
func (v *Verdict) Fields() []webhook.Field {
	var policies, left []byte
	for i := range v.States {
		s := &v.States[i]
		burst := s.Plan.AtOnce()
		window := int64(math.Ceil(float64(burst) / s.Plan.Rate))
		policies = appendItem(policies, s.Policy, "", 'q', int64(burst), 'w', max(window, 1))
		left = appendItem(left, s.Policy, "", 'r', int64(s.Left), 't', seconds(s.Full))
		if s.Plan.Daily > 0 {
			policies = appendItem(policies, s.Policy, "-day", 'q', s.Plan.Daily, 'w', int64(day/time.Second))
			left = appendItem(left, s.Policy, "-day", 'r', s.DailyLeft, 't', seconds(s.Midnight))
		}
	}
	return []webhook.Field{{Name: "RateLimit-Policy", Value: string(policies)},
		{Name: "RateLimit", Value: string(left)}}
}

// appendItem appends an Item with two parameters to a List (RFC 9651, sections 3.1 and 3.3).
func appendItem(list []byte, policy, suffix string, a byte, x int64, b byte, y int64) []byte {
	if len(list) > 0 {
		list = append(list, ", "...)
	}
	list = append(append(append(append(list, '"'), policy...), suffix...), '"', ';', a, '=')
	list = append(strconv.AppendInt(list, x, 10), ';', b, '=')
	return strconv.AppendInt(list, y, 10)
}

// seconds is d in whole seconds, rounded up: a caller who waits for them is not refused again.
func seconds(d time.Duration) int64 {
	return int64(d/time.Second) + min(int64(d%time.Second), 1)
}

// Response is the answer to a request that may not be made: 429, with Retry-After and the Fields.
func (v *Verdict) Response() webhook.Response {
	r := webhook.Refusal(http.StatusTooManyRequests, v.Wait, ErrThrottled)
	r.Header = append(r.Header, v.Fields()...)
	return r
}
