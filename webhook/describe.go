package webhook

import (
	"fmt"
	"strings"
	"time"

	"github.com/sealbus/sealbus/internal/nilcheck"
)

// Description is how a provider signs, for people: the table of docs/webhooks.md and `sealbus webhook
// providers`.
type Description struct {
	Title     string // "GitHub"
	See       string // where the provider describes it
	Signature string // where the signature stands: "X-Hub-Signature-256: sha256="
	Signed    string // the signed string: "time . body"
	Algorithm string // and encoding: "HMAC-SHA256 hex"
	Secret    string // the form of Secret.Text
	Time      string // where the signed time stands, and its tolerance: "Webhook-Timestamp, 300 s"; "none"
	ID        string // where the delivery ID stands, and whether it is signed; "none"
}

// Describe describes a scheme. A scheme describes itself by a method Describe. One without it has a title
// only, and no scheme has nothing.
func Describe(s Scheme) Description {
	if nilcheck.Is(s) {
		return Description{}
	}
	if d, ok := s.(interface{ Describe() Description }); ok {
		return d.Describe()
	}
	return Description{Title: s.Name()}
}

// Describe describes the first way of signing.
func (r *recipe) Describe() Description {
	w := &r.ways[0]
	d := Description{Title: r.title, See: r.see, Signature: w.header, Time: "none", ID: "none"}
	if d.Title == "" {
		d.Title = r.name
	}
	var algorithms, secrets []string
	for i, k := range w.kinds {
		if k.prefix != "" {
			d.Signature += map[bool]string{true: ": ", false: " or "}[i == 0] + k.prefix
		}
		algorithms = append(algorithms, algorithmNames[k.algorithm]+" "+k.encoding)
		secrets = append(secrets, secretNames[k.secret])
	}
	d.Algorithm, d.Secret = strings.Join(algorithms, " or "), strings.Join(secrets, " or ")
	var parts []string
	for _, p := range w.signed {
		text := p.name
		if p.name == "" {
			text = fmt.Sprintf("%q", p.text)
		}
		parts = append(parts, text)
	}
	d.Signed = strings.Join(parts, " ")
	if t := &w.time; !t.none {
		d.Time = fmt.Sprintf("%s, %d s", t.place(), t.tolerance/time.Second)
		if t.unit == time.Millisecond {
			d.Time = fmt.Sprintf("%s (ms), %d s", t.place(), t.tolerance/time.Second)
		}
	}
	if w.id.header != noHeader {
		d.ID = w.id.place()
		if !w.has(partID) && w.id.member == "" {
			d.ID += ", not signed"
		}
	}
	return d
}

var (
	algorithmNames = map[string]string{"hmac-sha256": "HMAC-SHA256", "hmac-sha512": "HMAC-SHA512",
		"ed25519": "Ed25519", "ecdsa-p256": "ECDSA P-256 DER"}
	secretNames = map[string]string{"text": "text", "hex": "hexadecimal", "base64": "base64",
		"whsec": "whsec_",
		"whpk":  "whpk_", "pkix": "public key, base64 PKIX"}
)

// place is the header, or the member of the body.
func (s source) place() string {
	if s.member != "" {
		return "body " + s.member
	}
	return s.header
}

// place is also the item of the signature header.
func (t *timeSource) place() string {
	if t.item != "" {
		return t.item
	}
	return t.source.place()
}
