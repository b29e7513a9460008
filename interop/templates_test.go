package interop_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/sealbus/sealbus/internal/testbed/cfntest"
)

// described are the resources of CloudFormation and SAM, as AWS describes them.
type described struct {
	properties map[string]*jsonschema.Schema
	attributes map[string][]string
}

// templates are those of the examples.
func templates(t *testing.T) map[string]*cfntest.Template {
	t.Helper()
	all := make(map[string]*cfntest.Template)
	for _, pattern := range []string{"../examples/*.yaml", "../examples/*/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if filepath.Base(file) == "policy.yaml" {
				continue // made by who follows examples/orders/README.md
			}
			template, err := cfntest.Read(file)
			if err != nil {
				t.Fatal(err)
			}
			all[file] = template
		}
	}
	if len(all) < 8 {
		t.Fatalf("the templates are %v", slices.Collect(maps.Keys(all)))
	}
	return all
}

// describe asks for the types that the templates have.
func describe(t *testing.T, all map[string]*cfntest.Template) *described {
	t.Helper()
	needPackages(t)
	types := make(map[string]bool)
	for _, template := range all {
		for _, r := range template.Resources {
			types[r.Type] = true
		}
	}
	list, err := json.Marshal(slices.Sorted(maps.Keys(types)))
	if err != nil {
		t.Fatal(err)
	}
	answer := node(t, list, "peers/cfnschema.mjs")
	var found struct {
		Types map[string]struct{ Attributes []string }
	}
	if err := json.Unmarshal(answer, &found); err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(answer))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("spec.json", doc); err != nil {
		t.Fatal(err)
	}
	d := &described{make(map[string]*jsonschema.Schema), make(map[string][]string)}
	for typ, what := range found.Types {
		schema, err := compiler.Compile("spec.json#/types/" + typ + "/properties")
		if err != nil {
			t.Fatal(err)
		}
		d.properties[typ], d.attributes[typ] = schema, what.Attributes
	}
	return d
}

// resourceMembers are what a resource may have beside its type and properties.
var resourceMembers = []string{"Type", "Properties", "DeletionPolicy", "UpdateReplacePolicy", "DependsOn",
	"Condition", "Metadata"}

// check is what AWS would not take of a template.
func (d *described) check(template *cfntest.Template) (wrong []string) {
	for _, id := range slices.Sorted(maps.Keys(template.Resources)) {
		r := template.Resources[id]
		for member := range r.All {
			if !slices.Contains(resourceMembers, member) {
				wrong = append(wrong, fmt.Sprintf("%s: it has no %s", id, member))
			}
		}
		schema := d.properties[r.Type]
		if schema == nil {
			wrong = append(wrong, fmt.Sprintf("%s: there is no %s", id, r.Type))
			continue
		}
		if err := schema.Validate(asJSON(withGlobals(template, r))); err != nil {
			wrong = append(wrong, fmt.Sprintf("%s: %v", id, err))
		}
	}
	return append(wrong, d.checkAttributes(template, template.Document)...)
}

// withGlobals are the properties of a resource with what the template says for all functions.
func withGlobals(template *cfntest.Template, r cfntest.Resource) map[string]any {
	if r.Type != "AWS::Serverless::Function" {
		return r.Properties
	}
	all, _ := cfntest.Get(template.Document, "Globals", "Function").(map[string]any)
	all = maps.Clone(all)
	if all == nil {
		all = make(map[string]any)
	}
	maps.Copy(all, r.Properties)
	return all
}

// asJSON is v with the types that the validator knows.
func asJSON(v any) any {
	doc, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	out, err := jsonschema.UnmarshalJSON(bytes.NewReader(doc))
	if err != nil {
		panic(err)
	}
	return out
}

// checkAttributes looks for attributes that their resource has not.
func (d *described) checkAttributes(template *cfntest.Template, v any) (wrong []string) {
	switch v := cfntest.Plain(v).(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			wrong = append(wrong, d.checkAttributes(template, v[name])...)
		}
	case []any:
		for _, member := range v {
			wrong = append(wrong, d.checkAttributes(template, member)...)
		}
	case string:
		for _, part := range strings.Split(v, "${")[1:] {
			name, _, _ := strings.Cut(part, "}")
			id, attribute, dotted := strings.Cut(name, ".")
			if typ := template.Resources[id].Type; dotted && !slices.Contains(d.attributes[typ], attribute) {
				wrong = append(wrong, fmt.Sprintf("%s: a %s has no attribute %s, but %v", id, typ, attribute,
					d.attributes[typ]))
			}
		}
	}
	return wrong
}

