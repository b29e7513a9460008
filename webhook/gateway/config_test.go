package gateway_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/webhook/gateway"
)

// Each thing that is wrong in a configuration has its line and field.
func TestConfigErrors(t *testing.T) {
	const good = oneEndpoint
	t.Setenv("GITHUB_SECRET", "first")
	other := func(change, into string) string {
		return strings.NewReplacer("endpoints:\n", "", "github:", "b:", change, into).Replace(good)
	}
	for name, c := range map[string]struct {
		config string
		line   int
		field  string
	}{
		"empty":             {"", 0, ""},
		"no YAML":           {"endpoints:\n  a: b: c\n", 2, ""},
		"a list":            {"- a\n", 1, ""},
		"two documents":     {good + "---\nendpoints: {}\n", 8, ""},
		"no endpoints":      {"base_url: https://hooks.example\n", 1, "endpoints"},
		"unknown field":     {good + "    speed: 1\n", 8, "endpoints.github.speed"},
		"unknown top field": {"speed: 1\n" + good, 1, "speed"},
		"field twice":       {good + "    path: /a\n", 8, "endpoints.github.path"},
		"alias":             {"x: &a [1]\n" + good + "    topics: *a\n", 1, "x"},
		"merge":             {good + "    <<: {path: /a}\n", 8, "endpoints.github.<<"},
		"name":              {strings.Replace(good, "github:", "GitHub:", 1), 3, "endpoints.GitHub"},
		"no path": {strings.Replace(good, "path: /hooks/github", "burst: 1", 1),
			3, "endpoints.github"},
		"path without /": {strings.Replace(good, "/hooks/github", "hooks", 1),
			4, "endpoints.github.path"},
		"path with query": {strings.Replace(good, "/hooks/github", "/hooks?x=1", 1),
			4, "endpoints.github.path"},
		"path with escape": {strings.Replace(good, "/hooks/github", "/hooks%20", 1),
			4, "endpoints.github.path"},
		"path with dots": {strings.Replace(good, "/hooks/github", "/a/../b", 1),
			4, "endpoints.github.path"},
		"number as text":    {good + "    type_prefix: 5\n", 8, "endpoints.github.type_prefix"},
		"text as number":    {good + "    rate: fast\n", 8, "endpoints.github.rate"},
		"negative rate":     {good + "    rate: -1\n", 8, "endpoints.github.rate"},
		"NaN":               {good + "    rate: .nan\n", 8, "endpoints.github.rate"},
		"burst alone":       {good + "    burst: 5\n", 3, "endpoints.github"},
		"half a byte":       {good + "    max_body: 1.5\n", 8, "endpoints.github.max_body"},
		"body over budget":  {good + "    max_body: 33554433\n", 8, "endpoints.github.max_body"},
		"no duration":       {good + "    tolerance: 300\n", 8, "endpoints.github.tolerance"},
		"negative duration": {good + "    tolerance: -5m\n", 8, "endpoints.github.tolerance"},
		"no flag":           {good + "    unsafe_sha1: 1\n", 8, "endpoints.github.unsafe_sha1"},
		"no list":           {good + "    topics: arn\n", 8, "endpoints.github.topics"},
		"empty list":        {good + "    topics: []\n", 8, "endpoints.github.topics"},
		"list of numbers":   {good + "    topics: [a, 1]\n", 8, "endpoints.github.topics.1"},
		"provider": {strings.Replace(good, "provider: github", "provider: githb", 1),
			5, "endpoints.github.provider"},
		"two providers": {good + "    recipe: a.json\n", 3, "endpoints.github"},
		"no recipe": {strings.Replace(good, "provider: github", "recipe: none.json", 1),
			5, "endpoints.github.recipe"},
		"secret, no list": {strings.Replace(good, "[env:GITHUB_SECRET]", "env:GITHUB_SECRET", 1),
			6, "endpoints.github.secrets"},
		"no secret": {strings.Replace(good, "    secrets: [env:GITHUB_SECRET]\n", "", 1),
			3, "endpoints.github"},
		"secret without ref": {strings.Replace(good, "[env:GITHUB_SECRET]", "[{id: a}]", 1), 6,
			"endpoints.github.secrets.0"},
		"secret's date": {strings.Replace(good, "[env:GITHUB_SECRET]",
			`[{ref: "env:GITHUB_SECRET", not_after: soon}]`, 1), 6,
			"endpoints.github.secrets.0.not_after"},
		"source": {strings.Replace(good, "source: https://hooks.example/github", `source: "aws.x"`, 1),
			7, "endpoints.github.source"},
		"no source": {strings.Replace(good, "source: https://hooks.example/github", "rate: 1", 1),
			3, "endpoints.github"},
		"one path": {good + other("example/github", "example/b"),
			10, "endpoints.b.path"},
		"one source": {good + other("hooks/github", "hooks/b"),
			13, "endpoints.b.source"},
		"topics needed": {strings.Replace(good, "provider: github", "provider: sns", 1),
			3, "endpoints.github"},
		"URL needed": {strings.Replace(good, "provider: github", "provider: square", 1),
			3, "endpoints.github"},
	} {
		g, err := gateway.New(t.Context(), []byte(c.config), ring(t), &memoryBus{}, replay.NewMemory(nil),
			options())
		e, ok := errors.AsType[*gateway.ConfigError](err)
		if !ok || g != nil || e.Line != c.line || e.Field != c.field {
			t.Errorf("%s: %v; want line %d, field %q", name, err, c.line, c.field)
		}
	}
}

