package schema

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/errtext"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/schema"
)

type checkFlags struct {
	references, data []string
	set              bool
	typ, dataSchema  string
}

func checkCommand(env *ui.Env) *cobra.Command {
	f := &checkFlags{}
	cmd := env.Command(ui.Command{
		Use: "check FILE...", Short: "Say whether a schema is taken, and judge data by it",
		Args: ui.AtLeastOne("FILE"),
		Long: `Read schemas, draft 7 or 2020-12 of JSON Schema, as a program would, and say of each whether it is
taken: whether it is a schema, within the bounds that keep validation under a second.

An export of an EventBridge schema registry (OpenAPI 3.0 or draft 4) is converted first, or refused with a
sentence. With --set, FILE is a set file: it and all files that it names are read.

--data judges the data of an event by the schema, and writes where it does not follow it, as a JSON Pointer
and a keyword. A $ref may lead to each --reference, by its name relative to FILE.

Exit status: 0 all schemas are taken and all data follows them, 1 a schema or data is refused.`,
		Example: `sealbus schema check order.json --reference common.json --data order-1.json
sealbus schema check --set set.json --type com.example.order.placed --data order-1.json`,
		Run: func(_ context.Context, files []string) error { return check(env, f, files) },
	})
	flags := cmd.Flags()
	flags.StringArrayVar(&f.references, "reference", nil, "a `FILE` that schemas may refer to")
	flags.StringArrayVar(&f.data, "data", nil, "judge the data in a `FILE`")
	flags.BoolVar(&f.set, "set", false, "FILE is a set file")
	flags.StringVar(&f.typ, "type", "", "with --set: the event's `TYPE`")
	flags.StringVar(&f.dataSchema, "dataschema", "", "with --set: the event's dataschema, a `URI`")
	return cmd
}

// checkResult is what was found about one schema, for programs.
type checkResult struct {
	File    string       `json:"file"`
	Taken   bool         `json:"taken"`
	Type    string       `json:"type,omitempty"`    // that an export names
	Finding string       `json:"finding,omitempty"` // why it is not taken
	Data    []dataResult `json:"data,omitempty"`
}

// dataResult is the verdict on one file of data.
type dataResult struct {
	File    string  `json:"file"`
	Follows bool    `json:"follows"`
	Cause   string  `json:"cause,omitempty"`
	Faults  []fault `json:"faults,omitempty"`
	More    bool    `json:"more,omitempty"`
}

type fault struct {
	Pointer string `json:"pointer"`
	Keyword string `json:"keyword"`
}

func check(env *ui.Env, f *checkFlags, files []string) error {
	if !f.set && (f.typ != "" || f.dataSchema != "") {
		return ui.Usage("add --set, or drop them", "--type and --dataschema choose a schema of a set")
	}
	if f.set && len(f.data) > 0 && f.typ == "" && f.dataSchema == "" {
		return ui.Usage("add --type TYPE or --dataschema URI", "--data with --set: which schema judges it?")
	}
	exit := ui.ExitDone
	for _, file := range files {
		r := checkResult{File: ui.NameOf(file)}
		judge, err := f.open(env, file, &r)
		if err != nil {
			return err
		}
		if judge == nil {
			exit = ui.ExitRejected
		} else if r.Taken = true; len(f.data) > 0 {
			if r.Data, err = f.judge(env, judge); err != nil {
				return err
			}
			for i := range r.Data {
				if !r.Data[i].Follows {
					exit = ui.ExitRejected
				}
			}
		}
		if err := env.Emit(r, func(p *ui.Printer) { printCheck(p, &r) }); err != nil {
			return err
		}
	}
	return ui.Ended(exit)
}

// open compiles a file. A nil judge = it is not taken, and r says why.
func (f *checkFlags) open(env *ui.Env, file string, r *checkResult) (func(data []byte) error, error) {
	if f.set {
		set, err := schema.ReadSet(os.DirFS(filepath.Dir(file)), filepath.Base(file))
		if err != nil {
			r.Finding = errtext.Plain(err)
			return nil, nil
		}
		return func(data []byte) error {
			return set.Validate(envelope.Document{Type: f.typ, DataSchema: f.dataSchema, Data: data})
		}, nil
	}
	document, err := env.ReadFile(file, schema.MaxSchema)
	if err != nil {
		return nil, err
	}
	if isExport(document) {
		if r.Type, document, err = schema.Convert(document); err != nil {
			r.Finding = errtext.Plain(err)
			return nil, nil
		}
	}
	name := filepath.ToSlash(filepath.Base(file))
	documents := map[string][]byte{name: document}
	for _, reference := range f.references {
		doc, err := env.ReadFile(reference, schema.MaxSchema)
		if err != nil {
			return nil, err
		}
		relative, err := filepath.Rel(filepath.Dir(file), reference)
		if err != nil {
			relative = filepath.Base(reference)
		}
		documents[filepath.ToSlash(relative)] = doc
	}
	s, err := schema.Compile(name, documents)
	if err != nil {
		r.Finding = errtext.Plain(err)
		return nil, nil
	}
	return s.Validate, nil
}

// isExport is a guess: Convert and Compile each refuse the other's documents.
func isExport(document []byte) bool {
	return bytes.Contains(document, []byte(`"openapi"`)) || bytes.Contains(document, []byte("/draft-04/schema"))
}

// judge judges each file of data.
func (f *checkFlags) judge(env *ui.Env, judge func(data []byte) error) (results []dataResult, err error) {
	for _, file := range f.data {
		data, err := env.ReadFile(file, schema.MaxData)
		if err != nil {
			return nil, err
		}
		d := dataResult{File: ui.NameOf(file)}
		err = judge(data)
		invalid, ok := errors.AsType[*envelope.SchemaError](err)
		switch {
		case err == nil:
			d.Follows = true
		case !ok:
			return nil, err
		default:
			d.Cause, d.More = invalid.Cause, invalid.More
			for _, one := range invalid.Faults {
				d.Faults = append(d.Faults, fault(one))
			}
		}
		results = append(results, d)
	}
	return results, nil
}

func printCheck(p *ui.Printer, r *checkResult) {
	switch {
	case !r.Taken:
		p.Linef("%s: %s", ui.Clean(r.File), p.Red("refused"))
		p.Hangingf(4, "  %s", ui.Clean(r.Finding))
		return
	case r.Type != "":
		p.Hangingf(2, "%s: %s, for the type %s", ui.Clean(r.File), p.Green("taken"), ui.Clean(r.Type))
	default:
		p.Linef("%s: %s", ui.Clean(r.File), p.Green("taken"))
	}
	for i := range r.Data {
		d := &r.Data[i]
		if d.Follows {
			p.Linef("%s: %s", ui.Clean(d.File), p.Green("follows it"))
			continue
		}
		p.Linef("%s: %s", ui.Clean(d.File), p.Red("does not follow it"))
		if d.Cause != "" {
			p.Hangingf(4, "  %s", ui.Clean(d.Cause))
		}
		for _, one := range d.Faults {
			p.Hangingf(4, "  at %q: %s", one.Pointer, ui.Clean(one.Keyword))
		}
		if d.More {
			p.Linef("  and more")
		}
	}
}
