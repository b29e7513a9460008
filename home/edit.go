package home

import (
	"bytes"
	"fmt"

	"go.yaml.in/yaml/v3"
)

// newFile is the file of a home without producers and consumers.
const newFile = `# A sealbus home: this file names the keys and the trust of the programs here. Nothing in it is secret.
# Paths are relative to this file. ` + "`sealbus init`" + ` adds producers and consumers.
version: 1
audience: central # producers seal for it, and consumers want it
trust:
  roots: trust/roots.json # consumers trust what these keys sign
  bundle: trust/trust.dsse
  timestamp: trust/timestamp.dsse
  state: state/trust # the newest bundle that was seen
  policy: trust/policy.yaml # who may say what: have each change reviewed
  keys: trust/keys
  root_key: secret/root.key # in production: offline, and nowhere near here
  timestamp_key: secret/timestamp.key
producers: {}
consumers: {}
quarantine_key: secret/quarantine.key
`

// NewConfig is the sealbus.yaml of a home without producers and consumers, as `sealbus init` begins it.
func NewConfig() []byte { return []byte(newFile) }

// AddProducer adds a producer to the text of a sealbus.yaml. Comments and order are kept, and blank lines and
// spacing are not. The result is a valid file.
func AddProducer(doc []byte, e *ProducerEntry) ([]byte, error) {
	n := mapping("keyring", text(e.Keyring))
	if e.Sources != nil {
		n.Content = append(n.Content, text("sources"), list(e.Sources))
	}
	return add(doc, "producers", e.Name, n)
}

// AddConsumer is AddProducer for a consumer.
func AddConsumer(doc []byte, e *ConsumerEntry) ([]byte, error) {
	n := mapping()
	if e.Sources != nil {
		n.Content = append(n.Content, text("sources"), list(e.Sources))
	}
	if e.Types != nil {
		n.Content = append(n.Content, text("types"), list(e.Types))
	}
	if e.Audience != "" {
		n.Content = append(n.Content, text("audience"), text(e.Audience))
	}
	if e.Identity != "" {
		n.Content = append(n.Content, text("identity"), text(e.Identity))
	}
	return add(doc, "consumers", e.Name, n)
}

func add(doc []byte, field, name string, entry *yaml.Node) ([]byte, error) {
	if _, err := ParseConfig(doc); err != nil {
		return nil, err
	}
	var file yaml.Node // with the comments around the mapping
	if err := yaml.Unmarshal(doc, &file); err != nil {
		return nil, fmt.Errorf("home: %w", err)
	}
	root, at := file.Content[0], -1
	for i := 0; i < len(root.Content); i += 2 {
		if root.Content[i].Value == field {
			at = i + 1
		}
	}
	if at < 0 {
		root.Content = append(root.Content, text(field), mapping())
		at = len(root.Content) - 1
	}
	under := root.Content[at]
	if under.Kind != yaml.MappingNode { // it is empty
		root.Content[at] = mapping()
		under = root.Content[at]
	}
	under.Style = 0
	under.Content = append(under.Content, text(name), entry)
	var b bytes.Buffer
	w := yaml.NewEncoder(&b)
	w.SetIndent(2)
	if err := w.Encode(&file); err != nil {
		return nil, fmt.Errorf("home: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("home: %w", err)
	}
	if _, err := ParseConfig(b.Bytes()); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func mapping(content ...any) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for _, c := range content {
		switch c := c.(type) {
		case string:
			n.Content = append(n.Content, text(c))
		case *yaml.Node:
			n.Content = append(n.Content, c)
		}
	}
	return n
}

// text is a string as YAML writes it: in quotes where it would be something else without.
func text(s string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(s)
	return n
}

func list(items []string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Style: yaml.FlowStyle}
	for _, s := range items {
		n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s,
			Style: yaml.DoubleQuotedStyle})
	}
	return n
}
