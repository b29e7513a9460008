package orderstest

import (
	"encoding/json"
	"fmt"
	"regexp"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"

	"github.com/sealbus/sealbus/internal/testbed/cfntest"
)

// Deployed is what AWS makes of a template, as far as functions see it: their environments and their roles.
type Deployed struct {
	*cfntest.Template
	// Values are those of what the template refers to. A parameter that is not there has its default.
	Values map[string]string

	t testing.TB
}

// Deploy reads a template.
func Deploy(t testing.TB, path string, values map[string]string) *Deployed {
	t.Helper()
	template, err := cfntest.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	return &Deployed{template, values, t}
}

// referred is a reference in the text of cfntest.Plain.
var referred = regexp.MustCompile(`\$\{([^}]+)\}`)

// Resolve replaces the references in v.
func (d *Deployed) Resolve(v any) any {
	d.t.Helper()
	doc, err := json.Marshal(cfntest.Plain(v))
	if err != nil {
		d.t.Fatal(err)
	}
	text := referred.ReplaceAllStringFunc(string(doc), func(found string) string {
		name := found[2 : len(found)-1]
		if value, known := d.Values[name]; known {
			return value
		}
		value, isText := cfntest.Get(d.Document, "Parameters", name, "Default").(string)
		if !isText {
			d.t.Fatalf("the test knows no %s", found)
		}
		return value
	})
	var out any
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		d.t.Fatal(err)
	}
	return out
}

// Environment is that of a function.
func (d *Deployed) Environment(function string) (env []string) {
	d.t.Helper()
	own := cfntest.Get(d.Resources[function].Properties, "Environment", "Variables")
	variables, _ := d.Resolve(own).(map[string]any)
	for name, value := range variables {
		env = append(env, fmt.Sprint(name, "=", value))
	}
	return env
}

// byLambda are the actions that Lambda does itself in the role of a function.
var byLambda = regexp.MustCompile(`logs:|sqs:SendMessage`)

// RoleOf has the statements of a role that the function itself needs.
func (d *Deployed) RoleOf(name string) *Policies {
	d.t.Helper()
	p := &Policies{}
	for _, statement := range d.Resources[name].Statements() {
		action := fmt.Sprint(statement["Action"])
		if action == "sts:AssumeRole" || byLambda.MatchString(action) {
			continue
		}
		resolved, _ := d.Resolve(statement).(map[string]any)
		p.Add(fmt.Sprint(name, ": ", action, " on ", resolved["Resource"]), resolved)
	}
	return p
}

// EventBridge is a client of the World's, which may do everything.
func (w *World) EventBridge() *eventbridge.Client {
	at := w.Bus.URL()
	return eventbridge.New(eventbridge.Options{Region: Region, BaseEndpoint: &at,
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "example", "")})
}
