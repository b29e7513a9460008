package redis

import (
	"encoding/binary"
	"errors"

	"github.com/sealbus/sealbus/webhook/sender"
)

// recordVersion begins each record.
const recordVersion = '1'

var errRecord = errors.New("sender: a record of Redis that cannot be read")

// appendRecord writes the part of a delivery that does not change: the version, "o" or "u", the digest, and
// the four texts, each after its length (uvarint).
func appendRecord(dst []byte, d *sender.Delivery) []byte {
	kind := byte('u')
	if d.Ordered {
		kind = 'o'
	}
	dst = append(append(dst, recordVersion, kind), d.Digest[:]...)
	for _, text := range [][]byte{[]byte(d.Endpoint), []byte(d.ID), []byte(d.ContentType), d.Body} {
		dst = append(binary.AppendUvarint(dst, uint64(len(text))), text...)
	}
	return dst
}

// parseRecord reads what appendRecord writes. Each delivery has one text. The result has a body of its own.
func parseRecord(text string) (sender.Delivery, error) {
	var d sender.Delivery
	const fixed = 2 + len(d.Digest)
	if len(text) < fixed || text[0] != recordVersion || text[1] != 'o' && text[1] != 'u' {
		return sender.Delivery{}, errRecord
	}
	d.Ordered = text[1] == 'o'
	copy(d.Digest[:], text[2:])
	rest := text[fixed:]
	var texts [4]string
	for i := range texts {
		var head [binary.MaxVarintLen64]byte
		size, n := binary.Uvarint(head[:copy(head[:], rest)])
		if n <= 0 || n > 1 && rest[n-1] == 0 || size > uint64(len(rest)-n) {
			return sender.Delivery{}, errRecord
		}
		texts[i], rest = rest[n:n+int(size)], rest[n+int(size):]
	}
	d.Endpoint, d.ID, d.ContentType, d.Body = texts[0], texts[1], texts[2], []byte(texts[3])
	if rest != "" || d.Check() != nil {
		return sender.Delivery{}, errRecord
	}
	return d, nil
}
