package trust

import (
	"maps"
	"slices"

	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/keydoc"
)

// withdrawn are revocations that timestamps made. It is immutable, and its zero value has none.
type withdrawn struct {
	keys     map[string]Withdrawal
	sessions map[string]int64
}

func withdrawnBy(ts *Timestamp) withdrawn { return withdrawn{ts.Revoked, ts.RevokedSessions} }

func (w withdrawn) len() int { return len(w.keys) + len(w.sessions) }

// plus are the revocations of both. Of two moments of one revocation the earlier one counts, and of two
// versions the higher one: so no timestamp weakens what another one said.
func (w withdrawn) plus(other withdrawn) withdrawn {
	sum := withdrawn{cloneMap(w.keys), cloneMap(w.sessions)}
	for id, r := range other.keys {
		if was, ok := sum.keys[id]; ok {
			r.Since = max(r.Since, was.Since)
			if !r.At.Before(was.At) {
				r.Revocation = was.Revocation
			}
		}
		sum.keys[id] = r
	}
	for id, since := range other.sessions {
		sum.sessions[id] = max(sum.sessions[id], since)
	}
	return sum
}

// after are those on which a bundle that decided up to that version did not decide.
func (w withdrawn) after(decided int64) withdrawn {
	left := withdrawn{cloneMap(w.keys), cloneMap(w.sessions)}
	maps.DeleteFunc(left.keys, func(_ string, r Withdrawal) bool { return r.Since <= decided })
	maps.DeleteFunc(left.sessions, func(_ string, since int64) bool { return since <= decided })
	return left
}

// upTo are the same, since that version at most.
func (w withdrawn) upTo(version int64) withdrawn {
	most := withdrawn{cloneMap(w.keys), cloneMap(w.sessions)}
	for id, r := range most.keys {
		r.Since = min(r.Since, version)
		most.keys[id] = r
	}
	for id, since := range most.sessions {
		most.sessions[id] = min(since, version)
	}
	return most
}

// equals compares w with what it was before others were added, so that a reason changes only with its moment.
func (w withdrawn) equals(other withdrawn) bool {
	return maps.Equal(w.sessions, other.sessions) &&
		maps.EqualFunc(w.keys, other.keys, func(a, b Withdrawal) bool {
			return a.Since == b.Since && a.At.Equal(b.At)
		})
}

// cloneMap also copies nil to a map that can be written to.
func cloneMap[V any](m map[string]V) map[string]V {
	c := make(map[string]V, len(m))
	maps.Copy(c, m)
	return c
}

func appendRevoked(list map[string]Withdrawal) []byte {
	ids := slices.Sorted(maps.Keys(list))
	return keydoc.AppendArray(nil, ids, func(dst []byte, id string) []byte {
		var r keydoc.Object
		r.Time("at", list[id].At)
		r.String("kid", id)
		r.String("reason", list[id].Reason)
		r.Int("since", list[id].Since)
		return r.Append(dst)
	})
}

func appendSessions(list map[string]int64) []byte {
	ids := slices.Sorted(maps.Keys(list))
	return keydoc.AppendArray(nil, ids, func(dst []byte, id string) []byte {
		var r keydoc.Object
		r.String("kid", id)
		r.Int("since", list[id])
		return r.Append(dst)
	})
}

// readRevoked reads at most that many revocations. The caller compares the canonical form, in which no ID is
// twice.
func readRevoked(r *jsontext.Decoder, most int) map[string]Withdrawal {
	list := map[string]Withdrawal{}
	n := 0
	for a := r.Array(); r.Element(&a); n++ {
		if n == most {
			r.Failf("more than %d revoked keys", most)
			return nil
		}
		var id string
		var is Withdrawal
		for obj := r.Object(); r.Member(&obj); {
			switch name := string(obj.Name); name {
			case "at":
				is.At = keydoc.ReadTime(r)
			case "kid":
				id = r.String()
			case "reason":
				is.Reason = r.String()
			case "since":
				is.Since = r.Int()
			default:
				r.Failf("unknown member %q in a revocation", keydoc.Clip(name))
			}
		}
		list[id] = is
	}
	return list
}

// readSessions is as readRevoked.
func readSessions(r *jsontext.Decoder, most int) map[string]int64 {
	list := map[string]int64{}
	n := 0
	for a := r.Array(); r.Element(&a); n++ {
		if n == most {
			r.Failf("more than %d revoked sessions", most)
			return nil
		}
		var id string
		var since int64
		for obj := r.Object(); r.Member(&obj); {
			switch name := string(obj.Name); name {
			case "kid":
				id = r.String()
			case "since":
				since = r.Int()
			default:
				r.Failf("unknown member %q in a revocation", keydoc.Clip(name))
			}
		}
		list[id] = since
	}
	return list
}
