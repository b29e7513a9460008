package tenants_test

import (
	"os"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/webhook/tenants"
)

// The file of tenants in docs/webhooks.md is read.
func TestDocs(t *testing.T) {
	doc, err := os.ReadFile("../../docs/webhooks.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(doc), "## Tenants and limits\n")
	_, code, opened := strings.Cut(section, "```yaml\n")
	code, _, closed := strings.Cut(code, "```\n")
	if !found || !opened || !closed {
		t.Fatal("there is no file of tenants in docs/webhooks.md")
	}
	all := parse(t, code)
	tenant, err := all.Find(tenants.Caller{Issuer: "https://issuer.example", ClientID: "77ab01",
		Scopes: []string{"events/write"}})
	if err != nil || len(tenant.Limits()) != 2 || tenant.Check("https://acme.example/x", "com.acme.order") != nil {
		t.Errorf("%v, %v", tenant, err)
	}
}
