package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
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
			answer["TimeToLiveDescription"] = map[string]string{"AttributeName": f.ttl, "TimeToLiveStatus": "ENABLED"}
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
func createTable(t *testing.T, f *tables, more ...string) ran {
	t.Helper()
	isolateAWS(t)
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	return newBench(t).run("", append([]string{"replay", "create-table", "--table", "claims", "--region", "eu-west-1", "--endpoint", server.URL}, more...)...)
}

func isolateAWS(t *testing.T) {
	t.Helper()
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "example", "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "",
		"AWS_REGION": "", "AWS_DEFAULT_REGION": "", "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
		"AWS_MAX_ATTEMPTS": "1", "AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(name, value)
	}
}

func TestReplayCreateTable(t *testing.T) {
	f := &tables{}
	for _, created := range []bool{true, false} { // the second time, everything is there
		r := createTable(t, f, "--output", "json")
		var made tableMade
		if err := json.Unmarshal([]byte(r.stdout), &made); err != nil || r.code != exitDone {
			t.Fatalf("exit %d, %v: %s%s", r.code, err, r.stdout, r.stderr)
		}
		if want := (tableMade{"claims", "eu-west-1", created, "forget_at"}); made != want {
			t.Errorf("made %+v, want %+v", made, want)
		}
	}
	if f.key != "id PAY_PER_REQUEST" || f.ttl != "forget_at" || f.updates != 1 {
		t.Errorf("the table is %+v", f)
	}
}

func TestReplayCreateTableWithoutTTL(t *testing.T) {
	r := createTable(t, &tables{noTTL: true})
	if r.code != exitDone || !strings.Contains(r.stdout, "no time to live") || !strings.Contains(r.stderr, "nothing is ever deleted") {
		t.Errorf("exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
}

func TestReplayCreateTableRefused(t *testing.T) {
	for name, c := range map[string]struct {
		tables *tables
		more   []string
		code   int
	}{
		"another key":           {&tables{key: "pk"}, nil, exitUsage},
		"another time to live":  {&tables{key: "id", ttl: "expires"}, nil, exitUsage},
		"not allowed":           {&tables{refuse: "AccessDeniedException"}, nil, exitUsage},
		"no table's name":       {&tables{}, []string{"--table", "a b"}, exitUsage},
		"no table":              {&tables{}, []string{"--table", ""}, exitUsage},
		"no region":             {&tables{}, []string{"--region", ""}, exitUsage},
		"an argument too much":  {&tables{}, []string{"claims"}, exitUsage},
		"nobody is listening":   {&tables{}, []string{"--endpoint", "http://127.0.0.1:1"}, exitUnavailable},
		"no URL as an endpoint": {&tables{}, []string{"--endpoint", "::"}, exitUsage},
	} {
		t.Run(name, func(t *testing.T) {
			r := createTable(t, c.tables, append(c.more, "--output", "json")...)
			var e errorResult
			if err := json.Unmarshal([]byte(r.stdout), &e); err != nil || r.code != c.code || e.Error != exitWord(c.code) || e.Fix == "" {
				t.Errorf("exit %d, want %d, %v\n%s%s", r.code, c.code, err, r.stdout, r.stderr)
			}
		})
	}
}
