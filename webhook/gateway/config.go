package gateway

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/sealbus/sealbus/webhook/httpsig"
)

// The limits of a configuration.
const (
	maxConfig    = 256 << 10 // bytes: some 500 endpoints
	maxEndpoints = 256       // each holds its keys in memory
	maxRate      = 1e6       // deliveries a second
)

// ConfigError is one thing that is wrong in a configuration. It has no secret.
type ConfigError struct {
	Line  int    // of the file, from 1; 0 = it is not known
	Field string // "endpoints.github.path"; "" = the whole file
	Err   error
}

// Error is "line 7: endpoints.github.path: cause".
func (e *ConfigError) Error() string {
	text := ""
	if e.Line > 0 {
		text = "line " + strconv.Itoa(e.Line) + ": "
	}
	if e.Field != "" {
		text += e.Field + ": "
	}
	return text + e.Err.Error()
}

// Unwrap is the cause.
func (e *ConfigError) Unwrap() error { return e.Err }

// place is where something stands in the file.
type place struct {
	line  int
	field string
}

func (p place) fail(format string, args ...any) error {
	return &ConfigError{Line: p.line, Field: p.field, Err: fmt.Errorf(format, args...)}
}

// placed is a text with its place.
type placed struct {
	place
	value string
}

// config is a configuration that was read. Nothing was fetched yet.
type config struct {
	baseURL   string
	callers   callersConfig
	endpoints []endpointConfig
	out       []outConfig
}

type endpointConfig struct {
	name string
	at   place

	path, provider, recipe, source, clientSecret placed
	secrets                                      []secretConfig
	typePrefix, baseURL, webhookID               string
	audience, email, clientID                    string
	tolerance                                    time.Duration
	maxBody, burst                               int
	rate                                         float64 // deliveries a second; 0 = no limit
	contentTypes, topics                         []string
	unsafeSHA1, unsafeNoToken                    bool
	profile                                      *httpsig.Profile // nil = the zero one
}

type secretConfig struct {
	reference           placed
	id                  string
	notBefore, notAfter time.Time
}

// parse reads a configuration. The error has each thing that is wrong.
func parse(doc []byte) (*config, error) {
	if len(doc) > maxConfig {
		return nil, &ConfigError{Err: fmt.Errorf("it has more than %d bytes", maxConfig)}
	}
	var root, more yaml.Node
	d := yaml.NewDecoder(bytes.NewReader(doc))
	if err := d.Decode(&root); err != nil && err != io.EOF {
		return nil, syntaxError(err)
	}
	if d.Decode(&more) != io.EOF && more.Line > 0 {
		return nil, &ConfigError{Line: more.Line, Err: errors.New("a second document begins: one is read")}
	}
	if root.Kind != yaml.DocumentNode || len(root.Content) != 1 {
		return nil, &ConfigError{Err: errors.New("it is empty: it needs endpoints")}
	}
	var r reader
	c := &config{}
	r.mapping(root.Content[0], "", func(name string) reading {
		switch name {
		case "base_url":
			return r.text(&c.baseURL)
		case "endpoints":
			return func(n *yaml.Node, at place) { c.endpoints = r.endpoints(n, at) }
		case "out":
			return func(n *yaml.Node, at place) { c.out = r.out(n, at) }
		}
		return r.callers(&c.callers, name)
	})
	if len(r.errs) == 0 && len(c.endpoints)+len(c.out) == 0 {
		r.fail(place{root.Content[0].Line, "endpoints"}, "there is none")
	}
	r.unique(c)
	r.checkCallers(c)
	return c, errors.Join(r.errs...)
}

// syntaxError is an error of the YAML parser, whose text names the line.
func syntaxError(err error) error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	var line int
	if n, _ := fmt.Sscanf(text, "line %d: ", &line); n == 1 {
		_, text, _ = strings.Cut(text, ": ")
	}
	if strings.HasPrefix(text, "unknown anchor") { // its name may be a secret that begins with "*"
		text = `a value that begins with "*" must be in quotes`
	}
	return &ConfigError{Line: line, Err: errors.New("it is no YAML: " + text)}
}

// unique completes the endpoints, and refuses two with one path or one source: deliveries would go to either,
// and id and source together name an event.
func (r *reader) unique(c *config) {
	paths, sources := map[string]string{}, map[string]string{}
	for i := range c.endpoints {
		e := &c.endpoints[i]
		e.baseURL = cmp.Or(e.baseURL, c.baseURL)
		for _, one := range []struct {
			seen map[string]string
			p    placed
		}{{paths, e.path}, {sources, e.source}} {
			if one.p.value == "" {
				continue
			}
			if other, found := one.seen[one.p.value]; found {
				r.fail(one.p.place, "%.200q is that of the endpoint %s, too", one.p.value, other)
			}
			one.seen[one.p.value] = e.name
		}
	}
}

