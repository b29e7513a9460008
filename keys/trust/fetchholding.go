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
	// maxHeldRoots bounds the roots in the file, in bytes: 32 keys, all of ML-DSA, in JSON.
	maxHeldRoots = 256 << 10
	// maxHolding bounds the file, in bytes.
	maxHolding = maxHoldingHead + maxHeldRoots + keydoc.MaxTimestamp + keydoc.MaxSigned
)

// keptHolding is a state file with a holding, of which no signature was verified yet: a line of canonical
// JSON,
//
//	{"format","latest","payload","revoked","revoked_sessions","sizes","until","version"}
//
// and then the roots, the signed timestamp and the signed bundle, whose sizes the line has in bytes. The line
// is believed, because only this program writes the file. The documents are verified each time.
type keptHolding struct {
	head                     holding // without documents
	roots, timestamp, bundle []byte
}

func (h *holding) appendState(dst []byte, roots *Roots) []byte {
	documents := [][]byte{roots.Payload(), h.signedTimestamp, h.signedBundle}
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
	limits := []int{maxHeldRoots, keydoc.MaxTimestamp, keydoc.MaxSigned}
	for i, into := range []*[]byte{&k.roots, &k.timestamp, &k.bundle} {
		if sizes[i] < 0 || sizes[i] > int64(limits[i]) || sizes[i] > int64(len(rest)) {
			return nil, errors.New("its sizes are not those of its documents")
		}
		*into, rest = rest[:sizes[i]:sizes[i]], rest[sizes[i]:]
	}
	if len(rest) > 0 {
		return nil, errors.New("it has bytes after its documents")
	}
	return k, nil
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
			for a := r.Array(); r.Element(&a) && len(sizes) < 4; {
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
	if err != nil || h.seen.version < 0 || h.seen.version > maxBundleVersion || len(sizes) != 3 ||
		len(raw) != len(h.seen.digest) && h.seen.version > 0 {
		return nil, errors.New("its head has no digest, no sizes, or a version that is not within 1 to 2^53-1")
	}
	copy(h.seen.digest[:], raw)
	if string(h.appendHead(nil, sizes)) != string(head) {
		return nil, keydoc.ErrNotCanonical
	}
	return sizes, h.checkMemory()
}

// checkRoots refuses roots that may not follow those in the file. isSame = they are the same.
func (k *keptHolding) checkRoots(roots *Roots) (isSame bool, err error) {
	was, err := parseRootsPayload(k.roots)
	switch {
	case err != nil:
		return false, fmt.Errorf("its roots: %w", err)
	case roots.version < was.version:
		return false, refuse(WhyRollback, "roots version %d, and the state file knows version %d: "+
			"give this program the newer roots file", roots.version, was.version)
	case string(roots.Payload()) == string(k.roots):
		return true, nil
	case roots.version == was.version:
		return false, refuse(WhyEquivocate, "roots version %d with another content than the state file knows: "+
			"give changed roots a higher version", roots.version)
	}
	return false, nil
}

// holding verifies the documents under the roots. If newer roots do not verify the timestamp, it is forgotten
// with its revocations: so root holders recover from a stolen timestamp key. If they do not verify the
// bundle, it is not used, but its version counts. Documents that known has as well are not verified again.
func (k *keptHolding) holding(roots *Roots, minVersion int64, known *holding) (*holding, error) {
	isSame, err := k.checkRoots(roots)
	if err != nil {
		return nil, err
	}
	h := k.head
	if len(k.timestamp) > 0 {
		if h.timestamp, err = openTimestamp(k.timestamp, roots); err != nil {
			if isSame || whyOf(err) != WhyThreshold { // a damaged one is not forgotten
				return nil, fmt.Errorf("its timestamp: %w", err)
			}
			h = holding{seen: h.seen}
		}
		h.signedTimestamp = k.timestamp
	}
	if h.timestamp == nil {
		h.signedTimestamp = nil
	}
	switch {
	case len(k.bundle) == 0:
	case bytes.Equal(k.bundle, known.signedBundle):
		h.bundle, h.signedBundle = known.bundle, known.signedBundle
	default:
		b, err := openAnyTime(k.bundle, roots)
		switch {
		case err != nil && isSame:
			return nil, fmt.Errorf("its bundle: %w", err)
		case err == nil && seenOf(b) != h.seen:
			return nil, errors.New("its head is not that of its bundle")
		case err == nil && b.version >= minVersion:
			h.bundle, h.signedBundle = b, k.bundle
		}
	}
	if h.isCurrent(roots) {
		h.until = h.timestamp.Expires
	}
	h.look()
	return &h, nil
}

// recallHolding is what the state file holds, which may be of a time without timestamps.
func recallHolding(path string, roots *Roots, minVersion int64, known *holding) (*holding, error) {
	if path == "" {
		return &holding{}, nil
	}
	doc, err := readOwn(path, maxHolding)
	if errors.Is(err, fs.ErrNotExist) {
		return &holding{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("state file: %w", err)
	}
	if !isHolding(doc) {
		k, err := parseState(doc)
		if err != nil {
			return nil, damagedState(path, err)
		}
		h := &holding{seen: k.seen}
		if b, err := openAnyTime(k.signed, roots); err == nil && b.version >= minVersion {
			h.bundle, h.signedBundle = b, k.signed
		}
		return h, nil
	}
	k, err := parseHolding(doc)
	if err == nil {
		var h *holding
		if h, err = k.holding(roots, minVersion, known); err == nil {
			return h, nil
		}
	}
	if why := whyOf(err); why == WhyRollback || why == WhyEquivocate {
		return nil, fmt.Errorf("state file %s: %w", path, err)
	}
	return nil, damagedState(path, err)
}

// keepHolding joins the holding with that in the state file, which another process may have written, and
// writes the result. A refusal is a *BundleError. With every other error, which is about the file, the
// holding that was given is the result.
func keepHolding(ctx context.Context, path string, roots *Roots, next *holding) (*holding, error) {
	if path == "" {
		return next, nil
	}
	unlock, err := lockState(ctx, path+".lock")
	if err != nil {
		return next, fmt.Errorf("locking state file %s: %w: check the directory and who may write there", path, err)
	}
	defer unlock()
	was, err := recallHolding(path, roots, 0, next)
	if err != nil {
		return next, err
	}
	joined, err := next.join(roots, was)
	if err != nil {
		return next, fmt.Errorf("state file %s: %w", path, err)
	}
	if err := swapIn(path, joined.appendState(nil, roots)); err != nil {
		return joined, fmt.Errorf("writing state file %s: %w: check the directory and the space on the disk",
			path, err)
	}
	return joined, nil
}

// isAlive reports whether the bundle in use may still be used.
func (h *holding) isAlive(now time.Time) bool {
	return h.view != nil && h.clock(now).Before(h.view.expires)
}
