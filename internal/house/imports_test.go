// Package house holds the tests of the repository itself: who may import whom, and what documents say.
package house

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/sealbus/sealbus"

// table says which of our packages each package may reach, directly or through others. It is the exact form
// of "Who may import whom" in docs/architecture.md.
// Entries are relative to the module; "internal/..." covers what is below.
var table = map[string][]string{
	"keys":         {"internal/..."},
	"keys/session": {"keys", "internal/..."},
	"keys/trust":   {"keys", "internal/..."},
	"envelope":     {"keys", "keys/session", "keys/trust", "internal/..."},
	"schema":       {"keys", "keys/session", "keys/trust", "envelope", "internal/..."},
	"producer":     {"keys", "keys/session", "keys/trust", "envelope", "internal/..."},
	"producer/eventbridge": {"keys", "keys/session", "keys/trust", "envelope", "producer",
		"internal/..."},
	"consumer": {"keys", "keys/session", "keys/trust", "envelope", "consumer/replay",
		"internal/..."},
	"consumer/quarantine": {"keys", "keys/session", "keys/trust", "envelope", "consumer",
		"consumer/replay", "internal/..."},
	"consumer/quarantine/s3": {"keys", "keys/session", "keys/trust", "envelope", "consumer",
		"consumer/replay", "consumer/quarantine", "internal/..."},
	"consumer/quarantine/sqs": {"keys", "keys/session", "keys/trust", "envelope", "consumer",
		"consumer/replay", "consumer/quarantine", "internal/..."},
	"consumer/replay": {"internal/nilcheck"},
	"consumer/replay/redis": {"consumer/replay", "consumer/replay/internal/remote",
		"internal/nilcheck"},
	"consumer/replay/dynamodb": {"consumer/replay", "consumer/replay/internal/remote",
		"internal/awscall", "internal/claimtable", "internal/nilcheck"},
	"webhook": {"keys", "keys/session", "keys/trust", "envelope", "consumer", "consumer/replay",
		"internal/..."},
	"webhook/awslambda": {"keys", "keys/session", "keys/trust", "envelope", "consumer", "consumer/replay",
		"webhook", "internal/..."},
	"webhook/authcontext": {"keys", "keys/session", "keys/trust", "envelope", "consumer", "consumer/replay",
		"internal/..."},
	"webhook/throttle": {"keys", "keys/session", "keys/trust", "envelope", "consumer", "consumer/replay",
		"webhook", "internal/..."},
	"webhook/throttle/redis": {"keys", "keys/session", "keys/trust", "envelope", "consumer", "consumer/replay",
		"consumer/replay/internal/remote", "consumer/replay/redis", "webhook", "webhook/throttle",
		"internal/..."},
	"webhook/tenants": {"keys", "keys/session", "keys/trust", "envelope", "consumer", "consumer/replay",
		"webhook", "webhook/authcontext", "webhook/throttle", "internal/..."},
	"webhook/ingest": {"keys", "keys/session", "keys/trust", "envelope", "consumer", "consumer/replay",
		"producer", "webhook", "webhook/authcontext", "internal/..."},
	"webhook/sender": {"keys", "keys/session", "keys/trust", "envelope", "consumer", "consumer/replay", "webhook",
		"webhook/httpsig", "internal/..."},
	"webhook/sender/redis": {"keys", "keys/session", "keys/trust", "envelope", "consumer", "consumer/replay",
		"consumer/replay/internal/remote", "consumer/replay/redis", "webhook", "webhook/httpsig",
		"webhook/sender", "internal/..."},
	"home": {"keys", "keys/session", "keys/trust", "envelope", "consumer", "consumer/replay", "producer",
		"internal/..."},
	"observe/emf": {"keys", "keys/session", "keys/trust", "envelope", "consumer",
		"consumer/replay", "internal/..."},
	"keys/trust/awss3":         {"keys", "keys/trust", "internal/..."},
	"keys/rotation":            {"keys", "keys/trust", "internal/..."},
	"keys/awskms":              {"keys", "internal/..."},
	"keys/awssecrets":          {"keys", "internal/..."},
	"keys/awsssm":              {"keys", "internal/..."},
	"keys/tinkkeys":            {"keys", "internal/..."},
	"keys/tinkkeys/tinkawskms": {"keys", "internal/..."},
	"consumer/awslambda": {"keys", "keys/session", "keys/trust", "envelope", "consumer",
		"consumer/replay", "internal/..."},
	"consumer/awslambda/sqs": {"keys", "keys/session", "keys/trust", "envelope", "consumer",
		"consumer/replay", "consumer/awslambda", "internal/..."},
	"webhook/httpsig": {"keys", "keys/session", "keys/trust", "envelope", "consumer", "consumer/replay",
		"webhook", "internal/..."},
	"webhook/jwt": {"keys", "keys/session", "keys/trust", "envelope", "consumer", "consumer/replay",
		"webhook",
		"internal/..."},
	"webhook/authn": {"keys", "keys/session", "keys/trust", "envelope", "internal/..."},
	"webhook/authn/apigateway": {"keys", "keys/session", "keys/trust", "envelope", "webhook/authn",
		"internal/..."},
	"webhook/authn/clientcredentials": {"internal/..."},
	"webhook/entry": {"keys", "keys/session", "keys/trust", "envelope", "consumer", "consumer/replay", "webhook",
		"webhook/authcontext", "webhook/authn", "webhook/tenants", "webhook/throttle", "internal/..."},
	"webhook/gateway": {"keys", "keys/session", "keys/trust", "envelope", "consumer", "consumer/replay",
		"producer", "webhook", "webhook/authcontext", "webhook/authn", "webhook/awslambda", "webhook/entry",
		"webhook/httpsig", "webhook/ingest", "webhook/jwt", "webhook/sender", "webhook/tenants",
		"webhook/throttle", "schema", "internal/..."},
	"keys/trust/policy":              {"keys", "keys/trust", "internal/..."},
	"internal/dialguard":             {},
	"internal/onefetch":              {"internal/dialguard"},
	"internal/awscall":               {},
	"internal/localaws":              {},
	"internal/localaws/localawstest": {},
	"internal/awsname":               {},
	"internal/edtable":               {},
	"internal/gcra":                  {},
	"internal/jsontext":              {},
	"internal/howlong":               {},
	"internal/lossy":                 {"internal/testbed/cases"},
	"internal/nilcheck":              {},
	"internal/reviewed":              {},
	"internal/filekind":              {"internal/jsontext"},
	"internal/dsse":                  {"internal/jsontext"},
	"internal/jwe":                   {"internal/jsontext"},
	"internal/wire": {"internal/dsse", "internal/filekind", "internal/howlong",
		"internal/jsontext", "internal/jwe", "internal/nilcheck"},
}

