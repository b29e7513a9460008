package policy

import (
	"encoding/base64"
	"fmt"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/sealbus/sealbus/internal/filekind"
	"github.com/sealbus/sealbus/internal/howlong"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/internal/reviewed"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// Parse reads a policy file and checks all of it. Its error names the line and the column.
func Parse(doc []byte) (*Policy, error) {
	root, err := document(doc)
	if err != nil {
		return nil, err
	}
	p := &parser{listed: map[string]int{}}
	p.file(root)
	if p.Err != nil {
		return nil, placed(p.Err)
	}
	return &p.policy, nil
}

// document reads the one YAML document and refuses everything that a reviewer could misread.
func document(doc []byte) (*yaml.Node, error) {
	if len(doc) > keydoc.MaxPolicy {
		return nil, &fileError{err: fmt.Errorf("more than %d bytes", keydoc.MaxPolicy)}
	}
	if damage := filekind.Damage(doc); damage != nil {
		return nil, &fileError{line: 1, err: damage}
	}
	if is := filekind.Of(doc); is != "" && is != filekind.Policy {
		return nil, &fileError{err: fmt.Errorf("this is %s, not a policy file", is)}
	}
	root, err := reviewed.Document(doc)
	return root, placed(err)
}

// placed is the error of a policy file for one of package reviewed.
func placed(err error) error {
	if e, ok := err.(*reviewed.Error); ok {
		return &fileError{e.Line, e.Column, e.Err}
	}
	return err
}

// parser walks the nodes; its first error sticks.
type parser struct {
	reviewed.Reader
	policy Policy
	listed map[string]int // line by key ID: an ID is listed once in the whole file
}

func (p *parser) file(root *yaml.Node) {
	version := ""
	p.Fields(root, "the policy", func(key, value *yaml.Node) bool {
		switch key.Value {
		case "version":
			version = value.Value
		case "refresh_hint":
			p.policy.RefreshHint = p.duration(value, keydoc.MaxRefreshHint)
		case "cache":
			p.policy.Cache = p.duration(value, keydoc.MaxCache)
		case "in_flight":
			p.policy.InFlight = p.duration(value, maxInFlight)
		case "producers":
			p.Fields(value, "producers", p.producer)
		case "consumers":
			p.Fields(value, "consumers", p.consumer)
		default:
			return false
		}
		return true
	})
	if version != "1" {
		p.Fail(root, `"version: 1" is missing: this program reads no other version`)
	}
}

func (p *parser) producer(name, n *yaml.Node) bool {
	out := Producer{Name: p.name(name)}
	p.Fields(n, "producer "+name.Value, func(key, value *yaml.Node) bool {
		switch key.Value {
		case "sources":
			out.Sources = p.Strings(value, "!!str")
			p.Check(value, keys.CheckScope(out.Sources, nil))
		case "types":
			out.Types = p.Strings(value, "!!str")
			p.Check(value, keys.CheckScope(nil, out.Types))
		case "accounts":
			out.Accounts = p.Strings(value, "!!str", "!!int", "!!float") // the digits as written
			p.Check(value, keydoc.CheckAccounts(out.Accounts))
		case "keys":
			out.Keys = p.keys(value)
		default:
			return false
		}
		return true
	})
	p.policy.Producers = append(p.policy.Producers, out)
	return true
}

func (p *parser) consumer(name, n *yaml.Node) bool {
	out := Consumer{Name: p.name(name)}
	p.Fields(n, "consumer "+name.Value, func(key, value *yaml.Node) bool {
		if key.Value != "keys" {
			return false
		}
		out.Keys = p.keys(value)
		return true
	})
	p.policy.Consumers = append(p.policy.Consumers, out)
	return true
}

func (p *parser) name(n *yaml.Node) string {
	p.Check(n, keys.CheckProducer(n.Value))
	return n.Value
}

func (p *parser) keys(n *yaml.Node) []Key {
	var list []Key
	p.Fields(n, "keys", func(id, value *yaml.Node) bool {
		list = append(list, p.key(id, value))
		return true
	})
	return list
}

func (p *parser) key(id, n *yaml.Node) Key {
	k := Key{ID: id.Value, line: id.Line}
	if sum, err := base64.RawURLEncoding.Strict().DecodeString(k.ID); err != nil || len(sum) != 32 ||
		len(k.ID) != 43 {
		p.Fail(id, "%q is not a key ID (43 characters): take it from the public key", k.ID)
	}
	if line := p.listed[k.ID]; line != 0 {
		p.Fail(id, "key %s is listed twice, first in line %d: a key belongs to one name", k.ID, line)
	}
	p.listed[k.ID] = id.Line
	p.Fields(n, "key "+k.ID, func(key, value *yaml.Node) bool { return p.keyField(&k, key.Value, value) })
	p.Check(id, k.Schedule.Check())
	return k
}

func (p *parser) keyField(k *Key, name string, value *yaml.Node) bool {
	switch name {
	case "published":
		k.Schedule.Published = p.time(value)
	case "active":
		k.Schedule.Active = p.time(value)
	case "retired":
		k.Schedule.Retired = p.time(value)
	case "expired":
		k.Schedule.Expired = p.time(value)
	case "revoked":
		k.Revoked = p.revocation(value)
	case "tainted":
		k.Tainted, k.TaintReason = true, p.taint(value)
	default:
		return false
	}
	return true
}

func (p *parser) revocation(n *yaml.Node) *trust.Revocation {
	r := &trust.Revocation{}
	p.Fields(n, "revoked", func(key, value *yaml.Node) bool {
		switch key.Value {
		case "at":
			r.At = p.time(value)
		case "reason":
			r.Reason = p.Scalar(value, "!!str")
		default:
			return false
		}
		return true
	})
	p.Check(n, keydoc.CheckRevocation(r.At, r.Reason))
	return r
}

// taint is the reason of a taint: tainted is true, or {reason: TEXT}.
func (p *parser) taint(n *yaml.Node) (reason string) {
	switch {
	case n.Kind == yaml.MappingNode && len(n.Content) > 0:
		p.Fields(n, "tainted", func(key, value *yaml.Node) bool {
			reason = p.Scalar(value, "!!str")
			return key.Value == "reason"
		})
		p.Check(n, checkTaint(reason))
	case n.Kind != yaml.ScalarNode || n.Value != "true" || n.Tag != "!!bool":
		p.Fail(n, "tainted is neither true nor {reason: TEXT}: a key that is not tainted lacks it")
	}
	return reason
}

// checkTaint refuses what is no reason of a revocation either.
func checkTaint(reason string) error {
	if reason == "" || len(reason) > keydoc.MaxReason || !keydoc.Printable(reason) {
		return fmt.Errorf("the reason of a taint is not 1 to %d printable bytes", keydoc.MaxReason)
	}
	return nil
}

// maxInFlight bounds the time for which an event may be in flight. SQS keeps one for 14 days in each queue.
const maxInFlight = 400 * 24 * time.Hour

func (p *parser) duration(n *yaml.Node, most time.Duration) time.Duration {
	text := p.Scalar(n, "!!str")
	d, err := howlong.Parse(text)
	if err != nil || d < time.Second || d > most || d%time.Second != 0 {
		p.Fail(n, "%q is not a duration like 5m, 36h or 14d, in whole seconds up to %s", text,
			howlong.Short(most))
	}
	return d
}

func (p *parser) time(n *yaml.Node) time.Time {
	text := p.Scalar(n, "!!timestamp", "!!str")
	t, err := time.Parse(timeFormat, text)
	if err != nil || t.Format(timeFormat) != text || t.IsZero() {
		p.Fail(n, "%q is not a time in UTC like 2026-01-31T00:00:00Z", text)
	}
	return t
}