// A source for which the keys do not speak is refused with its place, by Reload, too.
func TestSourceIsChecked(t *testing.T) {
	opts := options()
	opts.CheckSource = func(source string) error {
		if source != "https://hooks.example/github" {
			return errors.New("not ours")
		}
		return nil
	}
	w := newWorld(t, oneEndpoint, opts)
	other := strings.Replace(oneEndpoint, "source: https://hooks", "source: https://x", 1)
	err := w.Reload(t.Context(), []byte(other))
	e, ok := errors.AsType[*gateway.ConfigError](err)
	if !ok || e.Line != 7 || e.Field != "endpoints.github.source" {
		t.Errorf("%v", err)
	}
}

// All that is wrong is said at once.
func TestConfigErrorsAreAllSaid(t *testing.T) {
	config := strings.NewReplacer("/hooks/github", "hooks", "secrets: [", "secrets: [plain, ").
		Replace(oneEndpoint)
	_, err := gateway.New(t.Context(), []byte(config), ring(t), &memoryBus{}, replay.NewMemory(nil),
		options())
	if err == nil || !strings.Contains(err.Error(), "line 4: ") ||
		!strings.Contains(err.Error(), "line 6: ") {
		t.Errorf("%v", err)
	}
}

// A secret in the place of its reference is in no error.
func TestErrorsQuoteNoSecret(t *testing.T) {
	for _, secret := range []string{"hunter2canary", "whsec_canary", "my:hunter2canary", "123canary",
		`"canary"`, "{canary: a}", "[canary]", "!!int canary", "canary:", `"env:\ncanary"`, "*canary",
		"!canary!x", "!canary", "&canary", "@canary", "`canary", "%canary", "|canary", ">canary", `"canary`,
		"canary: a: b", "<<: *canary", "a canary: b", "'canary", "{canary", "canary]"} {
		for _, at := range []string{"[" + secret + "]", secret, "[{ref: " + secret + "}]"} {
			config := strings.Replace(oneEndpoint, "[env:GITHUB_SECRET]", at, 1)
			_, err := gateway.New(t.Context(), []byte(config), ring(t), &memoryBus{}, replay.NewMemory(nil),
				options())
			if err == nil {
				t.Errorf("%s was taken", at)
			} else if strings.Contains(err.Error(), "canary") {
				t.Errorf("%s: %v", at, err)
			}
		}
	}
}
