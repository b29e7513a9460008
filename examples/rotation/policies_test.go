package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/sealbus/sealbus/examples/orders/orderstest"
	"github.com/sealbus/sealbus/internal/testbed/cfntest"
)

// obey has the function do what the files of iam/ allow, and nothing else.
func (w *world) obey(files ...string) *orderstest.Policies {
	w.Helper()
	values := strings.NewReplacer("${AWS::Partition}", "aws", "${Bucket}", testBucket, "${TimestampKeyArn}",
		w.timestampKey, "${SecretArn}", testSecret)
	p := orderstest.ReadPolicies(w, values, files...)
	w.denies = func(c call) bool { return p.Denies(c.action, c.resource, "") }
	return p
}

// TestPolicies: the function works with its policies, and needs all that they allow.
func TestPolicies(t *testing.T) {
	w := newWorld(t)
	p := w.obey("iam/timestamp.json", "iam/keyring.json")
	w.due()
	w.publishBundle()
	w.must(w.tick())
	if w.timestamp().BundleVersion != 2 || len(w.ring().PublicKeys()) != 2 {
		t.Errorf("%+v, %v", w.timestamp(), w.ring().PublicKeys())
	}
	if unused := p.Unused(); len(unused) > 0 {
		t.Errorf("allowed, and never needed: %v", unused)
	}
	p.Without(func(statement string) {
		if w.tick() == nil {
			t.Errorf("without %s nothing fails", statement)
		}
	})
}

// TestEmergencyByTheCommand: the engineer on call has nothing but iam/emergency.json.
func TestEmergencyByTheCommand(t *testing.T) {
	w := newWorld(t)
	p := w.obey("iam/emergency.json")
	dir := t.TempDir()
	w.must(os.WriteFile(filepath.Join(dir, "roots.json"), w.roots.Payload(), 0o600))
	id := w.ring().PublicKeys()[0].KeyID()
	bucket := "s3://" + testBucket + "/"
	there := bucket + timestampFile
	cmd := exec.Command(orderstest.Build(t, "cmd/sealbus"), "trust", "timestamp", "--key", w.timestampKey,
		"--roots", "roots.json", "--bundle", bucket+bundleFile, "--previous", there, "--out", there,
		"--revoke", id, "--reason", "laptop stolen", "--now", w.clock.Format(time.RFC3339))
	cmd.Dir = dir
	cmd.Env = []string{"HOME=" + dir, "AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=AKIDEXAMPLE",
		"AWS_SECRET_ACCESS_KEY=example", "AWS_EC2_METADATA_DISABLED=true", "AWS_MAX_ATTEMPTS=1",
		"AWS_ENDPOINT_URL=" + *w.objects.Options().BaseEndpoint}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if unused := p.Unused(); len(unused) > 0 {
		t.Errorf("allowed, and never needed: %v", unused)
	}
	w.denies = nil
	w.must(w.tick())
	if b, err := w.consumer().Bundle(t.Context()); err != nil || b.Key(id).Revoked == nil ||
		w.timestamp().Version != 3 {
		t.Errorf("a consumer has %v, %v", b, err)
	}
}

// workflow is a job of GitHub Actions, as far as this test plays it.
type workflow struct {
	Jobs struct {
		Policy struct {
			Steps []struct {
				Name, Run string
				Env       map[string]string
			}
		}
	}
}

