package claims_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/claims"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
)

// tables is as much of DynamoDB as makes tables; key is the partition key of the table that exists, "" = none
// does.
type tables struct {
	mu      sync.Mutex
	key     string
	ttl     string
	noTTL   bool
	refuse  string
	updates int
}

func (f *tables) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var in struct {
		KeySchema               []struct{ AttributeName string }
		BillingMode             string
		TimeToLiveSpecification struct{ AttributeName string }
	}
	_ = json.NewDecoder(r.Body).Decode(&in)
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	operation := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "DynamoDB_20120810.")
	if code := f.fault(operation); code != "" {
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]string{"__type": "x#" + code, "message": "no"})
		return
	}
	answer := map[string]any{}
	switch operation {
	case "CreateTable":
		f.key = in.KeySchema[0].AttributeName + " " + in.BillingMode
	case "DescribeTable":
		name, _, _ := strings.Cut(f.key, " ")
		answer["Table"] = map[string]any{
			"TableStatus":          "ACTIVE",
			"KeySchema":            []any{map[string]string{"AttributeName": name, "KeyType": "HASH"}},
			"AttributeDefinitions": []any{map[string]string{"AttributeName": name, "AttributeType": "S"}},
		}
	case "DescribeTimeToLive":
		if f.ttl != "" {
			answer["TimeToLiveDescription"] = map[string]string{"AttributeName": f.ttl,
				"TimeToLiveStatus": "ENABLED"}
		}
	case "UpdateTimeToLive":
		f.ttl = in.TimeToLiveSpecification.AttributeName
		f.updates++
	}
	_ = json.NewEncoder(w).Encode(answer)
}

func (f *tables) fault(operation string) string {
	switch {
	case f.refuse != "":
		return f.refuse
	case operation == "CreateTable" && f.key != "":
		return "ResourceInUseException"
	case strings.Contains(operation, "TimeToLive") && f.noTTL:
		return "UnknownOperationException"
	}
	return ""
}

// createTable runs the command against the fake, with an environment of its own.
func createTable(t *testing.T, f *tables, more ...string) clitest.Ran {
	t.Helper()
	clitest.IsolateAWS(t)
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	return clitest.New(t).Run("", append([]string{"claims", "create-table", "--table", "claims", "--region",
		"eu-west-1", "--endpoint", server.URL}, more...)...)
}

func TestReplayCreateTable(t *testing.T) {
	f := &tables{}
	for _, created := range []bool{true, false} { // the second time, everything is there
		r := createTable(t, f, "--output", "json")
		var made claims.TableMade
		if err := json.Unmarshal([]byte(r.Stdout), &made); err != nil || r.Code != ui.ExitDone {
			t.Fatalf("exit %d, %v: %s%s", r.Code, err, r.Stdout, r.Stderr)
		}
		if want := (claims.TableMade{Table: "claims", Region: "eu-west-1", Created: created,
			TTL: "forget_at"}); made != want {
			t.Errorf("made %+v, want %+v", made, want)
		}
	}
	if f.key != "id PAY_PER_REQUEST" || f.ttl != "forget_at" || f.updates != 1 {
		t.Errorf("the table is %+v", f)
	}
}

func TestReplayCreateTableWithoutTTL(t *testing.T) {
	r := createTable(t, &tables{noTTL: true})
	if r.Code != ui.ExitDone || !strings.Contains(r.Stdout, "no time to live") ||
		!strings.Contains(r.Stderr, "nothing is ever deleted") {
		t.Errorf("exit %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
}

func TestReplayCreateTableRefused(t *testing.T) {
	for name, c := range map[string]struct {
		tables *tables
		more   []string
		code   int
	}{
		"another key":          {&tables{key: "pk"}, nil, ui.ExitUsage},
		"another time to live": {&tables{key: "id", ttl: "expires"}, nil, ui.ExitUsage},
		"not allowed":          {&tables{refuse: "AccessDeniedException"}, nil, ui.ExitUsage},
		"no table's name":      {&tables{}, []string{"--table", "a b"}, ui.ExitUsage},
		"no table":             {&tables{}, []string{"--table", ""}, ui.ExitUsage},
		"no region":            {&tables{}, []string{"--region", ""}, ui.ExitUsage},
		"an argument too much": {&tables{}, []string{"claims"}, ui.ExitUsage},
		"no server listens": {&tables{}, []string{"--endpoint", "http://127.0.0.1:1"},
			ui.ExitUnavailable},
		"no URL as an endpoint": {&tables{}, []string{"--endpoint", "::"}, ui.ExitUsage},
	} {
		t.Run(name, func(t *testing.T) {
			r := createTable(t, c.tables, append(c.more, "--output", "json")...)
			var e ui.ErrorResult
			if err := json.Unmarshal([]byte(r.Stdout), &e); err != nil || r.Code != c.code ||
				e.Error != ui.ExitWord(c.code) || e.Fix == "" {
				t.Errorf("exit %d, want %d, %v\n%s%s", r.Code, c.code, err, r.Stdout, r.Stderr)
			}
		})
	}
}
