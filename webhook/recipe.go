package webhook

import (
	"errors"
	"fmt"
	"time"

	"github.com/sealbus/sealbus/internal/jsontext"
)

// MaxRecipe bounds the document of a recipe, in bytes.
const MaxRecipe = 16 << 10

// recipe is a scheme that is described by data: docs/webhooks.md has its form.
type recipe struct {
	name, title, see string
	ways             []way // the first one whose signature header is there is used
	typ, subject     source
	challenge        string // the name of a challenger; "" = none
}

// way is one way of signing. Most recipes have one. A second one is for a migration.
type way struct {
	header    string // of the signature
	separator string // between the items of the header; "" = there is one
	kinds     []kind
	signed    []part
	time      timeSource
	id        source
}

// kind is one version of a signature: an item of the signature header that begins with the prefix.
type kind struct{ prefix, encoding, algorithm, secret string }

// part is a part of the signed string: a name of partNames, or a text.
type part struct{ name, text string }

// The parts that a signed string may have. The decoded URL is for HubSpot.
const (
	partBody    = "body"
	partTime    = "time" // the text of the time, as it came
	partID      = "id"
	partMethod  = "method"
	partURL     = "url" // BaseURL and Request.Target
	partDecoded = "url-decoded"
)

// source is where a value stands: in a header, or in a member of the JSON body.
type source struct{ header, member string }

// timeSource is where the signed time stands: in a header, in an item of the signature header, or in a member
// of the JSON body.
type timeSource struct {
	source
	item      string // the prefix of the item
	unit      time.Duration
	tolerance time.Duration
	set, none bool
}

// The words of a recipe, in the order in which an error lists them.
var (
	algorithms = []string{"hmac-sha256", "hmac-sha512", "ed25519", "ecdsa-p256"}
	encodings  = []string{"hex", "base64"}
	secretForm = []string{"text", "hex", "base64", "whsec", "whpk", "pkix"}
	partNames  = []string{partBody, partTime, partID, partMethod, partURL, partDecoded}
	units      = map[string]time.Duration{"seconds": time.Second, "milliseconds": time.Millisecond}
)

// ParseRecipe reads a recipe of your own. It refuses each recipe in which Lint finds something.
func ParseRecipe(doc []byte) (Scheme, error) {
	r, err := readRecipe(doc)
	if err == nil {
		err = errors.Join(r.lint()...)
	}
	if err != nil {
		return nil, fmt.Errorf("webhook: recipe: %w", err)
	}
	return r, nil
}

// Name is the name of the recipe.
func (r *recipe) Name() string { return r.name }

// reader reads a recipe. Its first error sticks.
type reader struct{ jsontext.Decoder }

// readRecipe reads the form of a recipe. Its sense is for lint to judge.
func readRecipe(doc []byte) (*recipe, error) {
	if len(doc) > MaxRecipe {
		return nil, fmt.Errorf("more than %d bytes", MaxRecipe)
	}
	d := &reader{jsontext.NewDecoder(doc)}
	r := &recipe{ways: make([]way, 1)}
	for obj := d.Object(); d.Member(&obj); {
		switch name := string(obj.Name); name {
		case "name":
			r.name = d.String()
		case "title":
			r.title = d.String()
		case "see":
			r.see = d.String()
		case "type":
			r.typ, _ = d.source()
		case "subject":
			r.subject, _ = d.source()
		case "challenge":
			r.challenge = d.String()
		case "or":
			for list := d.Array(); d.Element(&list); {
				var w way
				for inner := d.Object(); d.Member(&inner); {
					d.way(&w, string(inner.Name))
				}
				r.ways = append(r.ways, w)
			}
		default:
			d.way(&r.ways[0], name)
		}
	}
	return r, d.End()
}

// way reads one member of a way of signing.
func (d *reader) way(w *way, name string) {
	switch name {
	case "signature":
		for obj := d.Object(); d.Member(&obj); {
			switch string(obj.Name) {
			case "header":
				w.header = d.header()
			case "separator":
				w.separator = d.String()
			case "kinds":
				for list := d.Array(); d.Element(&list); {
					w.kinds = append(w.kinds, d.kind())
				}
			default:
				d.unknown("signature/" + string(obj.Name))
			}
		}
	case "signed":
		for list := d.Array(); d.Element(&list); {
			w.signed = append(w.signed, d.part())
		}
	case "time":
		w.time = d.time()
	case "id":
		var none bool
		if w.id, none = d.source(); none {
			w.id.header = noHeader
		}
	default:
		d.unknown(name)
	}
}

// noHeader stands for the word "none", by which a recipe says that there is no ID.
const noHeader = "none"

func (d *reader) kind() kind {
	var k kind
	for obj := d.Object(); d.Member(&obj); {
		to := map[string]*string{"prefix": &k.prefix, "encoding": &k.encoding, "algorithm": &k.algorithm,
			"secret": &k.secret}[string(obj.Name)]
		switch {
		case to == nil:
			d.unknown("signature/kinds/" + string(obj.Name))
		case d.PeekKind() == '{':
			d.Failf("%s: it must be a word: a header never chooses a key or an algorithm, because a forger "+
				"writes the headers", obj.Name)
		default:
			*to = d.String()
		}
	}
	return k
}

func (d *reader) part() part {
	if d.PeekKind() == '"' {
		return part{name: d.String()}
	}
	var p part
	for obj := d.Object(); d.Member(&obj); {
		if string(obj.Name) != "text" {
			d.unknown("signed/" + string(obj.Name))
			break
		}
		p.text = d.String()
	}
	return p
}

// source reads {"header": ...}, {"member": ...} or "none".
func (d *reader) source() (s source, none bool) {
	if d.none() {
		return s, true
	}
	for obj := d.Object(); d.Member(&obj); {
		switch string(obj.Name) {
		case "header":
			s.header = d.header()
		case "member":
			s.member = d.pointer()
		default:
			d.unknown(string(obj.Name))
		}
	}
	return s, false
}

func (d *reader) time() timeSource {
	t := timeSource{set: true}
	if d.none() {
		return timeSource{set: true, none: true}
	}
	for obj := d.Object(); d.Member(&obj); {
		switch string(obj.Name) {
		case "header":
			t.header = d.header()
		case "item":
			t.item = d.String()
		case "member":
			t.member = d.pointer()
		case "unit":
			t.unit = units[d.String()]
		case "tolerance_seconds":
			if n := d.Int(); n > 0 && n <= int64(RememberFor/time.Second) {
				t.tolerance = time.Duration(n) * time.Second
			}
		default:
			d.unknown("time/" + string(obj.Name))
		}
	}
	return t
}

// none reads the word "none", if it stands there.
func (d *reader) none() bool {
	if d.PeekKind() != '"' {
		return false
	}
	if word := d.String(); word != noHeader {
		d.Failf(`%.80q: the only word here is "none"`, word)
	}
	return true
}

// header reads the name of a header, in its usual case, so that it is written in one way in tables and
// errors.
func (d *reader) header() string {
	name := d.String()
	for i := range len(name) {
		if c := name[i]; c != '-' && (c < '0' || '9' < c) && (c|0x20 < 'a' || 'z' < c|0x20) {
			d.Failf("%.80q is no name of a header", name)
		}
	}
	return name
}

func (d *reader) pointer() string {
	text := d.String()
	if err := jsontext.CheckPointer(text, nil); err != nil || text == "" {
		d.Failf(`%.80q is no JSON Pointer of a member, such as "/event/id"`, text)
	}
	return text
}

func (d *reader) unknown(name string) { d.Failf("the unknown member %.80q", name) }
