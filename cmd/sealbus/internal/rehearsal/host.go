package rehearsal

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/sealbus/sealbus/keys/trust"
)

// host has the files of the bundle, each as it was over time.
type host struct {
	files   map[string][]file
	outages []Outage
}

type file struct {
	from    time.Time
	content []byte
}

// bundleFile is the name of the newest bundle on the host.
const bundleFile = "bundle.dsse"

func (h *host) put(now time.Time, name string, content []byte) {
	h.files[name] = append(h.files[name], file{now, content})
}

// get is the newest file of that name at that moment, and its number; 0 = there was none.
func (h *host) get(name string, at time.Time) (content []byte, number int) {
	list := h.files[name]
	n := len(list)
	for n > 0 && list[n-1].from.After(at) {
		n--
	}
	if n == 0 {
		return nil, 0
	}
	return list[n-1].content, n
}

func (h *host) isDown(now time.Time) bool {
	return slices.ContainsFunc(h.outages, func(o Outage) bool {
		return !now.Before(o.From) && now.Before(o.From.Add(o.For))
	})
}

var errOutage = errors.New("the host does not answer")

// view is the host as one program sees it, through the caches and mirrors between.
type view struct {
	host     *host
	clock    *timeline
	name     string
	lag      time.Duration // a cache serves files that are so old
	withheld time.Time     // a mirror serves nothing newer; zero = it does
	cutOff   bool          // the host cannot be reached
	bytes    *int          // that were served
	asked    *int
}

var _ trust.Directory = (*view)(nil)

func (v *view) String() string { return "the bundle's host" }

func (v *view) Beside(name string) trust.Origin {
	c := *v
	c.name = name
	return &c
}

// asOf is the moment from which the files are that the program gets now.
func (v *view) asOf() time.Time {
	at := v.clock.now.Add(-v.lag)
	if !v.withheld.IsZero() && at.After(v.withheld) {
		return v.withheld
	}
	return at
}

func (v *view) Fetch(_ context.Context, etag string) (*trust.Fetched, error) {
	if v.cutOff || v.host.isDown(v.clock.now) {
		return nil, errOutage
	}
	content, number := v.host.get(v.name, v.asOf())
	if number == 0 {
		return nil, trust.ErrNotFound
	}
	*v.asked++
	is := strconv.Itoa(number)
	if etag == is {
		return &trust.Fetched{ETag: is}, nil
	}
	*v.bytes += len(content)
	body := io.NopCloser(bytes.NewReader(content))
	return &trust.Fetched{Body: body, Length: int64(len(content)), ETag: is}, nil
}
