package tenants

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/internal/reviewed"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/webhook/throttle"
)

// The limits of a file. Each fails closed.
const (
	MaxFile    = 4 << 20 // bytes
	MaxClients = 50_000  // of all tenants: a limiter remembers each of them
	maxName    = 64      // bytes of a tenant's name
	maxID      = 256     // bytes of a client ID, and of a scope or a group
	maxWords   = 32      // scopes, and groups, of one tenant: they stand in each event
	// maxWordBytes bounds all scopes, and all groups, of one tenant. Both fit into an authclaims of 4 KiB.
	maxWordBytes = 1_500
)

// Parse reads a file of tenants and checks all of it. The error names the line and the column. For each field
// schemas it calls open with the file that is named there, such as schema.ReadSet; nil = the field is refused.
func Parse(doc []byte, open func(file string) (envelope.Validator, error)) (*Tenants, error) {
	if len(doc) > MaxFile {
		return nil, fmt.Errorf("tenants: more than %d bytes", MaxFile)
	}
	root, err := reviewed.Document(doc)
	if err != nil {
		return nil, fmt.Errorf("tenants: %w", err)
	}
	p := &parser{all: &Tenants{byClient: map[string]*client{}}, open: open}
	p.file(root)
	p.disjoint()
	if p.Err != nil {
		return nil, fmt.Errorf("tenants: %w", p.Err)
	}
	slices.Sort(p.all.names)
	return p.all, nil
}

// parser walks the nodes; its first error sticks.
type parser struct {
	reviewed.Reader
	all     *Tenants
	open    func(file string) (envelope.Validator, error)
	sources []owned // of all tenants
}

func (p *parser) file(root *yaml.Node) {
	version := ""
	p.Fields(root, "the file", func(key, value *yaml.Node) bool {
		switch key.Value {
		case "version":
			version = value.Value
		case "issuer":
			p.all.issuer = p.Scalar(value, "!!str")
		case "tenants":
			p.Fields(value, "tenants", p.tenant)
		default:
			return false
		}
		return true
	})
	switch {
	case version != "1":
		p.Fail(root, `"version: 1" is missing: this program reads no other version`)
	case p.all.issuer == "":
		p.Fail(root, "there is no issuer: the claim iss of the tokens whose client IDs are meant")
	case len(p.all.names) == 0:
		p.Fail(root, "there is no tenant")
	}
}

func (p *parser) tenant(name, n *yaml.Node) bool {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789-"
	if name.Value == "" || len(name.Value) > maxName || strings.Trim(name.Value, letters) != "" {
		p.Fail(name, `the name of a tenant must have 1 to %d of a-z, 0-9 and "-"`, maxName)
	}
	t := &tenant{name: name.Value}
	seen := map[string]bool{}
	p.Fields(n, "tenant "+keydoc.Clip(name.Value), func(key, value *yaml.Node) bool {
		seen[key.Value] = true
		return p.field(t, key.Value, value)
	})
	for _, field := range []string{"clients", "sources", "types", "scopes", "quota"} {
		if !seen[field] {
			p.Fail(name, "tenant %s has no %s", keydoc.Clip(t.name), field)
		}
	}
	p.all.names = append(p.all.names, t.name)
	return true
}

func (p *parser) field(t *tenant, field string, value *yaml.Node) bool {
	switch field {
	case "clients":
		p.Fields(value, "clients", func(id, n *yaml.Node) bool { p.client(t, id, n); return true })
		if len(t.clients) == 0 {
			p.Fail(value, "there is no client")
		}
	case "sources":
		t.sources = p.patterns(value)
		p.Check(value, keys.CheckScope(t.sources, nil))
		for _, source := range t.sources {
			text, isPattern := strings.CutSuffix(source, "*")
			p.sources = append(p.sources, owned{text, isPattern, t.name, value})
		}
	case "types":
		t.types = p.patterns(value)
		p.Check(value, keys.CheckScope(nil, t.types))
	case "scopes":
		t.scopes = p.words(value)
	case "groups":
		t.groups = p.words(value)
	case "quota":
		t.plan = p.plan(value, "quota")
	case "schemas":
		t.schemas = p.schemas(value)
	default:
		return false
	}
	return true
}

// client reads a client of a tenant. One client speaks for one tenant.
func (p *parser) client(t *tenant, id, n *yaml.Node) {
	c := &client{id: id.Value, of: t}
	switch other := p.all.byClient[c.id]; {
	case !isWord(c.id):
		p.Fail(id, "a client ID must have 1 to %d visible characters of ASCII", maxID)
	case other != nil:
		p.Fail(id, "the client %s is of the tenant %s, too", c.id, other.of.name)
	case len(p.all.byClient) == MaxClients:
		p.Fail(id, "there are more than %d clients", MaxClients)
	}
	switch {
	case n.Kind != yaml.MappingNode:
		p.Fail(n, "{} must stand here, or a quota of this client")
	case len(n.Content) > 0:
		c.plan = p.plan(n, "the quota of a client")
	}
	p.all.byClient[c.id] = c
	t.clients = append(t.clients, c)
}

