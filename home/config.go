package home

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/internal/reviewed"
	"github.com/sealbus/sealbus/keys"
)

// File is the name of the file that makes a directory a home.
const File = "sealbus.yaml"

// The limits of the file.
const (
	MaxFile  = 1 << 20 // bytes: room for some thousand producers
	maxNames = 1_000   // producers, and consumers
	maxPath  = 512     // bytes of a path
)

// Config is what a sealbus.yaml says. Its paths have slashes, are relative to the home and stay in it.
type Config struct {
	Audience      string // "" = events are sealed for every audience
	Trust         TrustFiles
	Producers     []ProducerEntry // in the order of the file
	Consumers     []ConsumerEntry // in the order of the file
	QuarantineKey string          // authenticates quarantine records; "" = none
}

// TrustFiles are the files of trust. Those from Policy on are for the people who keep the trust; "" = they
// are elsewhere.
type TrustFiles struct {
	Roots      string // the pinned roots; required
	Bundle     string // the signed bundle; required
	Timestamp  string // timestamp.dsse beside the bundle; "" = the roots name no timestamp key
	State      string // remembers the newest bundle; "" = nothing does
	MinVersion int64  // of the bundle; 0 = any

	Policy       string // the reviewed policy
	Keys         string // a directory with the public keys that the policy lists
	RootKey      string // the private root key
	TimestampKey string // the private timestamp key
}

// ProducerEntry is a producer of the home.
type ProducerEntry struct {
	Name    string
	Keyring string   // required
	Sources []string // what consumers without sources of their own accept; nil = nothing
}

// ConsumerEntry is a consumer of the home.
type ConsumerEntry struct {
	Name     string
	Sources  []string // patterns; nil = the sources of all producers of the home
	Types    []string // patterns; nil = all that the trust allows
	Audience string   // "" = that of the file
	Identity string   // the keyring to decrypt with; "" = encrypted data is not opened
}

// ParseConfig reads a sealbus.yaml and checks all of it. Its error names the line and the column.
func ParseConfig(doc []byte) (*Config, error) {
	c, err := parse(doc)
	if err != nil {
		return nil, fmt.Errorf("home: %w", err)
	}
	return c, nil
}

func parse(doc []byte) (*Config, error) {
	if len(doc) > MaxFile {
		return nil, fmt.Errorf("more than %d bytes", MaxFile)
	}
	root, err := reviewed.Document(doc)
	if err != nil {
		return nil, err
	}
	p := &parser{names: map[string]int{}}
	if p.file(root); p.Err != nil {
		return nil, p.Err
	}
	return &p.config, nil
}

// parser walks the nodes; its first error sticks.
type parser struct {
	reviewed.Reader
	config Config
	names  map[string]int // the line of a name, which is of one producer or consumer
}

func (p *parser) file(root *yaml.Node) {
	version, c := "", &p.config
	p.Fields(root, "the file", func(key, value *yaml.Node) bool {
		switch key.Value {
		case "version":
			version = value.Value
		case "audience":
			c.Audience = p.audience(value)
		case "trust":
			p.trust(value)
		case "producers":
			p.Fields(value, "producers", p.producer)
		case "consumers":
			p.Fields(value, "consumers", p.consumer)
		case "quarantine_key":
			c.QuarantineKey = p.path(value)
		default:
			return false
		}
		return true
	})
	t := &c.Trust
	switch {
	case version != "1":
		p.Fail(root, `"version: 1" is missing: this program reads no other version`)
	case t.Roots == "" || t.Bundle == "":
		p.Fail(root, "trust needs roots and bundle: the files by which events are judged")
	case t.Timestamp != "" && t.Timestamp != path.Join(path.Dir(t.Bundle), keydoc.TimestampFile):
		p.Fail(root, "the timestamp must be %s beside the bundle", keydoc.TimestampFile)
	case len(c.Producers) > maxNames || len(c.Consumers) > maxNames:
		p.Fail(root, "more than %d producers or consumers", maxNames)
	}
}

func (p *parser) trust(n *yaml.Node) {
	t := &p.config.Trust
	to := map[string]*string{"roots": &t.Roots, "bundle": &t.Bundle, "timestamp": &t.Timestamp, "state": &t.State,
		"policy": &t.Policy, "keys": &t.Keys, "root_key": &t.RootKey, "timestamp_key": &t.TimestampKey}
	p.Fields(n, "trust", func(key, value *yaml.Node) bool {
		if key.Value == "min_version" {
			t.MinVersion = p.version(value)
			return true
		}
		field, ok := to[key.Value]
		if ok {
			*field = p.path(value)
		}
		return ok
	})
}

func (p *parser) producer(name, n *yaml.Node) bool {
	e := ProducerEntry{Name: p.name(name)}
	p.Fields(n, "producer "+name.Value, func(key, value *yaml.Node) bool {
		switch key.Value {
		case "keyring":
			e.Keyring = p.path(value)
		case "sources":
			e.Sources = p.patterns(value, keys.CheckSourcePattern)
		default:
			return false
		}
		return true
	})
	if e.Keyring == "" {
		p.Fail(name, "producer %s has no keyring", e.Name)
	}
	p.config.Producers = append(p.config.Producers, e)
	return true
}

func (p *parser) consumer(name, n *yaml.Node) bool {
	e := ConsumerEntry{Name: p.name(name)}
	p.Fields(n, "consumer "+name.Value, func(key, value *yaml.Node) bool {
		switch key.Value {
		case "sources":
			e.Sources = p.patterns(value, keys.CheckSourcePattern)
		case "types":
			e.Types = p.patterns(value, keys.CheckTypePattern)
		case "audience":
			e.Audience = p.audience(value)
		case "identity":
			e.Identity = p.path(value)
		default:
			return false
		}
		return true
	})
	p.config.Consumers = append(p.config.Consumers, e)
	return true
}