// core is what a webhook receiver or a consumer Lambda links.
var core = []string{"keys", "keys/session", "keys/trust", "envelope", "consumer", "consumer/awslambda",
	"consumer/replay", "producer", "observe/emf", "webhook", "webhook/awslambda", "webhook/httpsig",
	"webhook/ingest", "webhook/sender", "webhook/authcontext", "webhook/throttle"}

// confined are modules that only the sub-package named after them may link.
var confined = []string{"aws-sdk-go", "aws-lambda-go", "redis", "tink", "opentelemetry", "go.yaml.in",
	"gopkg.in/yaml", "spf13/cobra", "testscript", "go-jose", "gowebpki", "santhosh-tekuri",
	"golang.org/x/oauth2"}

// named are the sub-packages that link a confined module: the one they are named after.
var named = map[string]string{
	"keys/trust/awss3":                "aws-sdk-go",
	"keys/awskms":                     "aws-sdk-go",
	"keys/awssecrets":                 "aws-sdk-go",
	"keys/awsssm":                     "aws-sdk-go",
	"keys/tinkkeys":                   "tink",
	"consumer/quarantine/s3":          "aws-sdk-go",
	"consumer/quarantine/sqs":         "aws-sdk-go",
	"consumer/awslambda/sqs":          "aws-sdk-go",
	"producer/eventbridge":            "aws-sdk-go",
	"consumer/replay/dynamodb":        "aws-sdk-go",
	"webhook/authn":                   "go-jose",
	"webhook/authn/apigateway":        "go-jose",
	"webhook/authn/clientcredentials": "golang.org/x/oauth2",
	"webhook/jwt":                     "go-jose",
	"schema":                          "santhosh-tekuri",
}

// homes are the packages that may link a confined module all the same, with everything that is below it. The
// command is a home of whatever its sub-commands need; which of the packages below it imports what is in the
// house test of the command.
var homes = map[string][]string{
	"github.com/redis/":          {}, // tests only: a program chooses its client of Redis
	"github.com/gomodule/redigo": {"cmd/sealbus"},
	"github.com/aws/aws-sdk-go-v2": {"consumer/quarantine/s3", "consumer/quarantine/sqs", "consumer/awslambda/sqs",
		"keys/trust/awss3", "keys/awskms", "keys/awssecrets", "keys/awsssm", "keys/tinkkeys/tinkawskms",
		"consumer/replay/dynamodb", "internal/claimtable", "producer/eventbridge", "cmd/sealbus",
		"internal/awscall", "internal/localaws/localawstest", "internal/lossy"},
	"github.com/aws/smithy-go": {"consumer/quarantine/s3", "consumer/quarantine/sqs", "consumer/awslambda/sqs",
		"keys/trust/awss3", "keys/awskms", "keys/awssecrets", "keys/awsssm", "keys/tinkkeys/tinkawskms",
		"consumer/replay/dynamodb", "internal/claimtable", "producer/eventbridge", "cmd/sealbus",
		"internal/awscall", "internal/localaws/localawstest", "internal/lossy"},
	"github.com/go-jose/": {"webhook/authn", "webhook/authn/apigateway", "webhook/jwt",
		"webhook/entry", "webhook/gateway", "cmd/sealbus"},
	"golang.org/x/oauth2": {"webhook/authn/clientcredentials", "cmd/sealbus"},
	"github.com/dunglas/": {"webhook/httpsig", "webhook/gateway", "webhook/sender", "webhook/sender/redis",
		"webhook/sender/sendertest", "cmd/sealbus"},
	"go.yaml.in/yaml": {"home", "keys/trust/policy", "webhook/entry", "webhook/gateway", "webhook/tenants",
		"cmd/sealbus", "internal/reviewed",
		"internal/testbed/cfntest"},
	"github.com/tink-crypto/":     {"keys/tinkkeys", "keys/tinkkeys/tinkawskms", "cmd/sealbus"},
	"github.com/santhosh-tekuri/": {"schema", "webhook/gateway", "cmd/sealbus"},
	"go.etcd.io/bbolt":            {"internal/localaws", "cmd/sealbus"},
	"github.com/alicebob/":        {}, // tests only
	"github.com/yuin/gopher-lua":  {},
}