// TestWorkflow runs the steps of policy-check.yml: without a change, on a widening with and without the
// label, on a key that was not submitted, and when the published trust has a problem.
func TestWorkflow(t *testing.T) {
	doc, err := os.ReadFile("policy-check.yml")
	if err != nil {
		t.Fatal(err)
	}
	var flow workflow
	if err := yaml.Unmarshal(doc, &flow); err != nil {
		t.Fatal(err)
	}
	repo := newRepository(t)
	check := func(widens string) (summary string, failed error) {
		temp := t.TempDir()
		for _, step := range flow.Jobs.Policy.Steps {
			if step.Run == "" || strings.HasPrefix(step.Name, "Install") {
				continue
			}
			out, err := repo.sh(step.Run, "GITHUB_STEP_SUMMARY="+filepath.Join(temp, "summary"),
				"GITHUB_WORKSPACE="+repo.dir, "RUNNER_TEMP="+temp, "WIDENS="+widens, "PUBLISHED=trust.dsse")
			if err != nil {
				return "", fmt.Errorf("%s: %w\n%s", step.Name, err, out)
			}
		}
		told, err := os.ReadFile(filepath.Join(temp, "summary"))
		return string(told), err
	}
	if told, err := check("false"); err != nil || !strings.Contains(told, "nothing changes") {
		t.Errorf("%q, %v", told, err)
	}
	repo.must("mv timestamp.dsse withheld.dsse")
	if _, err := check("false"); err == nil || !strings.HasPrefix(err.Error(), "Doctor: ") {
		t.Errorf("consumers get no timestamp: %v", err)
	}
	repo.must("mv withheld.dsse timestamp.dsse")
	repo.replace("types: [a.b]", "types: [a.b, refund.*]")
	if _, err := check("false"); err == nil || !strings.Contains(err.Error(), "--widen") {
		t.Errorf("a widening without the label: %v", err)
	}
	if told, err := check("true"); err != nil || !strings.Contains(told, "refund.*") {
		t.Errorf("%q, %v", told, err)
	}
	repo.must("sealbus keys new --producer mail --keyring mail.ring --insecure-no-passphrase && " +
		"sealbus keys export --keyring mail.ring --insecure-no-passphrase --out mail.pub.json && " +
		"sealbus trust add --policy policy.yaml --producer mail mail.pub.json")
	if _, err := check("true"); err == nil {
		t.Error("a key that was not submitted is not missed")
	}
}

// repository is one with a trust policy.
type repository struct {
	*testing.T
	dir, bin string
}

func newRepository(t *testing.T) *repository {
	t.Helper()
	r := &repository{t, t.TempDir(), t.TempDir()}
	if err := os.Symlink(orderstest.Build(t, "cmd/sealbus"), filepath.Join(r.bin, "sealbus")); err != nil {
		t.Fatal(err)
	}
	r.must(`export I=--insecure-no-passphrase && mkdir keys &&
		sealbus trust root new --out r.key $I && sealbus trust root new --out ts.key $I &&
		sealbus trust roots r.key.pub --timestamp-key ts.key.pub --out roots.json &&
		sealbus keys new --producer orders --keyring o.ring $I &&
		sealbus keys export --keyring o.ring $I --out keys/orders.pub.json &&
		sealbus trust add --policy policy.yaml --producer orders keys/orders.pub.json`)
	r.replace("sources: []", "sources: [urn:shop]")
	r.replace("types: []", "types: [a.b]")
	r.must("sealbus trust build --policy policy.yaml --keys keys/orders.pub.json --root r.key " +
		"--insecure-no-passphrase --roots roots.json --out trust.dsse && sealbus trust timestamp --key ts.key " +
		"--insecure-no-passphrase --roots roots.json --bundle trust.dsse --previous none --out timestamp.dsse")
	return r
}

// sh runs a script as GitHub Actions does.
func (r *repository) sh(script string, env ...string) (string, error) {
	cmd := exec.Command("bash", "-e", "-c", script)
	cmd.Dir = r.dir
	cmd.Env = append([]string{"HOME=" + r.dir, "PATH=" + r.bin + ":" + os.Getenv("PATH")}, env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (r *repository) must(script string) {
	r.Helper()
	if out, err := r.sh(script); err != nil {
		r.Fatalf("%v\n%s", err, out)
	}
}

func (r *repository) replace(old, new string) {
	r.Helper()
	path := filepath.Join(r.dir, "policy.yaml")
	doc, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(doc), old) {
		r.Fatalf("no %q in %s: %v", old, doc, err)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(doc), old, new, 1)), 0o600); err != nil {
		r.Fatal(err)
	}
}

// TestAlarmsAreOnMetricsThatAreWritten: an alarm on a metric that no program writes is silent for ever.
func TestAlarmsAreOnMetricsThatAreWritten(t *testing.T) {
	template, err := cfntest.Read("rotation.yaml")
	if err != nil {
		t.Fatal(err)
	}
	alarmed := map[any]any{}
	for _, id := range template.OfType("AWS::CloudWatch::Alarm") {
		if p := template.Resources[id].Properties; p["Namespace"] == namespace {
			alarmed[p["MetricName"]] = p["Threshold"]
		}
	}
	want := map[any]any{timestampLeft: 50, bundleLeft: 33.4, rootsLeft: 122, stepsLate: 0}
	if fmt.Sprint(alarmed) != fmt.Sprint(want) {
		t.Errorf("%v, not %v", alarmed, want)
	}
}
