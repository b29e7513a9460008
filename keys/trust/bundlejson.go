package trust

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/keydoc"
)

// Payload is the bundle as a JWK Set (RFC 7517 section 5) in canonical JSON. The root keys sign these bytes.
func (b *Bundle) Payload() []byte {
	payload := make([]byte, 0, 512*(1+len(b.keys)))
	b.write(func(part []byte) { payload = append(payload, part...) })
	return payload
}

// isPayload reports whether Payload gives these bytes. It does not build them: they are up to 16 MiB.
func (b *Bundle) isPayload(payload []byte) bool {
	same := true
	b.write(func(part []byte) {
		if same {
			payload, same = bytes.CutPrefix(payload, part)
		}
	})
	return same && len(payload) == 0
}

// write hands out the payload in parts. A part is valid until the next one.
func (b *Bundle) write(out func(part []byte)) {
	var before, after keydoc.Object // the members whose names are before and after "keys"
	if b.cache > 0 {
		before.Int("cache", int64(b.cache/time.Second))
	}
	before.Time("expires", b.expires)
	before.Time("issued", b.issued)
	if b.refreshHint > 0 {
		after.Int("refresh_hint", int64(b.refreshHint/time.Second))
	}
	if len(b.revoked) > 0 {
		after.Strings("revoked_sessions", b.revoked)
	}
	if b.needsTimestamp {
		after.String("timestamp", timestampRequired)
	}
	if b.timestamps > 0 {
		after.Int("timestamps", b.timestamps)
	}
	after.Int("version", b.version)

	part := bytes.TrimSuffix(before.Append(nil), []byte("}"))
	if len(part) > len("{") {
		part = append(part, ',')
	}
	part = append(part, `"keys":[`...)
	var entry keydoc.Object
	for i, k := range b.keys {
		if i > 0 {
			part = append(part, ',')
		}
		part = k.append(part, &entry)
		out(part)
		part = part[:0]
	}
	part = append(part, "],"...)
	out(append(part, bytes.TrimPrefix(after.Append(nil), []byte("{"))...))
}

// timestampRequired is the one value of a bundle's member "timestamp".
const timestampRequired = "required"

// ParseBundle reads the payload of a bundle and does not verify it; OpenBundle does. It accepts only the
// canonical form, so that Payload of the result gives the same bytes. Unknown members are refused, because
// they may be restrictions. A published bundle has a version of at least 1, issued and expires.
func ParseBundle(payload []byte) (*Bundle, error) {
	if len(payload) > keydoc.MaxBundle {
		return nil, &BundleError{Why: WhyTooLarge,
			Err: fmt.Errorf("a bundle of more than %d bytes", keydoc.MaxBundle)}
	}
	b, err := readBundle(payload)
	if err != nil {
		return nil, &BundleError{Why: WhyMalformed, Err: err}
	}
	return b, nil
}

func readBundle(payload []byte) (*Bundle, error) {
	r := jsontext.NewDecoder(payload)
	b := &Bundle{}
	for obj := r.Object(); r.Member(&obj); {
		b.readMember(string(obj.Name), &r)
	}
	if err := r.End(); err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	if err := b.checkPublished(); err != nil {
		return nil, err
	}
	if err := b.index(); err != nil {
		return nil, err
	}
	if !b.isPayload(payload) {
		return nil, keydoc.ErrNotCanonical
	}
	return b, nil
}

func (b *Bundle) readMember(name string, r *jsontext.Decoder) {
	switch name {
	case "version":
		b.version = r.Int()
	case "issued":
		b.issued = keydoc.ReadTime(r)
	case "expires":
		b.expires = keydoc.ReadTime(r)
	case "refresh_hint":
		b.refreshHint = readSeconds("refresh_hint", keydoc.MaxRefreshHint, r)
	case "cache":
		b.cache = readSeconds("cache", keydoc.MaxCache, r)
	case "revoked_sessions":
		b.revoked = keydoc.ReadStrings(r, maxRevokedSessions)
	case "timestamp":
		if b.needsTimestamp = r.String() == timestampRequired; !b.needsTimestamp {
			r.Failf("timestamp is not %q", timestampRequired)
		}
	case "timestamps":
		b.timestamps = r.Int()
	case "keys":
		b.readKeys(r)
	default:
		r.Failf("unknown member %q", keydoc.Clip(name))
	}
}

// checkPublished refuses a bundle that lacks what a published bundle must have.
func (b *Bundle) checkPublished() error {
	switch {
	case b.version < 1:
		return errors.New("no version of at least 1")
	case b.issued.IsZero():
		return errors.New(`no "issued"`)
	case b.expires.IsZero():
		return errors.New(`no "expires"`)
	}
	return nil
}

func (b *Bundle) readKeys(r *jsontext.Decoder) {
	var entries [][]byte
	for a := r.Array(); r.Element(&a); {
		if len(entries) == keydoc.MaxKeys {
			r.Failf("more than %d keys", keydoc.MaxKeys)
			return
		}
		entries = append(entries, r.ReadValue())
	}
	if r.Err() != nil {
		return
	}
	b.keys = make([]*Key, len(entries))
	errs := make([]error, len(entries))
	inParts(len(entries), func(i int) { b.keys[i], errs[i] = parseKey(entries[i]) })
	for i, err := range errs {
		if err != nil {
			r.Failf("keys[%d]: %w", i, err)
			return
		}
	}
}

// inParts calls do with 0 to n-1. To decode the point of a key is most of what loading a large bundle costs.
// So each processor takes a part of it.
func inParts(n int, do func(int)) {
	const small = 128 // keys that are parsed before a goroutine would have paid
	part := max(small, (n+runtime.GOMAXPROCS(0)-1)/runtime.GOMAXPROCS(0))
	var wg sync.WaitGroup
	for from := part; from < n; from += part {
		wg.Go(func() {
			for i := from; i < min(n, from+part); i++ {
				do(i)
			}
		})
	}
	for i := range min(n, part) {
		do(i)
	}
	wg.Wait()
}

func readSeconds(name string, most time.Duration, r *jsontext.Decoder) time.Duration {
	n := r.Int()
	if n < 1 || n > int64(most/time.Second) {
		r.Failf("%s is not within 1 to %d seconds", name, int64(most/time.Second))
		return 0
	}
	return time.Duration(n) * time.Second
}

// JWKS is a JWK Set of the public signing keys for other libraries, in the order of the IDs and with standard
// members only. It has the keys for which keep returns true. A nil keep leaves out ML-DSA keys, because some
// libraries refuse a whole set if it has a key type that they do not know.
func (b *Bundle) JWKS(keep func(*Key) bool) []byte {
	if keep == nil {
		keep = func(k *Key) bool { return !k.Verifier.Algorithm().PostQuantum() }
	}
	var list [][]byte
	for _, k := range b.keys {
		if k.Verifier != nil && keep(k) {
			list = append(list, k.Verifier.JWK())
		}
	}
	var o keydoc.Object
	o.Raw("keys", keydoc.AppendArray(nil, list, func(dst, jwk []byte) []byte { return append(dst, jwk...) }))
	return o.Append(nil)
}