// reader collects what is wrong.
type reader struct{ errs []error }

// reading reads one value.
type reading func(n *yaml.Node, at place)

func (r *reader) fail(at place, format string, args ...any) {
	r.errs = append(r.errs, at.fail(format, args...))
}

// mapping reads each field of a mapping by the reading that known gives; nil = the field is not known.
func (r *reader) mapping(n *yaml.Node, field string, known func(name string) reading) {
	at := place{n.Line, field}
	if n.Kind != yaml.MappingNode {
		r.fail(at, "fields are needed here, as NAME: VALUE")
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		below := place{key.Line, strings.TrimPrefix(field+"."+key.Value, ".")}
		if key.Kind != yaml.ScalarNode || key.Value == "" {
			r.fail(at, "a field has no name")
			continue
		}
		if seen[key.Value] {
			r.fail(below, "it stands twice")
			continue
		}
		seen[key.Value] = true
		read := known(key.Value)
		if read == nil {
			r.fail(below, "there is no such field")
			continue
		}
		read(value, below)
	}
}

// scalar is the text of a single value with one of the tags.
func (r *reader) scalar(n *yaml.Node, at place, what string, tags ...string) (string, bool) {
	if n.Kind != yaml.ScalarNode || !slices.Contains(tags, n.ShortTag()) || n.Value == "" {
		r.fail(at, "%s is needed here", what)
		return "", false
	}
	return n.Value, true
}

func (r *reader) text(to *string) reading {
	return func(n *yaml.Node, at place) {
		if text, ok := r.scalar(n, at, "a text (in quotes, if it looks like a number)", "!!str"); ok {
			*to = text
		}
	}
}

func (r *reader) placed(to *placed, check func(string) error) reading {
	return func(n *yaml.Node, at place) {
		to.place = at
		r.text(&to.value)(n, at)
		if to.value == "" || check == nil {
			return
		}
		if err := check(to.value); err != nil {
			r.fail(at, "%w", err)
		}
	}
}

func (r *reader) texts(to *[]string) reading {
	return func(n *yaml.Node, at place) {
		if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
			r.fail(at, "a list is needed here, as [A, B]")
			return
		}
		for i, item := range n.Content {
			var text string
			r.text(&text)(item, place{item.Line, fmt.Sprintf("%s.%d", at.field, i)})
			*to = append(*to, text)
		}
	}
}

func (r *reader) number(to *float64, least, most float64) reading {
	return func(n *yaml.Node, at place) {
		text, ok := r.scalar(n, at, "a number", "!!int", "!!float")
		if !ok {
			return
		}
		number, err := strconv.ParseFloat(text, 64)
		if err != nil || !(number >= least && number <= most) {
			r.fail(at, "a number from %s to %s is needed here", strconv.FormatFloat(least, 'f', -1, 64),
				strconv.FormatFloat(most, 'f', -1, 64))
			return
		}
		*to = number
	}
}

func (r *reader) whole(to *int, most int) reading {
	return func(n *yaml.Node, at place) {
		var number float64
		r.number(&number, 1, float64(most))(n, at)
		if number != math.Trunc(number) {
			r.fail(at, "a whole number is needed here")
		}
		*to = int(number)
	}
}

func (r *reader) flag(to *bool) reading {
	return func(n *yaml.Node, at place) {
		if text, ok := r.scalar(n, at, "true or false", "!!bool"); ok {
			*to = strings.EqualFold(text, "true")
		}
	}
}

func (r *reader) duration(to *time.Duration) reading {
	return func(n *yaml.Node, at place) {
		text, ok := r.scalar(n, at, "a duration such as 5m", "!!str")
		if !ok {
			return
		}
		d, err := time.ParseDuration(text)
		if err != nil || d <= 0 {
			r.fail(at, "a duration such as 5m or 72h is needed here")
			return
		}
		*to = d
	}
}

func (r *reader) moment(to *time.Time) reading {
	return func(n *yaml.Node, at place) {
		text, ok := r.scalar(n, at, "a time", "!!timestamp", "!!str")
		if !ok {
			return
		}
		t, err := time.Parse(time.RFC3339, text)
		if err != nil {
			r.fail(at, "a time such as 2026-11-30T12:00:00Z is needed here")
			return
		}
		*to = t
	}
}

func (r *reader) endpoints(n *yaml.Node, at place) (list []endpointConfig) {
	r.mapping(n, at.field, func(name string) reading {
		return func(n *yaml.Node, at place) {
			if len(list) == maxEndpoints {
				r.fail(at, "there are more than %d endpoints", maxEndpoints)
				return
			}
			list = append(list, r.endpoint(n, at, name))
		}
	})
	return list
}