// isWord reports whether a text is visible ASCII.
func isWord(text string) bool {
	isOther := func(r rune) bool { return r <= ' ' || r > '~' }
	return text != "" && len(text) <= maxID && !strings.ContainsFunc(text, isOther)
}

func (p *parser) patterns(n *yaml.Node) []string {
	list := p.Strings(n, "!!str")
	if len(list) == 0 {
		p.Fail(n, "the list is empty: the tenant could say nothing")
	}
	return list
}

// owned is a source of a tenant: an exact one, or what stands before the "*" of a pattern.
type owned struct {
	text      string
	isPattern bool
	owner     string
	at        *yaml.Node // the list
}

// disjoint refuses a source that two tenants have: events of one could be taken for those of the other. A
// pattern stands only for sources that begin with its text. In alphabetical order these follow it, so that
// the patterns around a source are a stack.
func (p *parser) disjoint() {
	slices.SortStableFunc(p.sources, func(a, b owned) int { return strings.Compare(a.text, b.text) })
	var around []owned
	for i, s := range p.sources {
		for len(around) > 0 && !strings.HasPrefix(s.text, around[len(around)-1].text) {
			around = around[:len(around)-1]
		}
		other := s
		if len(around) > 0 {
			other = around[len(around)-1]
		}
		if i > 0 && p.sources[i-1].text == s.text {
			other = p.sources[i-1]
		}
		if other.owner != s.owner {
			p.Fail(s.at, "the source %q overlaps with one of the tenant %s: %q", keydoc.Clip(s.text), other.owner,
				keydoc.Clip(other.text))
			return
		}
		if s.isPattern {
			around = append(around, s)
		}
	}
}

// plan reads rate, burst and daily.
func (p *parser) plan(n *yaml.Node, what string) throttle.Plan {
	var plan throttle.Plan
	p.Fields(n, what, func(key, value *yaml.Node) bool {
		switch key.Value {
		case "rate":
			plan.Rate = p.number(value)
		case "burst":
			plan.Burst = int(p.whole(value, 1e6))
		case "daily":
			plan.Daily = p.whole(value, 1e12)
		default:
			return false
		}
		return true
	})
	p.Check(n, plan.Check())
	return plan
}

var errNumber = errors.New("a number in decimal digits must stand here, such as 5 or 0.5")

func (p *parser) number(n *yaml.Node) float64 {
	text := p.Scalar(n, "!!int", "!!float")
	number, err := strconv.ParseFloat(text, 64)
	if err != nil || strings.Trim(text, "0123456789.") != "" {
		p.Check(n, errNumber)
	}
	return number
}

func (p *parser) whole(n *yaml.Node, most int64) int64 {
	text := p.Scalar(n, "!!int")
	number, err := strconv.ParseInt(text, 10, 64)
	if err != nil || number < 1 || number > most || strconv.FormatInt(number, 10) != text {
		p.Fail(n, "a whole number from 1 to %d must stand here", most)
	}
	return number
}

// words reads scopes or groups.
func (p *parser) words(n *yaml.Node) []string {
	list := p.Strings(n, "!!str")
	if len(list) > maxWords || len(strings.Join(list, "")) > maxWordBytes {
		p.Fail(n, "more than %d of them, or more than %d bytes", maxWords, maxWordBytes)
	}
	for i, word := range list {
		switch {
		case !isWord(word) || strings.ContainsAny(word, `"\`): // RFC 6749, section 3.3
			p.Fail(n, `%q must have 1 to %d visible characters of ASCII, without " and \`, keydoc.Clip(word), maxID)
		case slices.Contains(list[:i], word):
			p.Fail(n, "%q stands twice", word)
		}
	}
	return list
}

// schemas opens the set of JSON Schemas of a tenant.
func (p *parser) schemas(n *yaml.Node) envelope.Validator {
	file := p.Scalar(n, "!!str")
	switch {
	case p.open == nil:
		p.Fail(n, "this program does not read the schemas of tenants: leave the field out")
	case file == "" || path.Clean(file) != file || path.IsAbs(file) || file == ".." ||
		strings.HasPrefix(file, "../") || file == "." || strings.ContainsAny(file, `\:`):
		p.Fail(n, "%q is not a file below that of the tenants", keydoc.Clip(file))
	}
	if p.Err != nil {
		return nil
	}
	set, err := p.open(file)
	p.Check(n, err)
	return set
}
