package tenants_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/reviewed"
	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/authcontext"
	"github.com/sealbus/sealbus/webhook/tenants"
	"github.com/sealbus/sealbus/webhook/throttle"
)

// acme is a file with one tenant. The tests change single lines of it.
const acme = `version: 1
` + issuer + `tenants:
  acme:
    clients:
      4f9c2d: {}
      77ab01: {rate: 5, burst: 7, daily: 1000}
    sources: ["https://acme.example/*", "urn:acme:shop"]
    types: [com.acme.*]
    scopes: [events/write, events/list]
    groups: [admin, ops]
    quota: {rate: 50, burst: 100, daily: 100000}
    schemas: acme/set.json
`

const issuer = "issuer: https://issuer.example\n"

// orders judges that data is "good".
type orders struct{}

func (orders) Validate(d envelope.Document) error {
	if string(d.Data) != "good" {
		return &envelope.SchemaError{Cause: "it is not good"}
	}
	return nil
}

// openSet opens the one file that there is.
func openSet(file string) (envelope.Validator, error) {
	if file != "acme/set.json" {
		return nil, errors.New("there is no such file")
	}
	return orders{}, nil
}

func parse(t *testing.T, doc string) *tenants.Tenants {
	t.Helper()
	all, err := tenants.Parse([]byte(doc), openSet)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

var writer = tenants.Caller{Issuer: "https://issuer.example", ClientID: "77ab01",
	Scopes: []string{"x", "events/list", "events/write"}, Groups: []string{"ops", "sales"}}

func TestTenant(t *testing.T) {
	all := parse(t, acme)
	tenant, err := all.Find(writer)
	if err != nil {
		t.Fatal(err)
	}
	limits := tenant.Limits()
	want := []throttle.Limit{
		{Policy: "client", Key: "77ab01", Plan: throttle.Plan{Rate: 5, Burst: 7, Daily: 1000}},
		{Policy: "tenant", Key: "acme", Plan: throttle.Plan{Rate: 50, Burst: 100, Daily: 100000}}}
	if len(limits) != 2 || limits[0] != want[0] || limits[1] != want[1] {
		t.Errorf("%+v", limits)
	}
	if err := throttle.CheckLimits(limits); err != nil {
		t.Error(err)
	}
	if tenant.Name() != "acme" || tenant.Key("7") != "acme/7" || fmt.Sprint(all.ClientIDs()) !=
		"[4f9c2d 77ab01]" || all.Issuer() != writer.Issuer || fmt.Sprint(all.Names()) != "[acme]" {
		t.Errorf("%s, %s, %v", tenant.Name(), tenant.Key("7"), all.Names())
	}
	if good, bad := tenant.Validate(envelope.Document{Data: []byte("good")}),
		tenant.Validate(envelope.Document{}); good != nil || bad == nil {
		t.Errorf("by the schemas of the tenant: %v, %v", good, bad)
	}
	other := writer
	other.ClientID = "4f9c2d"
	if tenant, err = all.Find(other); err != nil || len(tenant.Limits()) != 1 {
		t.Errorf("a client without a quota of its own: %v, %v", tenant, err)
	}
}

// A caller who is unknown, or who lacks a scope or every group, speaks for no tenant.
func TestFindRefuses(t *testing.T) {
	all := parse(t, acme)
	for name, change := range map[string]func(*tenants.Caller){
		"another issuer":  func(c *tenants.Caller) { c.Issuer = "https://issuer.example/" },
		"no issuer":       func(c *tenants.Caller) { c.Issuer = "" },
		"no client":       func(c *tenants.Caller) { c.ClientID = "" },
		"another client":  func(c *tenants.Caller) { c.ClientID = "77ab02" },
		"another case":    func(c *tenants.Caller) { c.ClientID = "77AB01" },
		"the tenant":      func(c *tenants.Caller) { c.ClientID = "acme" },
		"no scope":        func(c *tenants.Caller) { c.Scopes = nil },
		"one scope":       func(c *tenants.Caller) { c.Scopes = []string{"events/write"} },
		"scopes in one":   func(c *tenants.Caller) { c.Scopes = []string{"events/write events/list"} },
		"a longer scope":  func(c *tenants.Caller) { c.Scopes = []string{"events/write", "events/list2"} },
		"no group":        func(c *tenants.Caller) { c.Groups = nil },
		"another group":   func(c *tenants.Caller) { c.Groups = []string{"sales", "Admin"} },
		"groups, no list": func(c *tenants.Caller) { c.Groups = []string{"[admin]"} },
	} {
		c := writer
		change(&c)
		if tenant, err := all.Find(c); webhook.ReasonOf(err) != envelope.ReasonForbidden || tenant != nil {
			t.Errorf("%s: %v, %v", name, tenant, err)
		}
	}
}

// Five tenants and five sources: the diagonal passes. Everything else is refused in the same words as a
// source that no tenant has.
func TestMatrix(t *testing.T) {
	doc := "version: 1\n" + issuer + "tenants:\n"
	for i := range 5 {
		doc += fmt.Sprintf("  t%d:\n    clients: {c%d: {}}\n    sources: [\"https://t%d.example/*\"]\n"+
			"    types: [com.t%d.*]\n    scopes: []\n    quota: {rate: 1}\n", i, i, i, i)
	}
	all := parse(t, doc)
	missing := ""
	for i := range 5 {
		tenant, err := all.Find(tenants.Caller{Issuer: writer.Issuer, ClientID: fmt.Sprintf("c%d", i)})
		if err != nil || tenant.Name() != fmt.Sprintf("t%d", i) {
			t.Fatal(tenant, err)
		}
		check := func(source, typ string, want envelope.Reason) string {
			t.Helper()
			err := tenant.Check(source, typ)
			if got := webhook.ReasonOf(err); got != want || (err == nil) != (want == "") {
				t.Errorf("tenant %d, %s, %s: %v", i, source, typ, err)
			}
			return fmt.Sprint(err)
		}
		missing = check("https://no.example/a", "com.t0.x", envelope.ReasonSourceNotAllowed)
		noType := check(fmt.Sprintf("https://t%d.example/a", i), "com.none.x", envelope.ReasonTypeNotAllowed)
		for j := range 5 {
			source, typ := fmt.Sprintf("https://t%d.example/a", j), fmt.Sprintf("com.t%d.x", j)
			if i == j {
				check(source, typ, "")
				continue
			}
			if got := check(source, typ, envelope.ReasonSourceNotAllowed); got != missing {
				t.Errorf("tenant %d, source %d: %s, and a missing one: %s", i, j, got, missing)
			}
			own := fmt.Sprintf("https://t%d.example/a", i)
			if got := check(own, typ, envelope.ReasonTypeNotAllowed); got != noType {
				t.Errorf("tenant %d, type %d: %s, and a missing one: %s", i, j, got, noType)
			}
		}
	}
}

// Each fault is refused, with its line.
func TestParseRefuses(t *testing.T) {
	second := func(fields string) string {
		return acme + "  other:\n    clients: {c9: {}}\n    types: [a]\n    scopes: []\n" +
			"    quota: {rate: 1}\n" + fields
	}
	for name, c := range map[string]struct {
		doc  string
		line int
	}{
		"empty":               {"", 0},
		"no version":          {strings.Replace(acme, "version: 1\n", "", 1), 1},
		"another version":     {strings.Replace(acme, "version: 1", "version: 2", 1), 1},
		"no tenant":           {"version: 1\nissuer: a\ntenants: {}\n", 1},
		"no issuer":           {strings.Replace(acme, issuer, "", 1), 1},
		"an empty issuer":     {strings.Replace(acme, "https://issuer.example", `""`, 1), 1},
		"unknown field":       {acme + "    typs: [a]\n", 14},
		"a field twice":       {acme + "    types: [a]\n", 14},
		"an anchor":           {strings.Replace(acme, "[com.acme.*]", "&a [com.acme.*]", 1), 9},
		"a tag":               {strings.Replace(acme, "[com.acme.*]", "!!seq [com.acme.*]", 1), 9},
		"an escape":           {strings.Replace(acme, "urn:acme:shop", `urn:acme:\x2a`, 1), 8},
		"invisible":           {strings.Replace(acme, "com.acme.*", "com.acme\u200b.*", 1), 9},
		"an upper-case name":  {strings.Replace(acme, "  acme:", "  Acme:", 1), 4},
		"no clients":          {strings.Replace(acme, "    scopes:", "    clients2:", 1), 10},
		"a client is null":    {strings.Replace(acme, "4f9c2d: {}", "4f9c2d:", 1), 6},
		"a client, a space":   {strings.Replace(acme, "4f9c2d: {}", "\"4f 9c\": {}", 1), 6},
		"no sources":          {strings.Replace(acme, `["https://acme.example/*", "urn:acme:shop"]`, "[]", 1), 8},
		"a wide source":       {strings.Replace(acme, "https://acme.example/*", "https://*", 1), 8},
		"a wide type":         {strings.Replace(acme, "com.acme.*", "com.ac*", 1), 9},
		"a scope, a space":    {strings.Replace(acme, "events/write, ", `"events/write x", `, 1), 10},
		"a scope twice":       {strings.Replace(acme, "events/list", "events/write", 1), 10},
		"no quota":            {strings.Replace(acme, "    quota:", "    # quota:", 1), 4},
		"no rate":             {strings.Replace(acme, "rate: 50, ", "", 1), 12},
		"a rate of 0":         {strings.Replace(acme, "rate: 50", "rate: 0", 1), 12},
		"infinite":            {strings.Replace(acme, "rate: 50", "rate: .inf", 1), 12},
		"hexadecimal":         {strings.Replace(acme, "rate: 50", "rate: 0x50", 1), 12},
		"a text":              {strings.Replace(acme, "rate: 50", `rate: "50"`, 1), 12},
		"half a burst":        {strings.Replace(acme, "burst: 100", "burst: 1.5", 1), 12},
		"a burst of 0":        {strings.Replace(acme, "burst: 100", "burst: 0", 1), 12},
		"an underscore":       {strings.Replace(acme, "daily: 100000", "daily: 100_000", 1), 12},
		"a schema elsewhere":  {strings.Replace(acme, "acme/set.json", "../set.json", 1), 13},
		"an absolute schema":  {strings.Replace(acme, "acme/set.json", "/etc/set.json", 1), 13},
		"a schema's URL":      {strings.Replace(acme, "acme/set.json", `"https://x/y"`, 1), 13},
		"no such schemas":     {strings.Replace(acme, "acme/set.json", "none.json", 1), 13},
		"one client twice":    {strings.Replace(second("    sources: [\"urn:b:x\"]\n"), "c9:", "77ab01:", 1), 15},
		"one source twice":    {second("    sources: [\"urn:acme:shop\"]\n"), 19},
		"below a pattern":     {second("    sources: [\"https://acme.example/a/b\"]\n"), 19},
		"a pattern below one": {second("    sources: [\"https://acme.example/a/*\"]\n"), 19},
		"a pattern above one": {second("    sources: [\"urn:acme:*\"]\n"), 8},
	} {
		all, err := tenants.Parse([]byte(c.doc), openSet)
		e, _ := errors.AsType[*reviewed.Error](err)
		if err == nil || all != nil || e == nil || e.Line != c.line {
			t.Errorf("%s: %v, want line %d", name, err, c.line)
		}
	}
	parse(t, second(`    sources: ["https://acme.example2/*", "urn:acme:shop2", "https://acme.example.b/*"]`+"\n"))
	if _, err := tenants.Parse(make([]byte, tenants.MaxFile+1), nil); err == nil {
		t.Error("a file over the limit is read")
	}
	if _, err := tenants.Parse([]byte(acme), nil); err == nil {
		t.Error("schemas that no program reads are taken")
	}
}

// The context of a caller has an ID that is no name, and claims that the file has.
func TestAuthContext(t *testing.T) {
	key, err := authcontext.NewKey([]byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for _, iss := range []string{writer.Issuer, "https://another.example"} {
		all := parse(t, strings.Replace(acme, writer.Issuer, iss, 1))
		for _, c := range []struct{ client, subject, typ string }{{"77ab01", "", "service_account"},
			{"77ab01", "u1", "app_user"}, {"77ab01", "u2", "app_user"}, {"4f9c2d", "u1", "app_user"},
			{"4f9c2d", "", "service_account"}} {
			caller := writer
			caller.Issuer, caller.ClientID, caller.Subject = iss, c.client, c.subject
			tenant, err := all.Find(caller)
			if err != nil {
				t.Fatal(err)
			}
			got := tenant.AuthContext(key)
			const claims = `{"tenant":"acme","scopes":["events/write","events/list"],"groups":["ops"]}`
			if err := got.Check(); err != nil || got.Type != c.typ || got.Claims != claims {
				t.Errorf("%+v: %+v, %v", c, got, err)
			}
			if other, found := seen[got.ID]; found || strings.Contains(got.ID, c.client) {
				t.Errorf("%s %+v has the ID of %s", iss, c, other)
			}
			seen[got.ID] = fmt.Sprint(iss, c)
		}
	}
}

// FuzzParse: a file is read, or its error has a place. A file that is read keeps the rules.
func FuzzParse(f *testing.F) {
	f.Add([]byte(acme))
	f.Add([]byte("version: 1\nissuer: x\ntenants: {a: {clients: {c: {}}, sources: [urn:a:b], types: ['*'], scopes: [], " +
		"quota: {rate: 1}}}\n"))
	f.Add([]byte("version: 1\nissuer: x\ntenants: &a {}\n"))
	f.Fuzz(func(t *testing.T, doc []byte) {
		all, err := tenants.Parse(doc, openSet)
		if err != nil {
			if _, ok := errors.AsType[*reviewed.Error](err); !ok && len(doc) <= tenants.MaxFile {
				t.Errorf("an error without a place: %v", err)
			}
			return
		}
		if len(all.Names()) == 0 {
			t.Error("there is no tenant")
		}
		if _, err := all.Find(tenants.Caller{}); webhook.ReasonOf(err) != envelope.ReasonForbidden {
			t.Errorf("a caller without an ID: %v", err)
		}
	})
}

// No way to write a source or a type makes one of another tenant, or of none, that of this one. All have the
// answer of a source that does not exist.
func TestCheckTakesNoOtherWriting(t *testing.T) {
	all, err := tenants.Parse([]byte(`version: 1
issuer: https://issuer.example
tenants:
  acme:
    clients: {a: {}}
    sources: ["https://hooks.example/acme/*", "urn:acme:*", "//cdn.example/x"]
    types: [com.acme.*, one]
    scopes: []
    quota: {rate: 1}
  other:
    clients: {b: {}}
    sources: ["https://hooks.example/other/*", "https://hooks.example/acme"]
    types: ["*"]
    scopes: []
    quota: {rate: 1}
`), nil)
	if err != nil {
		t.Fatal(err)
	}
	acme, err := all.Find(tenants.Caller{Issuer: "https://issuer.example", ClientID: "a"})
	if err != nil {
		t.Fatal(err)
	}
	missing := acme.Check("https://none.example/", "com.acme.x").Error()
	for _, source := range []string{"", "*", "https://hooks.example/acme", "https://hooks.example/acme/",
		"https://hooks.example/other/x", "https://hooks.example/acme/../other/x", "https://hooks.example/acme/..",
		"https://hooks.example/acme/%2e%2e/other/x", "https://hooks.example/acme/%252e%252e/other/x",
		"https://hooks.example/acme/..%2fother/x", `https://hooks.example/acme/..\other\x`,
		"https://hooks.example/acme/..;x/other/x", "https://hooks.example/acme/x/./../../other",
		"https://hooks.example/Acme/x", "https://HOOKS.example/acme/x", "https://hooks.example./acme/x",
		"https://hooks.example:443/acme/x", "https://acme@hooks.example/acme/x", "http://hooks.example/acme/x",
		"//hooks.example/acme/x", "/acme/x", "https://hooks.example//acme/x", "https:/hooks.example/acme/x",
		"https://hooks.example/%61cme/x", "https://hooks.example/acmex/y", "https://xn--hooks.example/acme/x",
		"https://ʜooks.example/acme/x", "https://hooks。example/acme/x", " https://hooks.example/acme/x",
		"https://hooks.example/acme/\x00", "https://hooks.example/acme/x\n", "urn:acme:", "URN:acme:x", "urn:ACME:x",
		"urn:acmex:y", "//cdn.example/x/y", "//cdn.example/X", "https://cdn.example/x"} {
		err := acme.Check(source, "com.acme.x")
		if envelope.ReasonOf(err) != envelope.ReasonSourceNotAllowed || err.Error() != missing || acme.Speaks(source) {
			t.Errorf("%q: %v", source, err)
		}
	}
	missing = acme.Check("urn:acme:x", "org.none.x").Error()
	for _, typ := range []string{"", "com.acme", "com.acme.", "com.acmex", "Com.acme.x", "com.other.x", "com.acme\x00.x",
		" com.acme.x", "one ", "ONE", "one.x", "*", "com.*"} {
		err := acme.Check("urn:acme:x", typ)
		if envelope.ReasonOf(err) != envelope.ReasonTypeNotAllowed || err.Error() != missing {
			t.Errorf("type %q: %v", typ, err)
		}
	}
	for _, source := range []string{"urn:acme:x", "https://hooks.example/acme/x", "//cdn.example/x"} {
		if err := acme.Check(source, "com.acme.x"); err != nil {
			t.Errorf("%s: %v", source, err)
		}
	}
}
