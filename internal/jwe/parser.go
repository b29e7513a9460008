package jwe

import (
	"bytes"
	"encoding/binary"
	"sync"
)

// Bounds of the memory of a Parser. It is enough for 16 producers with as many kinds of content each. With
// headers of one or two kilobytes it takes a few hundred kilobytes.
const (
	parserHeaders = 256
	parserText    = 8 << 10 // bytes of the headers of one message: larger ones are read each time
)

// Parser reads messages as the function Parse does, and remembers the headers that it has read. All messages
// under one content key have the same headers, byte by byte. The result is the same as that of Parse. It is
// safe for concurrent use. The zero value is ready.
type Parser struct {
	mu    sync.RWMutex
	known map[string]*headers // by memberText
}

// headersOf is m.parseHeaders. A nil Parser remembers nothing.
func (p *Parser) headersOf(m *members) (*headers, error) {
	size := len(m.protected) + len(m.recipients)
	if p == nil || size > parserText || m.recipients == nil || m.unprotected != nil {
		return m.parseHeaders()
	}
	var room [2 << 10]byte
	text := binary.BigEndian.AppendUint32(room[:0], uint32(len(m.protected)))
	text = append(append(text, m.protected...), m.recipients...)
	p.mu.RLock()
	h := p.known[string(text)]
	p.mu.RUnlock()
	if h != nil {
		return h, nil
	}
	return p.remember(text, m)
}

// remember reads the headers out of a copy, so that the kept headers do not keep the message in memory.
func (p *Parser) remember(text []byte, m *members) (*headers, error) {
	own := members{protected: bytes.Clone(m.protected), recipients: bytes.Clone(m.recipients)}
	h, err := own.parseHeaders()
	if err != nil {
		return nil, err
	}
	for i := range h.Keys {
		digest := h.Keys[i].Digest()
		h.Keys[i].digest = &digest
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known == nil || len(p.known) >= parserHeaders {
		p.known = make(map[string]*headers)
	}
	p.known[string(text)] = h
	return h, nil
}