func (p *parser) name(n *yaml.Node) string {
	name := n.Value
	if err := CheckName(name); err != nil {
		p.Fail(n, "%w", err)
	}
	if line := p.names[name]; line != 0 {
		p.Fail(n, "the name %s is that of another, in line %d: each producer and consumer has its own", name, line)
	}
	p.names[name] = n.Line
	return name
}

// CheckName refuses a name that a producer or consumer of a home cannot have. Files are called after it, so
// it is stricter than keys.CheckProducer: 1 to 64 letters, digits and . _ -, and the first is a letter or a
// digit.
func CheckName(name string) error {
	if err := keys.CheckProducer(name); err != nil || len(name) > 64 || strings.ContainsAny(name, "/:@") {
		return fmt.Errorf("the name %.70q is not 1 to 64 letters, digits and . _ - with a letter or digit first",
			name)
	}
	return nil
}

// patterns reads a list that has an entry. An empty one could be read as "nothing" and as "everything".
func (p *parser) patterns(n *yaml.Node, check func(string) error) []string {
	list := p.Strings(n, "!!str")
	switch {
	case len(list) == 0:
		p.Fail(n, "an empty list: leave it out, or name a pattern")
	case len(list) > keydoc.MaxPatterns:
		p.Fail(n, "more than %d patterns", keydoc.MaxPatterns)
	}
	for _, pattern := range list {
		p.Check(n, check(pattern))
	}
	return list
}

func (p *parser) audience(n *yaml.Node) string {
	name := p.Scalar(n, "!!str")
	if err := keys.CheckProducer(name); err != nil {
		p.Fail(n, "an audience is one name of letters, digits and . _ - / : @")
	}
	return name
}

func (p *parser) version(n *yaml.Node) int64 {
	v, err := strconv.ParseInt(p.Scalar(n, "!!int"), 10, 64)
	if err != nil || v < 1 || v > 1<<53-1 {
		p.Fail(n, "min_version is a number from 1 on")
	}
	return v
}

func (p *parser) path(n *yaml.Node) string {
	name := p.Scalar(n, "!!str")
	p.Check(n, checkPath(name))
	return name
}

// checkPath refuses what leaves the home, also on another system: a home is copied as a whole, and that of an
// attacker must name no file of this user.
func checkPath(name string) error {
	switch {
	case name == "":
		return errors.New("an empty path")
	case len(name) > maxPath:
		return fmt.Errorf("a path of more than %d bytes", maxPath)
	case !keydoc.Printable(name) || strings.ContainsAny(name, `\:`):
		return errors.New("a path has slashes, and no backslash, colon or unprintable character")
	case path.IsAbs(name) || path.Clean(name) != name || name == "." || strings.HasPrefix(name, "..") ||
		!filepath.IsLocal(filepath.FromSlash(name)):
		return fmt.Errorf("the path %.100q is not one below the home, in its shortest form", name)
	}
	return nil
}

// Producer is the entry of that name; "" = the only one.
func (c *Config) Producer(name string) (*ProducerEntry, error) {
	return entry(c.Producers, name, "producer", "--source PATTERN --type PATTERN",
		func(e *ProducerEntry) string { return e.Name })
}

// Consumer is the entry of that name; "" = the only one.
func (c *Config) Consumer(name string) (*ConsumerEntry, error) {
	return entry(c.Consumers, name, "consumer", "--consumer", func(e *ConsumerEntry) string { return e.Name })
}

func entry[T any](list []T, name, what, flags string, nameOf func(*T) string) (*T, error) {
	names := make([]string, len(list))
	for i := range list {
		if names[i] = nameOf(&list[i]); names[i] == name || name == "" && len(list) == 1 {
			e := list[i]
			return &e, nil
		}
	}
	made := name
	switch {
	case len(list) == 0:
		if made == "" {
			made = "NAME"
		}
		return nil, &MissingError{What: "the home has no " + what, Command: "sealbus init " + made + " " + flags}
	case name == "":
		return nil, &MissingError{Several: what, What: fmt.Sprintf("the home has several %ss: name one of %s", what,
			strings.Join(names, ", "))}
	}
	return nil, &MissingError{What: fmt.Sprintf("the home has no %s %q, but %s", what, name,
		strings.Join(names, ", ")), Command: "sealbus init " + made + " " + flags}
}

// SourcesOf are the sources that the consumer accepts: its own, or else those of all producers of the home.
func (c *Config) SourcesOf(e *ConsumerEntry) (sources []string, err error) {
	if len(e.Sources) > 0 {
		return e.Sources, nil
	}
	seen := map[string]bool{}
	for _, p := range c.Producers {
		for _, s := range p.Sources {
			if !seen[s] {
				seen[s], sources = true, append(sources, s)
			}
		}
	}
	if len(sources) == 0 {
		return nil, &MissingError{What: fmt.Sprintf("consumer %s accepts no source: write sources under its name in %s, "+
			"or make a producer", e.Name, File), Command: "sealbus init NAME --source PATTERN --type PATTERN"}
	}
	return sources, nil
}

// AudienceOf is the audience that the consumer wants; "" = any.
func (c *Config) AudienceOf(e *ConsumerEntry) string {
	if e.Audience != "" {
		return e.Audience
	}
	return c.Audience
}
