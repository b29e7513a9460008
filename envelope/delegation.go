package envelope

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/sealbus/sealbus/internal/dsse"
	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/wire"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/session"
	"github.com/sealbus/sealbus/keys/trust"
)

// statement is what a long-term key says of a session key: until when and for what it may sign.
type statement struct {
	session   *keys.Verifier
	notBefore time.Time
	notAfter  time.Time
	sources   []string
	types     []string
	hash      digest // SHA-256 of the statement's PAE, by which the event's payload binds it
}

var errStatement = errors.New("malformed delegation statement")

// openDelegation verifies a delegation under the bundle's keys and returns the statement with the keys
// that vouch for it. No key with the ID that it names: unknownKey.
func openDelegation(raw []byte, bundle *trust.Bundle) (*statement, []*trust.Key, error) {
	v := vouchers.find(raw)
	if v == nil {
		var err error
		if v, err = parseVoucher(raw); err != nil {
			return nil, nil, err
		}
	}
	known := bundle.Lookup(v.keyID)
	if len(known) == 0 {
		return nil, nil, unknownKey(v.keyID)
	}
	var delegators []*trust.Key
	for _, k := range known {
		if v.isBy(k.Verifier) {
			delegators = append(delegators, k)
		}
	}
	if len(delegators) == 0 {
		return nil, nil, unverifiable(v.keyID, known)
	}
	st, err := v.read()
	if err != nil {
		return nil, nil, err
	}
	vouchers.keep(raw, delegators[0].Producer, v)
	return st, delegators, nil
}

func parseStatement(doc []byte) (*statement, error) {
	st := &statement{}
	r := jsontext.NewDecoder(doc)
	for obj := r.Object(); r.Member(&obj); {
		switch string(obj.Name) {
		case "session":
			st.session = readSession(&r)
		case "not_before":
			st.notBefore = readSeconds(&r)
		case "not_after":
			st.notAfter = readSeconds(&r)
		case "sources":
			st.sources = readScope(&r)
		case "types":
			st.types = readScope(&r)
		default:
			r.Fail(errStatement)
		}
	}
	if err := r.End(); err != nil {
		return nil, err
	}
	life := st.notAfter.Sub(st.notBefore)
	if st.session == nil || st.notBefore.IsZero() || st.notAfter.IsZero() || life <= 0 || life > session.MaxLife {
		return nil, errStatement
	}
	return st, nil
}

// readSession reads the session key: an Ed25519 key as a JWK (RFC 8037 section 2) with its thumbprint members
// only.
func readSession(r *jsontext.Decoder) *keys.Verifier {
	var kty, crv string
	var x []byte
	for obj := r.Object(); r.Member(&obj); {
		var err error
		switch string(obj.Name) {
		case "kty":
			kty = r.String()
		case "crv":
			crv = r.String()
		case "x":
			x, err = jsontext.Base64URL.AppendDecode(nil, r.Bytes())
		default:
			err = errStatement
		}
		if err != nil {
			r.Fail(errStatement)
		}
	}
	v, err := keys.NewVerifier(ed25519.PublicKey(x))
	if err != nil || kty != "OKP" || crv != "Ed25519" {
		r.Fail(errStatement)
		return nil
	}
	return v
}

func readSeconds(r *jsontext.Decoder) time.Time {
	text := r.String()
	at, err := wire.ParseTime(text)
	if err != nil || wire.FormatSeconds(at) != text {
		r.Fail(errStatement)
	}
	return at
}

func readScope(r *jsontext.Decoder) []string {
	var list []string
	for a := r.Array(); r.Element(&a); {
		if list = append(list, r.String()); len(list) > session.MaxPatterns { // each is compared with the event
			r.Fail(errStatement)
		}
	}
	return list
}

// acceptedAt reports whether the session key could sign at that time. Without a signed time of sealing it
// could not.
func (st *statement) acceptedAt(sealed time.Time, skew time.Duration) bool {
	return !sealed.IsZero() && !sealed.Before(st.notBefore.Add(-skew)) && sealed.Before(st.notAfter)
}

// voucher is the DSSE envelope of a delegation statement.
type voucher struct {
	keyID string // a hint: whose signature it is to be
	body  []byte
	pae   []byte
	sig   []byte
	plain bool // spelled as writers spell it

	mu sync.Mutex
	by []string   // thumbprints of keys whose signature it is
	st *statement // nil until it was read
}

// parseVoucher reads the envelope. Nothing in it is verified.
func parseVoucher(raw []byte) (*voucher, error) {
	env, err := dsse.Parse(slices.Clone(raw)) // it may be kept
	if err != nil {
		return nil, err
	}
	if env.PayloadType != session.DelegationType || len(env.Signatures) != 1 || env.Signatures[0].Delegation != nil {
		return nil, errStatement
	}
	sig := &env.Signatures[0]
	v := &voucher{keyID: sig.KeyID, body: env.Payload, pae: dsse.PAE(nil, env.PayloadType, env.Payload),
		sig: sig.Sig}
	v.plain = string(env.Append(make([]byte, 0, len(raw)))) == string(raw)
	return v, nil
}

// isBy reports whether the key signed the statement. A true answer is remembered, because it cannot change.
func (v *voucher) isBy(k *keys.Verifier) bool {
	v.mu.Lock()
	known := slices.Contains(v.by, k.KeyID())
	v.mu.Unlock()
	if known {
		return true
	}
	if v.sig == nil || !k.Verify(v.pae, v.sig) {
		return false
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.by) < trust.MaxSharedAlias {
		v.by = append(v.by, k.KeyID())
	}
	return true
}

// read parses the statement, once some key was found to have signed it.
func (v *voucher) read() (*statement, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.st != nil {
		return v.st, nil
	}
	st, err := parseStatement(v.body)
	if err != nil {
		return nil, err
	}
	st.hash = sha256.Sum256(v.pae)
	v.st = st
	return st, nil
}

// Bounds of the memory.
const (
	maxVouchers    = 1024            // producers' processes times two
	maxVoucherSize = session.MaxText // bytes
)

// vouchers are the genuine statements that were seen last. Looking one up instead of verifying it changes no
// verdict: it says only by which key the very same bytes are signed. Scope, time and revocation are judged
// for each event. A forger can add nothing: a genuine statement is remembered in one spelling only, because
// its envelope can be re-spelled without end (white space, further members). A producer with very many
// statements drops those of no other producer: see fairCache.
var vouchers = memo{byText: fairCache[string, *voucher]{most: maxVouchers}}

// memo remembers vouchers by their bytes.
type memo struct {
	mu     sync.RWMutex
	byText fairCache[string, *voucher]
}

func (m *memo) find(raw []byte) *voucher {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if item := m.byText.items[string(raw)]; item != nil {
		return item.value
	}
	return nil
}

// keep remembers v, which a key of that producer signed.
func (m *memo) keep(raw []byte, producer string, v *voucher) {
	if !v.plain || len(raw) > maxVoucherSize || m.find(raw) != nil {
		return
	}
	text := string(raw)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.byText.items[text] == nil {
		m.byText.put(text, producer, "", v)
	}
}
