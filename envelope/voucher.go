package envelope

import (
	"crypto/sha256"
	"slices"
	"sync"

	"github.com/sealbus/sealbus/internal/dsse"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/session"
	"github.com/sealbus/sealbus/keys/trust"
)

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
	v := &voucher{keyID: sig.KeyID, body: env.Payload, pae: dsse.PAE(nil, env.PayloadType, env.Payload), sig: sig.Sig}
	v.plain = string(env.Append(make([]byte, 0, len(raw)))) == string(raw)
	return v, nil
}

// isBy reports whether the key signed the statement. What was found true is remembered: that these bytes are
// its signature over those can not change.
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

// Bounds of what is remembered.
const (
	maxVouchers    = 1024            // producers' processes times two
	maxVoucherSize = session.MaxText // bytes
)

// vouchers are the genuine statements that were seen last. Looking one up instead of verifying it changes no
// verdict: it says only whose signature the very same bytes are. Who may vouch, for what, when, and what is
// revoked is judged for each event. A forger gets nothing new in here: a genuine statement counts in one
// spelling only, as anybody can re-spell its envelope (white space, further members) without end. A producer
// with very many statements drops those of no other: see fairCache.
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
