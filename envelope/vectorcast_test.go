package envelope_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/testbed/mint"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// The moments of the vectors.
const (
	vectorNow    = "2026-11-21T12:00:00Z"
	vectorSealed = "2026-11-21T11:59:55Z"
)

func moment(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		panic(err) // a constant of these tests
	}
	return t
}

// on is that hour and minute of the day of the vectors.
func on(clock string) time.Time { return moment("2026-11-21T" + clock + ":00Z") }

// cast is the keys of the vectors, by the names under which the cases speak of them.
var cast = map[string]*keys.LocalSigner{
	"orders":      mint.SeededSigner(keys.Ed25519, "orders", "orders"),
	"next":        mint.SeededSigner(keys.Ed25519, "orders", "next"),
	"es256":       mint.SeededSigner(keys.ES256, "orders", "es256"),
	"es256gone":   mint.SeededSigner(keys.ES256, "orders", "es256gone"),
	"scheduled":   mint.SeededSigner(keys.Ed25519, "orders", "scheduled"),
	"revoked":     mint.SeededSigner(keys.Ed25519, "orders", "revoked"),
	"bound":       mint.SeededSigner(keys.Ed25519, "orders", "bound"),
	"nowhere":     mint.SeededSigner(keys.Ed25519, "orders", "nowhere"),
	"nosources":   mint.SeededSigner(keys.Ed25519, "orders", "nosources"),
	"notypes":     mint.SeededSigner(keys.Ed25519, "orders", "notypes"),
	"patterns":    mint.SeededSigner(keys.Ed25519, "orders", "patterns"),
	"aliased":     mint.SeededSigner(keys.Ed25519, "orders", "aliased"),
	"sharing":     mint.SeededSigner(keys.Ed25519, "orders", "sharing"),
	"shipping":    mint.SeededSigner(keys.Ed25519, "shipping", "shipping"),
	"partner":     mint.SeededSigner(keys.ES256, "partner", "partner"),
	"unlisted":    mint.SeededSigner(keys.Ed25519, "orders", "unlisted"),
	"session":     mint.SeededSigner(keys.Ed25519, "orders", "session"),
	"session2":    mint.SeededSigner(keys.Ed25519, "orders", "session2"),
	"sessiongone": mint.SeededSigner(keys.Ed25519, "orders", "sessiongone"),
	"mldsa":       mint.SeededSigner(keys.MLDSA65, "orders", "mldsa"),
	"mldsagone":   mint.SeededSigner(keys.MLDSA65, "orders", "mldsagone"),
	"mldsaother":  mint.SeededSigner(keys.MLDSA65, "partner", "mldsaother"),
	"sessionec":   mint.SeededSigner(keys.ES256, "orders", "sessionec"),
}

// entry is a bundle's entry for a key of the cast.
func entry(name string, change func(*trust.Key)) *trust.Key {
	k := &trust.Key{
		Verifier: cast[name].Verifier(), Producer: cast[name].Producer(),
		Sources: []string{"https://orders.example/*"}, Types: []string{"com.example.order.*"},
	}
	if change != nil {
		change(k)
	}
	return k
}

func mainKeys() []*trust.Key {
	return []*trust.Key{
		entry("orders", nil), entry("next", nil), entry("es256", nil),
		entry("es256gone", func(k *trust.Key) {
			k.Revoked = &trust.Revocation{At: on("09:00"), Reason: "laptop stolen"}
		}),
		entry("scheduled", func(k *trust.Key) {
			k.Schedule = keys.Schedule{Published: on("08:00"), Active: on("10:00"), Retired: on("14:00"),
				Expired: on("16:00")}
		}),
		entry("revoked", func(k *trust.Key) {
			k.Revoked = &trust.Revocation{At: on("09:00"), Reason: "laptop stolen"}
		}),
		entry("bound", func(k *trust.Key) { k.Accounts = []string{"111122223333", "444455556666"} }),
		entry("nowhere", func(k *trust.Key) { k.Accounts = []string{} }),
		entry("nosources", func(k *trust.Key) { k.Sources = nil }),
		entry("notypes", func(k *trust.Key) { k.Types = nil }),
		entry("patterns", func(k *trust.Key) {
			k.Sources = []string{"https://exact.example/a", "https://host.example/*",
				"https://host.example/deep/er/*",
				"urn:orders:*", "/local/*", "plain/*", "mailto:orders@example.com",
				"https://port.example:8443/*", "https://root.example/"}
			k.Types = []string{"com.example.*", "exact"}
		}),
		entry("aliased", func(k *trust.Key) { k.Aliases = []string{"orders-2026", "shared"} }),
		entry("sharing", func(k *trust.Key) { k.Aliases = []string{"shared"} }),
		entry("shipping", func(k *trust.Key) { k.Sources = []string{"https://shipping.example/*"} }),
		entry("partner", func(k *trust.Key) {
			k.Sources = append(k.Sources, "https://partner.example/*")
			k.Types = []string{"*"}
		}),
	}
}