func (r *reader) endpointName(name string, at place) {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789-_"
	if len(name) > 64 || strings.Trim(name, letters) != "" {
		r.fail(at, `the name must have 1 to 64 of a-z, 0-9, "-" and "_"`)
	}
}

func (r *reader) endpoint(n *yaml.Node, at place, name string) endpointConfig {
	e := endpointConfig{name: name, at: at}
	r.endpointName(name, at)
	before := len(r.errs)
	r.mapping(n, at.field, func(field string) reading {
		return map[string]reading{
			"path":     r.placed(&e.path, checkPath),
			"provider": r.placed(&e.provider, nil), "recipe": r.placed(&e.recipe, nil),
			"source":      r.placed(&e.source, nil),
			"secrets":     func(n *yaml.Node, at place) { e.secrets = r.secrets(n, at) },
			"type_prefix": r.text(&e.typePrefix), "base_url": r.text(&e.baseURL),
			"tolerance": r.duration(&e.tolerance), "max_body": r.whole(&e.maxBody, 32<<20),
			"rate": r.number(&e.rate, 1/maxRate, maxRate), "burst": r.whole(&e.burst, maxRate),
			"content_types": r.texts(&e.contentTypes), "topics": r.texts(&e.topics),
			"webhook_id": r.text(&e.webhookID), "unsafe_sha1": r.flag(&e.unsafeSHA1),
			"unsafe_no_token": r.flag(&e.unsafeNoToken),
			"audience":        r.text(&e.audience), "email": r.text(&e.email),
			"client_id": r.text(&e.clientID), "client_secret": r.placed(&e.clientSecret, checkReference),
			"profile": func(n *yaml.Node, at place) { e.profile = r.profile(n, at) },
		}[field]
	})
	if len(r.errs) > before {
		return e
	}
	switch {
	case e.path.value == "":
		r.fail(at, "it has no path")
	case e.source.value == "":
		r.fail(at, "it has no source: the source of its events, one for each endpoint")
	case (e.provider.value == "") == (e.recipe.value == ""):
		r.fail(at, "it needs either provider or recipe")
	case e.burst > 0 && e.rate == 0:
		r.fail(at, "it has a burst and no rate")
	case e.profile != nil && e.provider.value != httpsig.Name:
		r.fail(at, "it has a profile, which only the provider %s has", httpsig.Name)
	}
	if e.burst == 0 {
		e.burst = max(1, int(math.Ceil(e.rate)))
	}
	return e
}

// profile reads what HTTP Message Signatures cover.
func (r *reader) profile(n *yaml.Node, at place) *httpsig.Profile {
	p := new(httpsig.Profile)
	r.mapping(n, at.field, func(field string) reading {
		return map[string]reading{
			"label": r.text(&p.Label), "tag": r.text(&p.Tag), "id": r.text(&p.ID),
			"components": r.texts(&p.Components), "optional": r.texts(&p.Optional),
			"parameters": r.texts(&p.Parameters),
		}[field]
	})
	return p
}

// checkPath refuses a path that could be written in two ways, or that net/http or a proxy would change.
func checkPath(path string) error {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/"
	if path[0] != '/' || len(path) > 256 || strings.Trim(path, letters) != "" ||
		strings.Contains(path, "//") ||
		slices.ContainsFunc(strings.Split(path, "/"), func(s string) bool { return s == "." || s == ".." }) {
		return fmt.Errorf(`%.80q must begin with "/" and have letters, digits, "-", ".", "_", "~" `+
			`and "/" only`, path)
	}
	return nil
}

// secrets reads a list of references, or of mappings with ref, id, not_before and not_after.
func (r *reader) secrets(n *yaml.Node, at place) (list []secretConfig) {
	if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
		r.fail(at, "a list of references is needed here, such as [env:NAME]")
		return nil
	}
	for i, item := range n.Content {
		var s secretConfig
		here := place{item.Line, fmt.Sprintf("%s.%d", at.field, i)}
		if item.Kind == yaml.MappingNode {
			r.mapping(item, here.field, func(field string) reading {
				known := map[string]reading{
					"ref": r.placed(&s.reference, checkReference), "id": r.text(&s.id),
					"not_before": r.moment(&s.notBefore), "not_after": r.moment(&s.notAfter),
				}[field]
				if known == nil { // its name may be the beginning of a secret
					known = func(*yaml.Node, place) { r.fail(here, "it has ref, id, not_before and not_after only") }
				}
				return known
			})
			if s.reference.line == 0 {
				r.fail(here, "it has no ref")
			}
		} else {
			r.placed(&s.reference, checkReference)(item, here)
		}
		s.id = cmp.Or(s.id, s.reference.value)
		list = append(list, s)
	}
	return list
}
