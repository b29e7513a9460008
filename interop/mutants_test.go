package interop_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

const (
	mutantCount = 4000 // a few seconds
	mutantSeed  = 2026
)

// TestMutants alters the inputs of the vectors at random, always the same way, and wants Go and the verifier
// to conclude the same of each: two readers that differ on one JSON text can be told two different things by
// it.
func TestMutants(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "bundles"),
		os.DirFS(filepath.Join(vectorDir, "bundles"))); err != nil {
		t.Fatal(err)
	}
	mutants := writeMutants(t, dir)
	peer := verifierFindings(t, dir)
	verdicts := make(map[string]int)
	for file, v := range mutants {
		want := goFinding(t, v)
		verdicts[want.Verdict]++
		if got := peer[file]; !isEitherAllowed(v.Form, got.Verdict, want.Verdict) {
			compare(t, "the verifier, on "+string(v.InputBase64), got, want)
		}
	}
	t.Logf("verdicts: %v", verdicts)
	if len(verdicts) < 5 {
		t.Errorf("the mutants end in %v: too much alike to show anything", verdicts)
	}
}

// isEitherAllowed: SPEC.md does not say which of two defects of one event's syntax speaks first. And Go looks
// into the detail of a delivery only when a sealed event is in it, so that another one is unsigned whatever
// else it is.
func isEitherAllowed(form, verifier, golang string) bool {
	isSyntax := verifier == "malformed" || verifier == "too_large"
	if golang == "unsigned" {
		return isSyntax && form == "eventbridge"
	}
	return isSyntax && (golang == "malformed" || golang == "too_large")
}

func writeMutants(t *testing.T, dir string) map[string]vector {
	t.Helper()
	vectors := readVectors(t)
	var names []string
	for name, v := range vectors {
		if v.Repeat == nil { // else it is as large as an event may be: a thousand of those take minutes
			names = append(names, name)
		}
	}
	slices.Sort(names)
	random := rand.New(rand.NewPCG(mutantSeed, 0))
	mutants := make(map[string]vector, mutantCount)
	for i := range mutantCount {
		name := names[random.IntN(len(names))]
		v := vectors[name]
		v.InputBase64 = mutateInput(random, inputOf(v))
		file := fmt.Sprintf("%04d.json", i)
		writeMutant(t, filepath.Join(dir, file), filepath.Join(vectorDir, name), v.InputBase64)
		mutants[file] = v
	}
	return mutants
}

// writeMutant writes the vector again with another input and all else as it is.
func writeMutant(t *testing.T, file, original string, input []byte) {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal(read(t, original), &members); err != nil {
		t.Fatal(err)
	}
	delete(members, "input")
	members["input_base64"] = base64.StdEncoding.EncodeToString(input)
	content, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// snippets are what readers of JSON, of base64, of times and of URIs are known to disagree on.
var snippets = []string{"", "\"", "\\", ",", ":", "{", "}", "[]", "{}", "null", "true", "false", "0", "-0",
	"1.0", "1e0", "1E400",
	"-", "+", ".", "01", " ", "\t", "\n", "\x00", "\x7f", "\u0085", "\u00a0", "\ufeff", "\u2028", "\ufffe",
	"\xff", "\xed\xa0\x80", `\u0000`,
	`\ud800`, `\udc00`, `\ud83d\ude00`, `\u00e9`, `\/`, "=", "==", "A", "_", "%2e", "%", "/", "//", "..", "#",
	"@", "Z", "+00:00", "T",
	`"_datadog":{"a":1e400},`, `,"_datadog":"x"`, `"ID":"x",`, `"Data":1,`, `"ſource":"x",`, `"Tenant":1,`,
	`"\u005f":[],`,
	`"time":"",`, `"subject":null,`, `"data":1,`, `"data_base64":null,`, `"x":1,`, `"x":{},`, `"id":"i",`,
	"2147483648", "-2147483648",
	"\r\n", "\r", "\r\n\r\n", "ce-", "CE-id:x\r\n", "Content-Type:text/plain\r\n", "%20", "%C3", "%c3%a9",
	"%2",
	": "}

var material = regexp.MustCompile(`(?:"dssematerial":"|ce-dssematerial: )([A-Za-z0-9+/=]+)`)

// mutateInput alters the event's text or, every other time, that of the envelope within.
func mutateInput(random *rand.Rand, input []byte) []byte {
	at := material.FindSubmatchIndex(input)
	if at == nil || random.IntN(2) == 0 {
		return mutate(random, input)
	}
	envelope, err := base64.StdEncoding.DecodeString(string(input[at[2]:at[3]]))
	if err != nil {
		return mutate(random, input)
	}
	altered := base64.StdEncoding.AppendEncode(nil, mutate(random, envelope))
	return slices.Replace(slices.Clone(input), at[2], at[3], altered...)
}

func mutate(random *rand.Rand, input []byte) []byte {
	output := slices.Clone(input)
	for range 1 + random.IntN(2) {
		from := random.IntN(len(output) + 1)
		to := min(len(output), from+random.IntN(4))
		if random.IntN(4) == 0 {
			to = from
		}
		output = slices.Replace(output, from, to, []byte(snippets[random.IntN(len(snippets))])...)
	}
	return output
}
