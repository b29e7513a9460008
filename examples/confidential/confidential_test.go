package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestPlay: both permitted consumers read all of it, the curious one nothing, at the price that README names.
func TestPlay(t *testing.T) {
	var out bytes.Buffer
	if err := play(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"billing   read 100 of 100", "shipping  read 100 of 100", `"number":"4111 1111 1111 1111"`,
		"what KMS tells him is kms_unavailable",
		"producer  kms:Sign             1", "producer  kms:GenerateDataKey  1",
		"producer  kms:Encrypt          1", "billing   kms:Decrypt          1",
		"shipping  kms:Decrypt          1",
	} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("no %q in\n%s", line, out.String())
		}
	}
	_, curious, _ := strings.Cut(out.String(), "curious")
	if strings.Contains(curious, "4111 1111") {
		t.Errorf("the curious one reads\n%s", curious)
	}
}

// statement is what these policies are made of.
type statement struct {
	Sid, Effect string
	Principal   struct{ AWS string }
	Action      any // a string, or several
	Resource    string
	Condition   struct{ StringEquals map[string]string }
}

func (s *statement) actions() (list []string) {
	switch a := s.Action.(type) {
	case string:
		return []string{a}
	case []any:
		for _, text := range a {
			list = append(list, text.(string))
		}
	}
	return list
}

// allows reports whether the statement lets a role do what it asked for.
func (s *statement) allows(c call) bool {
	want, conditional := s.Condition.StringEquals["kms:EncryptionContext:sealbus:source"]
	return s.Effect == "Allow" && slices.Contains(s.actions(), c.action) && (!conditional || want == c.source)
}

func readPolicy(t *testing.T, name string) []statement {
	t.Helper()
	doc, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var policy struct {
		Version   string
		Statement []statement
	}
	d := json.NewDecoder(bytes.NewReader(doc))
	d.DisallowUnknownFields()
	if err := d.Decode(&policy); err != nil || policy.Version != "2012-10-17" || len(policy.Statement) == 0 {
		t.Fatalf("%s: %v", name, err)
	}
	return policy.Statement
}

// TestPolicies: what the programs ask KMS for is what both policies allow, no more; for another source it is
// not allowed; and no key policy names the curious one.
func TestPolicies(t *testing.T) {
	s, err := newStage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	encrypter, session, err := newProducer(t.Context(), s.client("producer"), s.signing, s.billing,
		s.shipping)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := seal(t.Context(), order(1), session, encrypter)
	if err != nil {
		t.Fatal(err)
	}
	trust, err := s.trustIn(session)
	if err != nil {
		t.Fatal(err)
	}
	for name, arn := range map[string]string{"billing": s.billing, "shipping": s.shipping} {
		if _, err := consume(t.Context(), name, s.client(name), arn, trust, [][]byte{doc}); err != nil {
			t.Fatal(err)
		}
	}
	roles := map[string]string{"producer": "role/OrdersProducer", "billing": "role/BillingConsumer",
		"shipping": "role/ShippingConsumer"}
	files := map[string]string{s.signing: "signing", s.billing: "billing", s.shipping: "shipping"}
	used := map[string]bool{}
	for _, c := range s.calls() {
		mine := readPolicy(t, filepath.Join("iam", c.role+".json"))
		theirs := readPolicy(t, filepath.Join("kms", files[c.key]+"-key-policy.json"))
		byIAM := slices.ContainsFunc(mine, func(st statement) bool {
			used[st.Sid] = used[st.Sid] || st.allows(c)
			return st.allows(c) && strings.Contains(st.Resource, strings.ToUpper(files[c.key])+"-KEY-ID")
		})
		byKey := slices.ContainsFunc(theirs, func(st statement) bool {
			used[st.Sid] = used[st.Sid] || st.allows(c)
			return st.allows(c) && strings.HasSuffix(st.Principal.AWS, roles[c.role])
		})
		if !byIAM || !byKey {
			t.Errorf("%s asks for %s on the key of %s: IAM allows it: %v, the key policy: %v", c.role,
				c.action, files[c.key], byIAM, byKey)
		}
		if other := c; c.source != "" {
			other.source = "https://orders.example/us"
			for _, st := range slices.Concat(mine, theirs) {
				if st.allows(other) {
					t.Errorf("%s allows %s for another source, too", st.Sid, c.action)
				}
			}
		}
	}
	checkAllUsed(t, used)
}

// checkAllUsed: every statement of a role and a key, but those of administrators and of the bus, was needed.
func checkAllUsed(t *testing.T, used map[string]bool) {
	t.Helper()
	files, err := filepath.Glob("[ik]*/*.json")
	if err != nil || len(files) != 7 {
		t.Fatalf("%v %v", files, err)
	}
	for _, file := range files {
		for _, st := range readPolicy(t, file) {
			switch {
			case strings.Contains(file, "kms") && strings.Contains(st.Principal.AWS, "urious"):
				t.Errorf("%s names the curious one", file)
			case strings.Contains(file, "curious"), st.Sid == "TheAccountAdministers",
				st.Sid == "PutOnTheBus":
			case !used[st.Sid]:
				t.Errorf("%s: nobody needs %s", file, st.Sid)
			}
		}
	}
	if len(used) == 0 {
		t.Error("nothing was asked for: the test is blind")
	}
}
