package dev

import (
	"crypto/sha256"
	"encoding/json"
)

// notTheFirst is a copy of an event that came before, or another event with its ID.
const notTheFirst = "not the first"

// mostPast is how many messages are remembered.
const mostPast = 10_000

// past remembers of messages what a later line needs. The oldest are forgotten. The zero value is ready.
type past struct {
	known map[[sha256.Size]byte]bool
	next  [][sha256.Size]byte // in their order, the oldest first
}

// nameOf is of a message at a consumer; the consumer "" = any.
func (p *past) nameOf(what, consumer string, body []byte) [sha256.Size]byte {
	sum := sha256.Sum256(body)
	return sha256.Sum256([]byte(what + "\x00" + consumer + "\x00" + string(sum[:])))
}

func (p *past) note(what, consumer string, body []byte) {
	name := p.nameOf(what, consumer, body)
	if p.known[name] {
		return
	}
	if p.known == nil {
		p.known = map[[sha256.Size]byte]bool{}
	}
	if len(p.next) == mostPast {
		delete(p.known, p.next[0])
		p.next = p.next[1:]
	}
	p.known[name], p.next = true, append(p.next, name)
}

func (p *past) has(what, consumer string, body []byte) bool {
	return p.known[p.nameOf(what, consumer, body)]
}

// take is has, and forgets it: the message may come again, and then end otherwise.
func (p *past) take(what, consumer string, body []byte) bool {
	name := p.nameOf(what, consumer, body)
	had := p.known[name]
	delete(p.known, name)
	return had
}

// bodyOf is the message that a record in quarantine has, as it was delivered; nil = this is no record.
func bodyOf(record string) []byte {
	var r struct{ Body []byte }
	_ = json.Unmarshal([]byte(record), &r) // whatever it has
	return r.Body
}
