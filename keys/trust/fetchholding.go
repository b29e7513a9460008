package trust

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/keydoc"
)

// holdingFormat is the first member of the head of a state file with a holding.
const holdingFormat = "sealbus/trust-state/v2"

const (
	// maxHoldingHead bounds that head, in bytes: maxRemembered revocations with long reasons.
	maxHoldingHead = 12 << 20
	// maxHolding bounds the file, in bytes.
	maxHolding = maxHoldingHead + (1+maxKeptSteps)*keydoc.MaxRoots + keydoc.MaxTimestamp + keydoc.MaxSigned
)

// keptHolding is a state file with a holding, of which no signature was verified yet: a line of canonical
// JSON,
//
//	{"format","latest","payload","revoked","revoked_sessions","sizes","until","version"}
//
// and then the payload of roots, the signed roots that follow them, the signed timestamp and the signed
// bundle, whose sizes the line has in bytes. The line is believed, because only this program writes the file.
// The documents are verified each time.
type keptHolding struct {
	head              holding // without documents
	chain             chain   // not verified
	timestamp, bundle []byte
}

func (h *holding) appendState(dst []byte) []byte {
	documents := slices.Concat([][]byte{h.first}, h.steps, [][]byte{h.signedTimestamp, h.signedBundle})
	var sizes []int64
	for _, doc := range documents {
		sizes = append(sizes, int64(len(doc)))
	}
	dst = append(h.appendHead(dst, sizes), '\n')
	return append(dst, slices.Concat(documents...)...)
}

func (h *holding) appendHead(dst []byte, sizes []int64) []byte {
	var o keydoc.Object
	o.String("format", holdingFormat)
	o.Time("latest", h.latest)
	if h.seen.version > 0 {
		o.String("payload", base64.RawURLEncoding.EncodeToString(h.seen.digest[:]))
		o.Int("version", h.seen.version)
	}
	if len(h.revoked.keys) > 0 {
		o.Raw("revoked", appendRevoked(h.revoked.keys))
	}
	if len(h.revoked.sessions) > 0 {
		o.Raw("revoked_sessions", appendSessions(h.revoked.sessions))
	}
	o.Raw("sizes", keydoc.AppendArray(nil, sizes, func(dst []byte, n int64) []byte {
		return fmt.Append(dst, n)
	}))
	o.Time("until", h.until)
	return o.Append(dst)
}

// isHolding reports whether a state file has a holding.
func isHolding(doc []byte) bool { return bytes.HasPrefix(doc, []byte(`{"format":"`+holdingFormat+`"`)) }

// parseHolding reads a state file with a holding, in its one form only.
func parseHolding(doc []byte) (*keptHolding, error) {
	if len(doc) > maxHolding {
		return nil, errors.New("it is too large")
	}
	head, rest, ok := bytes.Cut(doc, []byte("\n"))
	if !ok || len(head) > maxHoldingHead {
		return nil, errors.New("it has no head")
	}
	k := &keptHolding{}
	sizes, err := k.head.parseHead(head)
	if err != nil {
		return nil, err
	}
	documents := make([][]byte, len(sizes))
	for i, size := range sizes {
		most := keydoc.MaxRoots
		switch i - len(sizes) {
		case -1:
			most = keydoc.MaxSigned
		case -2:
			most = keydoc.MaxTimestamp
		}
		if size < 0 || size > int64(most) || size > int64(len(rest)) {
			return nil, errors.New("its sizes are not those of its documents")
		}
		documents[i], rest = rest[:size:size], rest[size:]
	}
	if len(rest) > 0 {
		return nil, errors.New("it has bytes after its documents")
	}
	n := len(sizes) - 2
	k.timestamp, k.bundle = documents[n], documents[n+1]
	k.chain, err = parseChain(documents[:n])
	return k, err
}