func TestTemplatesAreWhatAWSDescribes(t *testing.T) {
	all := templates(t)
	d := describe(t, all)
	for file, template := range all {
		for _, w := range d.check(template) {
			t.Errorf("%s: %s", file, w)
		}
	}
}

// TestDescriptionSeesMistakes shows that the check can fail.
func TestDescriptionSeesMistakes(t *testing.T) {
	d := describe(t, templates(t))
	for _, broken := range []string{
		"{Q: {Type: AWS::SQS::Queue, Properties: {VisibilityTimout: 30}}}",
		"{Q: {Type: AWS::SQS::Queue, Properties: {VisibilityTimeout: [30]}}}",
		"{Q: {Type: AWS::SQS::Queue, Property: {}}}",
		"{R: {Type: AWS::Events::Rule, Properties: {State: ON}}}",
		"{R: {Type: AWS::Events::Rule, Properties: {Targets: [{Arn: x}]}}}",
		"{R: {Type: AWS::Events::Rule, Properties: {Targets: [{Arn: x, Id: y, RetryPolicy: {MaximumAge: 1}}]}}}",
		"{P: {Type: AWS::Pipes::Pipe, Properties: {RoleArn: x, Source: y}}}",
		"{F: {Type: AWS::Serverless::Function, Properties: {Timeouts: 3}}}",
		"{F: {Type: AWS::Serverless::Function, Properties: {Events: {Q: {Type: SQS, Properties: {Queue: q, FunctionResponseType: [x]}}}}}}",
		"{F: {Type: AWS::Serverless::Function, Properties: {Events: {Q: {Type: SQS, Properties: {BatchSize: 1}}}}}}",
		"{F: {Type: AWS::Serverless::Function, Properties: {Events: {H: {Type: Schedule, Properties: {Rate: rate(1 hour)}}}}}}",
		"{F: {Type: AWS::Serverless::Function, Properties: {Events: {H: {Type: Schedule, Properties: {Queue: q}}}}}}",
		"{F: {Type: AWS::Serverless::Function, Properties: {EventInvokeConfig: {DestinationConfig: {OnFail: {Destination: x}}}}}}",
		"{U: {Type: AWS::Lambda::Url, Properties: {TargetFunctionArn: x, AuthType: OPEN}}}",
		"{U: {Type: AWS::Lambda::Url, Properties: {AuthType: NONE}}}",
		"{P: {Type: AWS::Lambda::Permission, Properties: {FunctionName: x, Action: y, Principal: z, InvokedByFunctionUrl: true}}}",
		"{P: {Type: AWS::Lambda::Permission, Properties: {FunctionName: x, Action: y, Principal: z, FunctionUrlAuthType: ANY}}}",
		"{Q: {Type: AWS::SQS::Queues}}",
		"{Q: {Type: AWS::SQS::Queue}, A: {Type: AWS::Events::Archive, Properties: {SourceArn: !GetAtt Q.ARN}}}",
	} {
		template, err := cfntest.Parse("broken", []byte("Resources: "+broken))
		if err != nil {
			t.Fatal(err)
		}
		if len(d.check(template)) == 0 {
			t.Errorf("nothing is wrong with %s", broken)
		}
	}
	for _, sound := range []string{
		"{Q: {Type: AWS::SQS::Queue, Properties: {VisibilityTimeout: !Ref Seconds}}, A: {Type: AWS::Events::Archive, Properties: {SourceArn: !GetAtt Q.Arn}}}",
		"{F: {Type: AWS::Serverless::Function, Properties: {Timeout: 3}}}",
		"{F: {Type: AWS::Serverless::Function, Properties: {Events: {H: {Type: Schedule, Properties: {Schedule: rate(1 hour)}}}}}}",
	} {
		template, err := cfntest.Parse("sound", []byte("Resources: "+sound))
		if err != nil {
			t.Fatal(err)
		}
		if w := d.check(template); len(w) > 0 {
			t.Errorf("%s: %v", sound, w)
		}
	}
}
