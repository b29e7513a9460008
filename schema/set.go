package schema

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/nilcheck"
	"github.com/sealbus/sealbus/internal/wire"
)

// Options say which schema judges an event.
type Options struct {
	// Types are the schemas by the type of the event, exactly as it is written; nil = none.
	Types map[string]*Schema
	// DataSchemas are the schemas by the dataschema of the event: an allow-list. If there are any, an event
	// that names another one is refused. The sender chooses: an event whose type is not in Types may name each
	// of them. nil = dataschema is ignored.
	DataSchemas map[string]*Schema
	// UnsafeUnlisted true: an event for which there is no schema passes. false: it is refused.
	UnsafeUnlisted bool
}

// Set judges events, each by the schema of its type, and by that of its dataschema. If it has both, both must
// accept the data. It is an envelope.Validator, and safe for concurrent use.
type Set struct{ opts Options }

var _ envelope.Validator = (*Set)(nil)

// NewSet makes a Set. A Set without any schema is refused.
func NewSet(opts *Options) (*Set, error) {
	if opts == nil || len(opts.Types)+len(opts.DataSchemas) == 0 {
		return nil, errors.New("schema: no schemas: give Types or DataSchemas")
	}
	s := &Set{*opts}
	s.opts.Types, s.opts.DataSchemas = maps.Clone(opts.Types), maps.Clone(opts.DataSchemas)
	for _, list := range []map[string]*Schema{s.opts.Types, s.opts.DataSchemas} {
		for name, one := range list {
			if name == "" || one == nil || one.graph == nil {
				return nil, fmt.Errorf("schema: %.200q has no schema: Compile makes one", name)
			}
		}
	}
	return s, nil
}

// Validate judges the data of one event. The error is an *envelope.SchemaError.
func (s *Set) Validate(d envelope.Document) error {
	byType, byURI := s.opts.Types[d.Type], s.opts.DataSchemas[d.DataSchema]
	if d.DataSchema != "" && byURI == nil && len(s.opts.DataSchemas) > 0 {
		return &envelope.SchemaError{Cause: "its dataschema is not on the list"}
	}
	if byType == nil && byURI == nil {
		if s.opts.UnsafeUnlisted {
			return nil
		}
		return &envelope.SchemaError{Cause: "there is no schema for its type"}
	}
	if byURI == byType {
		byURI = nil // it judges once
	}
	for _, one := range []*Schema{byType, byURI} {
		switch {
		case one == nil:
			continue
		case len(d.Data) == 0:
			return one.refuse("there is no data")
		case !wire.IsJSON(d.ContentType):
			return one.refuse("the data is not JSON")
		}
		if err := one.Validate(d.Data); err != nil {
			return err
		}
	}
	return nil
}

// ReadSet reads a set file and the schemas that it names:
//
//	{
//	  "version": 1,
//	  "types": {"com.example.order.placed": "order.json"},
//	  "dataschemas": {"https://schemas.example/order/1": "order.json"},
//	  "references": {"https://schemas.example/common": "common.json"},
//	  "registries": ["aws-registry-export.json"],
//	  "unlisted": "refuse"
//	}
//
// Files are paths in fsys, with slashes and without "..". Each $ref may lead to a file that the set file
// names, by its path or by its name in references. "registries" are exports of an EventBridge schema
// registry, as Convert takes them: their detail types are types. "unlisted" is "refuse", which is the
// default, or "unsafe-allow".
func ReadSet(fsys fs.FS, name string) (*Set, error) {
	if err := nilcheck.Check("the file system", fsys); err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	if name == "" {
		return nil, errors.New("schema: no name: give the file that lists the schemas")
	}
	text, err := readFile(fsys, name)
	if err != nil {
		return nil, err
	}
	f, err := parseSet(text)
	if err != nil {
		return nil, fmt.Errorf("schema: %.200q: %w", name, err)
	}
	documents, err := f.documents(fsys)
	if err != nil {
		return nil, err
	}
	compiled := map[string]*Schema{} // by file
	compileAll := func(files map[string]string) (map[string]*Schema, error) {
		out := map[string]*Schema{}
		for _, key := range slices.Sorted(maps.Keys(files)) {
			file := files[key]
			if compiled[file] == nil {
				if compiled[file], err = Compile(file, documents); err != nil {
					return nil, err
				}
			}
			out[key] = compiled[file]
		}
		return out, nil
	}
	opts := Options{UnsafeUnlisted: f.unlisted == "unsafe-allow"}
	if opts.Types, err = compileAll(f.types); err != nil {
		return nil, err
	}
	if opts.DataSchemas, err = compileAll(f.dataSchemas); err != nil {
		return nil, err
	}
	for _, file := range f.registries {
		if err := addRegistry(fsys, file, opts.Types); err != nil {
			return nil, err
		}
	}
	return NewSet(&opts)
}