// namelessKeys are nine that may have made a signature of the order event, but for one, and others that may
// not.
func namelessKeys(without string) []*trust.Key {
	nine := []string{"orders", "next", "es256", "scheduled", "revoked", "bound", "nowhere", "aliased",
		"sharing"}
	list := []*trust.Key{entry("mldsa", nil)}
	for _, k := range mainKeys() {
		is := func(name string) bool { return k.KeyID() == cast[name].Verifier().KeyID() }
		if slices.ContainsFunc(nine, is) && (without == "" || !is(without)) || is("nosources") ||
			is("notypes") || is("shipping") {
			list = append(list, k)
		}
	}
	return list
}

// hybridKeys have one of ML-DSA-65 beside each other key.
func hybridKeys() []*trust.Key {
	return []*trust.Key{
		entry("orders", nil), entry("mldsa", nil), entry("partner", nil), entry("mldsaother", nil),
		entry("mldsagone", func(k *trust.Key) {
			k.Revoked = &trust.Revocation{At: on("09:00"), Reason: "laptop stolen"}
		}),
	}
}

// vectorBundles is the bundles of the vectors, by file name.
func vectorBundles(t testing.TB) map[string]*trust.Bundle {
	t.Helper()
	issued := moment("2026-11-20T12:00:00Z")
	make := func(expires time.Time, list ...*trust.Key) *trust.Bundle {
		b, err := trust.NewBundle(trust.BundleOptions{
			Version: 7, Issued: issued, Expires: expires, RefreshHint: 5 * time.Minute,
			RevokedSessions: []string{cast["sessiongone"].Verifier().KeyID()},
		}, list...)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	return map[string]*trust.Bundle{
		"bundles/main.json":      make(issued.AddDate(0, 0, 7), mainKeys()...),
		"bundles/expiring.json":  make(on("12:00"), mainKeys()...),
		"bundles/hybrid.json":    make(issued.AddDate(0, 0, 7), hybridKeys()...),
		"bundles/eight.json":     make(issued.AddDate(0, 0, 7), namelessKeys("nowhere")...),
		"bundles/nine.json":      make(issued.AddDate(0, 0, 7), namelessKeys("")...),
		"bundles/published.json": make(issued.AddDate(0, 0, 7), publishedKey(t)),
	}
}

// order is the sealed event that most cases change one thing of.
func order(by ...string) mint.Plan {
	p := mint.Plan{Event: mint.Object{
		{Name: "specversion", Raw: `"1.0"`},
		{Name: "id", Raw: `"A234-1234"`},
		{Name: "source", Raw: `"https://orders.example/eu"`},
		{Name: "type", Raw: `"com.example.order.placed"`},
		{Name: "datacontenttype", Raw: `"application/json"`},
		{Name: "subject", Raw: `"order/1"`},
		{Name: "time", Raw: `"2026-11-21T11:59:00.123Z"`},
		{Name: "audience", Raw: `"central audit"`},
		{Name: "recordedtime", Raw: mint.Quote(vectorSealed)},
		{Name: "sampledrate", Raw: `5`},
		{Name: "tenant", Raw: `"acme"`},
		{Name: "vip", Raw: `true`},
		{Name: "traceparent", Raw: `"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"`},
		{Name: "data", Raw: `{"lines":[{"n":2,"sku":"é-1"}],"order":"o-1","total":12.5}`},
	}}
	for _, name := range by {
		p.By = append(p.By, signedBy(name))
	}
	return p
}

func signedBy(name string) mint.Signature {
	if cast[name] == nil {
		panic("no key " + name)
	}
	return mint.Signature{Key: cast[name]}
}

// vcase is a vector in the making. The zero value of each field is the sound choice.
type vcase struct {
	plan     mint.Plan
	secret   *mint.Secret // how the data is encrypted
	opener   string       // which of the identities opens it, by its name
	options  vectorOptions
	bundle   string
	bridge   bool                          // in an EventBridge delivery, structured
	embed    bool                          // in an EventBridge delivery, embedded
	detail   func(string) string           // edits the detail
	delivery func(mint.Object) mint.Object // edits the delivery
	http     httpEdit                      // in an HTTP message in binary mode, edited
	text     func(string) string           // edits the input, last
	repeated string                        // of which the input has a run that is too long for a file
	vector   vector                        // what is set here wins
}

// vectorList collects the cases.
type vectorList struct {
	t    testing.TB
	list []*vector
}

// add makes a vector of the order event signed by the key "orders", changed.
func (l *vectorList) add(name, about string, expect envelope.Reason, change func(c *vcase)) {
	c := &vcase{plan: order("orders"), bundle: "bundles/main.json",
		options: vectorOptions{Now: vectorNow, MaxAgeSeconds: 300}}
	if change != nil {
		change(c)
	}
	v := c.vector
	v.Name, v.About, v.Bundle, v.Options, v.Form = name, about, c.bundle, c.options, formCloudEvent
	plan := &c.plan
	if c.secret != nil {
		plan = plan.Encrypt(c.secret)
	}
	in := plan.Seal()
	text := in.String()
	if c.bridge || c.embed {
		v.Form = formEventBridge
		text = c.deliver(in)
	}
	if c.http != nil {
		v.Form = formHTTP
		text = mint.HTTPText(c.http(mint.HTTP(in)))
	}
	if c.text != nil {
		text = c.text(text)
	}
	v.setInput([]byte(text))
	if c.repeated != "" {
		v.shorten(c.repeated)
	}
	v.Expect = string(expect)
	if expect == "" {
		c.expectVerified(&v)
	} else {
		v.Encryption = nil
	}
	l.list = append(l.list, &v)
}

func (c *vcase) deliver(in mint.Object) string {
	detail := in.String()
	if c.embed {
		detail = mint.Embedded(in)
	}
	if c.detail != nil {
		detail = c.detail(detail)
	}
	source, typ := mint.Unquote(in.Get("source")), mint.Unquote(in.Get("type"))
	d := mint.Delivery(source, typ, "111122223333", detail)
	if c.delivery != nil {
		d = c.delivery(d)
	}
	return d.String()
}

func (c *vcase) expectVerified(v *vector) {
	v.Expect = expectedVerified
	if v.Event == "" {
		v.Event = c.plan.Opened()
	}
	if v.Producer == "" {
		v.Producer = c.plan.Producer()
	}
	if v.KeyIDs == nil {
		v.KeyIDs = c.plan.KeyIDs()
	}
	if c.secret != nil && v.Encryption == nil {
		v.Encryption = &vectorEncryption{c.secret.Fields, keyIDs(c.secret.To),
			identities[c.opener].Recipient().KeyID()}
	}
}

// set, del and replace are edits. Each makes sure that it changes something.
func set(name, raw string) func(mint.Object) mint.Object {
	return func(o mint.Object) mint.Object {
		if o.Get(name) == raw {
			panic("nothing to change: " + name)
		}
		return o.Set(name, raw)
	}
}

func add(name, raw string) func(mint.Object) mint.Object {
	return func(o mint.Object) mint.Object { return o.Add(name, raw) }
}

func del(name string) func(mint.Object) mint.Object {
	return func(o mint.Object) mint.Object {
		if o.Get(name) == "" {
			panic("nothing to delete: " + name)
		}
		return o.Del(name)
	}
}

func replace(old, with string) func(string) string {
	return func(text string) string {
		if !strings.Contains(text, old) {
			panic("nothing to replace: " + old)
		}
		return strings.Replace(text, old, with, 1)
	}
}

func always(text string) func(string) string { return func(string) string { return text } }

func ids(names ...string) []string {
	p := mint.Plan{}
	for _, name := range names {
		p.By = append(p.By, signedBy(name))
	}
	return p.KeyIDs()
}

func allVectors(t testing.TB) []*vector {
	l := &vectorList{t: t}
	for _, cases := range []func(*vectorList){
		soundCases, syntaxCases, dataCases, materialCases, payloadCases, profileCases, digestCases, keyCases,
		countedCases,
		delegationCases, foreignCases, timeCases, audienceCases, bridgeCases, edgeCases, hybridCases,
		encryptedCases, fieldCases, publishedCases,
		limitCases, budgetCases,
		addedCases, namelessCases, textCases, httpCases,
	} {
		cases(l)
	}
	return l.list
}