// forbidden are packages that the core and its sub-packages have no business with.
var forbidden = []string{"testing", "flag", "net/http/httptest", module + "/internal/localaws"}

func TestImportTable(t *testing.T) {
	for pkg, allowed := range table {
		for _, dep := range deps(t, pkg) {
			name, ours := strings.CutPrefix(dep, module+"/")
			if ours && name != pkg && !allows(allowed, name) {
				t.Errorf("%s reaches %s, which the table does not allow", pkg, name)
			}
		}
	}
}

func allows(allowed []string, name string) bool {
	for _, a := range allowed {
		prefix, tree := strings.CutSuffix(a, "...")
		if a == name || tree && strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

func TestCoreLinksNoCloud(t *testing.T) {
	for _, pkg := range core {
		if links := confinedIn(t, pkg); len(links) > 0 {
			t.Errorf("%s links %v", pkg, links)
		}
	}
}

// TestNamedLinkTheirOwn also shows that confinedIn finds something.
func TestNamedLinkTheirOwn(t *testing.T) {
	for pkg, own := range named {
		if links := confinedIn(t, pkg); !maps.Equal(links, map[string]bool{own: true}) {
			t.Errorf("%s links %v, it is there for %s", pkg, links, own)
		}
	}
}

// confinedIn is which confined modules, or forbidden packages, a package links.
func confinedIn(t *testing.T, pkg string) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	for _, dep := range deps(t, pkg) {
		for _, module := range confined {
			if strings.Contains(dep, module) {
				found[module] = true
			}
		}
		if slices.Contains(forbidden, dep) {
			found[dep] = true
		}
	}
	return found
}

// TestHomes: who links the module of a service is one of its homes, and each home does.
func TestHomes(t *testing.T) {
	linked := make(map[string]bool) // "module package"
	for pkg, list := range allDeps(t) {
		if strings.HasPrefix(pkg, "examples/") {
			continue // programs, which link what they show; TestNobodyLinksTheExamples says that no others link them
		}
		if strings.HasPrefix(pkg, "cmd/sealbus/internal/") {
			continue
		}
		for _, dep := range list {
			for prefix, allowed := range homes {
				if !strings.HasPrefix(dep, prefix) {
					continue
				}
				if linked[prefix+" "+pkg] = true; !slices.Contains(allowed, pkg) {
					t.Errorf("%s links %s, which only %v may", pkg, dep, allowed)
				}
			}
		}
	}
	for prefix, allowed := range homes {
		for _, pkg := range allowed {
			if !linked[prefix+" "+pkg] {
				t.Errorf("%s does not link %s: it needs no exception", pkg, prefix)
			}
		}
	}
}

// TestNobodyLinksTheExamples but themselves.
func TestNobodyLinksTheExamples(t *testing.T) {
	examples := 0
	for pkg, list := range allDeps(t) {
		if strings.HasPrefix(pkg, "examples/") {
			examples++
			continue
		}
		for _, dep := range list {
			if strings.HasPrefix(dep, module+"/examples/") {
				t.Errorf("%s links %s", pkg, dep)
			}
		}
	}
	if examples == 0 {
		t.Error("there are no examples: the check is blind")
	}
}

// TestTableSeesABreach shows that the check can fail: the CLI reaches all over the house.
func TestTableSeesABreach(t *testing.T) {
	breaches := 0
	for _, dep := range deps(t, "cmd/sealbus") {
		if name, ours := strings.CutPrefix(dep, module+"/"); ours && !allows(table["keys"], name) {
			breaches++
		}
	}
	if breaches == 0 {
		t.Error("the command reaches nothing beyond what keys may: the check is blind")
	}
}