// addRegistry adds the schema of one export.
func addRegistry(fsys fs.FS, file string, types map[string]*Schema) error {
	text, err := readFile(fsys, file)
	if err != nil {
		return err
	}
	eventType, document, err := Convert(text)
	if err != nil {
		return fmt.Errorf("%.200q: %w", file, err)
	}
	if types[eventType] != nil {
		return fmt.Errorf("schema: %.200q: the type %.200q has a schema already", file, eventType)
	}
	types[eventType], err = Compile(file, map[string][]byte{file: document})
	return err
}

// setFile is a set file. Its maps are from a name to a file.
type setFile struct {
	version                        int64
	types, dataSchemas, references map[string]string
	registries                     []string
	unlisted                       string
}

func parseSet(text []byte) (*setFile, error) {
	f := &setFile{}
	d := jsontext.NewDecoder(text)
	for o := d.Object(); d.Member(&o); {
		switch name := string(o.Name); name {
		case "version":
			f.version = d.Int()
		case "types":
			f.types = readNames(&d)
		case "dataschemas":
			f.dataSchemas = readNames(&d)
		case "references":
			f.references = readNames(&d)
		case "registries":
			for a := d.Array(); d.Element(&a); {
				f.registries = append(f.registries, d.String())
			}
		case "unlisted":
			f.unlisted = d.String()
		default:
			d.Failf("a set file has no member %.100q", name)
		}
	}
	if err := d.End(); err != nil {
		return nil, err
	}
	switch {
	case f.version != 1:
		return nil, fmt.Errorf(`"version" is %d: 1 is read`, f.version)
	case f.unlisted != "" && f.unlisted != "refuse" && f.unlisted != "unsafe-allow":
		return nil, fmt.Errorf(`"unlisted" is %.100q: give "refuse" or "unsafe-allow"`, f.unlisted)
	}
	return f, nil
}

func readNames(d *jsontext.Decoder) map[string]string {
	names := map[string]string{}
	for o := d.Object(); d.Member(&o); {
		name := string(o.Name)
		names[name] = d.String()
	}
	return names
}

// documents are all files that the set file names, but registries, by path, and references by their names
// too.
func (f *setFile) documents(fsys fs.FS) (map[string][]byte, error) {
	documents := map[string][]byte{}
	for _, list := range []map[string]string{f.types, f.dataSchemas, f.references} {
		for _, name := range slices.Sorted(maps.Keys(list)) {
			file := list[name]
			if documents[file] != nil {
				continue
			}
			text, err := readFile(fsys, file)
			if err != nil {
				return nil, err
			}
			documents[file] = text
		}
	}
	for name, file := range f.references {
		if documents[name] != nil && name != file {
			return nil, fmt.Errorf("schema: the reference %.200q is a file of the set, too", name)
		}
		documents[name] = documents[file]
	}
	return documents, nil
}

// readFile reads at most MaxSchema bytes.
func readFile(fsys fs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, MaxSchema+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("schema: %w", err)
	case len(text) > MaxSchema:
		return nil, fmt.Errorf("schema: %.200q has more than %d bytes", name, MaxSchema)
	}
	return text, nil
}