func (h *holding) parseHead(head []byte) (sizes []int64, err error) {
	var digest string
	r := jsontext.NewDecoder(head)
	for obj := r.Object(); r.Member(&obj); {
		switch name := string(obj.Name); name {
		case "format":
			r.SkipValue() // isHolding looked at it
		case "latest":
			h.latest = keydoc.ReadTime(&r)
		case "payload":
			digest = r.String()
		case "revoked":
			h.revoked.keys = readRevoked(&r, maxRemembered)
		case "revoked_sessions":
			h.revoked.sessions = readSessions(&r, maxRemembered)
		case "sizes":
			for a := r.Array(); r.Element(&a) && len(sizes) < maxKeptSteps+4; {
				sizes = append(sizes, r.Int())
			}
		case "until":
			h.until = keydoc.ReadTime(&r)
		case "version":
			h.seen.version = r.Int()
		default:
			r.Failf("unknown member %q", keydoc.Clip(name))
		}
	}
	if err := r.End(); err != nil {
		return nil, err
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(digest)
	if err != nil || h.seen.version < 0 || h.seen.version > maxBundleVersion ||
		len(sizes) < 3 || len(sizes) > maxKeptSteps+3 ||
		len(raw) != len(h.seen.digest) && h.seen.version > 0 {
		return nil, errors.New("its head has no digest, no sizes, or a version that is not within 1 to 2^53-1")
	}
	copy(h.seen.digest[:], raw)
	if string(h.appendHead(nil, sizes)) != string(head) {
		return nil, keydoc.ErrNotCanonical
	}
	return sizes, h.checkMemory()
}

// holding verifies the documents under the roots of the file, and then under those of known, which may be
// newer or older. Documents that do not verify under the roots of the file are damaged, and are not
// forgotten. Documents that known has as well are not verified again.
func (k *keptHolding) holding(minVersion int64, known *holding) (*holding, error) {
	newest, err := known.extended(k.chain)
	if err != nil {
		return nil, err
	}
	h := k.head
	h.chain = k.chain
	if len(k.timestamp) > 0 {
		if h.timestamp, err = openTimestamp(k.timestamp, h.roots); err != nil {
			return nil, fmt.Errorf("its timestamp: %w", err)
		}
		h.signedTimestamp = k.timestamp
	}
	h.latest = time.Time{} // older programs kept the latest of all
	if h.timestamp != nil {
		h.latest = h.timestamp.Issued
	}
	if err := h.readBundle(k.bundle, known); err != nil {
		return nil, fmt.Errorf("its bundle: %w", err)
	}
	if h.bundle != nil && h.bundle.version < minVersion {
		h.bundle = nil
	}
	if newest.roots.version > h.roots.version {
		return h.adopt(newest), nil
	}
	h.chain = newest // with the same roots
	h.settle()
	return &h, nil
}

// readBundle reads the bundle of a state file. The roots verify its signatures, and need not take it.
func (h *holding) readBundle(signed []byte, known *holding) error {
	if len(signed) == 0 {
		return nil
	}
	h.signedBundle = signed
	if known.bundle != nil && known.seen == h.seen && bytes.Equal(signed, known.signedBundle) &&
		string(h.roots.Payload()) == string(known.roots.Payload()) {
		h.bundle = known.bundle
		return nil
	}
	e, err := parseSigned(signed)
	if err == nil {
		err = h.roots.verify(e)
	}
	if err != nil {
		return err
	}
	b, err := ParseBundle(e.Payload)
	switch {
	case err != nil:
		return err
	case e.PayloadType != keydoc.BundleType || seenOf(b) != h.seen:
		return errors.New("its head is that of another one")
	}
	h.bundle = b
	return nil
}

// ofOld is the holding of a state file of a time without roots in it. If the roots do not verify its bundle,
// the bundle is not used, but its version counts.
func (k *kept) ofOld(minVersion int64, c chain) (*holding, error) {
	h := &holding{chain: c, seen: k.seen}
	switch b, err := openAnyTime(k.signed, c.roots); {
	case err == nil && b.version != k.version:
		return nil, errors.New("its head names another version than its bundle")
	case err == nil:
		if h.signedBundle = k.signed; b.version >= minVersion {
			h.bundle = b
		}
	}
	h.settle()
	return h, nil
}

// recallHolding is what the state file holds, under the roots of known or newer ones in the file, which
// follow them. A file that cannot be read is an error and does not count as none: an attacker who can damage
// the file could otherwise roll back the trust.
func recallHolding(path string, minVersion int64, known *holding) (*holding, error) {
	none := &holding{chain: known.chain}
	if path == "" {
		return none, nil
	}
	doc, err := readOwn(path, maxHolding)
	if errors.Is(err, fs.ErrNotExist) {
		return none, nil
	}
	if err != nil {
		return nil, fmt.Errorf("state file: %w", err)
	}
	var h *holding
	if isHolding(doc) {
		var k *keptHolding
		if k, err = parseHolding(doc); err == nil {
			h, err = k.holding(minVersion, known)
		}
	} else {
		var k *kept
		if k, err = parseState(doc); err == nil {
			h, err = k.ofOld(minVersion, known.chain)
		}
	}
	if why := whyOf(err); why == WhyRollback || why == WhyEquivocate {
		return nil, fmt.Errorf("state file %s: %w", path, err)
	}
	if err != nil {
		return nil, damagedState(path, err)
	}
	return h, nil
}

// keepHolding joins the holding with that in the state file, which another process may have written, and
// writes the result. A refusal is a *BundleError. With every other error, which is about the file, the
// holding that was given is the result. A bundle in the file that is lower than minVersion stays there, and
// is not in use here.
func keepHolding(ctx context.Context, path string, minVersion int64, next *holding) (*holding, error) {
	if path == "" {
		return next, nil
	}
	unlock, err := lockState(ctx, path+".lock")
	if err != nil {
		return next, fmt.Errorf("locking state file %s: %w: check the directory and who may write there", path, err)
	}
	defer unlock()
	was, err := recallHolding(path, minVersion, next)
	if err != nil {
		return next, err
	}
	joined, err := next.join(was)
	if err != nil {
		return next, fmt.Errorf("state file %s: %w", path, err)
	}
	if err := swapIn(path, joined.appendState(nil)); err != nil {
		return joined, fmt.Errorf("writing state file %s: %w: check the directory and the space on the disk",
			path, err)
	}
	return joined, nil
}

// isAlive reports whether the bundle in use may still be used.
func (h *holding) isAlive(now time.Time) bool {
	return h.view != nil && h.clock(now).Before(h.view.expires)
}
