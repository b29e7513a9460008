package localaws

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// dynamoAPI is Amazon DynamoDB, as far as a table of claims needs it: tables with a string as their only key,
// reads and conditional writes of one item, time to live. It refuses each parameter, type and expression that
// it does not have, so that a call that passes here means what it means on AWS. One thing is not refused: a
// reserved word of DynamoDB as a name in an expression.
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Operations_Amazon_DynamoDB.html
var dynamoAPI = &api{
	target: "DynamoDB_20120810.", contentType: "application/x-amz-json-1.0", iam: "dynamodb",
	actions: map[string]action{
		"CreateTable":        onTables((*Server).createTable),
		"DescribeTable":      onTables((*Server).describeTable),
		"UpdateTable":        onTables((*Server).updateTable),
		"DeleteTable":        onTables((*Server).deleteTable),
		"ListTables":         onTables((*Server).listTables),
		"DescribeTimeToLive": onTables((*Server).describeTimeToLive),
		"UpdateTimeToLive":   onTables((*Server).updateTimeToLive),
		"GetItem":            onTables((*Server).getItem),
		"PutItem":            onTables((*Server).putItem),
		"UpdateItem":         onTables((*Server).updateItem),
		"DeleteItem":         onTables((*Server).deleteItem),
	},
	throttled: &fault{status: http.StatusBadRequest, code: "ThrottlingException",
		message: "Rate of requests exceeds the allowed throughput."},
	broken: &fault{status: http.StatusInternalServerError, code: "InternalServerError",
		message: "The request processing has failed because of an unknown error."},
	denied: func(s *Server, action string) error {
		return refuse("AccessDeniedException", "User: %s is not authorized to perform: dynamodb:%s", s.caller(),
			action)
	},
	encode: encodeItems,
}

// tableStore are the tables. Its lock makes each operation atomic.
type tableStore struct {
	mu     sync.Mutex
	byName map[string]*table
}

// table is one of them, and its row in the journal.
type table struct {
	Name, Hash string // Hash is the name of the partition key
	TTL        string // the attribute of time to live; "" = off
	Protected  bool
	Created    time.Time

	items  map[string]attributes // by the partition key
	writes int                   // until the next look for what has expired
}

// The journal's rows of DynamoDB. The key of an item is the name of its table, "/" and its partition key.
const (
	tableRows = "dynamodb.tables"
	itemRows  = "dynamodb.items"
)

// loadTables reads what the journal has. It is called before the server serves.
func (s *Server) loadTables() error {
	err := s.journal.load(tableRows, func(name string, row []byte) error {
		t := &table{items: map[string]attributes{}}
		s.tables.byName[name] = t
		return json.Unmarshal(row, t)
	})
	if err != nil {
		return err
	}
	return s.journal.load(itemRows, func(key string, row []byte) error {
		name, id, _ := strings.Cut(key, "/")
		t := s.tables.byName[name]
		if t == nil {
			return errors.New("its table is missing")
		}
		var item attributes
		err := json.Unmarshal(row, &item)
		t.items[id] = item
		return err
	})
}

// onTables is decoded for an action of DynamoDB. It runs with the lock of the tables held, and takes no
// parameter that it does not have.
func onTables[In, Out any](f func(*Server, *In) (Out, error)) action {
	return func(_ context.Context, s *Server, body []byte) (any, error) {
		var in In
		d := json.NewDecoder(bytes.NewReader(body))
		d.DisallowUnknownFields()
		if err := d.Decode(&in); err != nil {
			if strings.Contains(err.Error(), "unknown field") {
				return nil, invalid("The local DynamoDB does not have this parameter or type: %v", err)
			}
			return nil, refuse("SerializationException", "%v", err)
		}
		if _, err := d.Token(); err != io.EOF {
			return nil, refuse("SerializationException", "there is more than one object")
		}
		s.tables.mu.Lock()
		defer s.tables.mu.Unlock()
		return f(s, &in)
	}
}

// encodeItems is encodeJSON with the names of errors as DynamoDB writes them. A failed condition has the item
// that was in the way.
func encodeItems(out any, f *fault) ([]byte, error) {
	if f == nil {
		return json.Marshal(out)
	}
	shape := "com.amazonaws.dynamodb.v20120810#"
	if f.code == "ValidationException" {
		shape = "com.amazon.coral.validate#"
	} else if f.code == "UnknownOperationException" || f.code == "SerializationException" {
		shape = "com.amazon.coral.service#"
	}
	body := map[string]any{"__type": shape + f.code, "message": f.message}
	if failed, ok := out.(*itemOutput); ok && failed != nil && failed.Item != nil {
		body["Item"] = failed.Item
	}
	return json.Marshal(body)
}

type tableInput struct{ TableName string }

func (s *Server) findTable(name string) (*table, error) {
	if t := s.tables.byName[name]; t != nil {
		return t, nil
	}
	return nil, refuse("ResourceNotFoundException", "Requested resource not found: Table: %s not found", name)
}

type keyElement struct{ AttributeName, KeyType string }

type attributeDefinition struct{ AttributeName, AttributeType string }

type createTableInput struct {
	TableName, BillingMode    string
	AttributeDefinitions      []attributeDefinition
	KeySchema                 []keyElement
	DeletionProtectionEnabled bool
	ProvisionedThroughput     *struct{ ReadCapacityUnits, WriteCapacityUnits int64 } // is ignored
}

type tableOutput struct {
	TableDescription *tableDescription `json:",omitempty"`
	Table            *tableDescription `json:",omitempty"` // of DescribeTable
}

type tableDescription struct {
	TableName, TableArn, TableStatus string
	KeySchema                        []keyElement
	AttributeDefinitions             []attributeDefinition
	BillingModeSummary               struct{ BillingMode string }
	CreationDateTime                 float64
	DeletionProtectionEnabled        bool
	ItemCount                        int
}

var tableNames = expression(`^[A-Za-z0-9_.-]{3,255}$`)

func (s *Server) createTable(in *createTableInput) (*tableOutput, error) {
	hash := ""
	if len(in.KeySchema) == 1 && in.KeySchema[0].KeyType == "HASH" {
		hash = in.KeySchema[0].AttributeName
	}
	switch {
	case !matches(tableNames, in.TableName):
		return nil, invalid("Invalid table name %.300q: 3 to 255 of a-z, A-Z, 0-9, _, - and .", in.TableName)
	case hash == "" || len(hash) > 255 ||
		!slices.Equal(in.AttributeDefinitions, []attributeDefinition{{hash, "S"}}):
		return nil, invalid("The local DynamoDB makes tables with one partition key of the type S, " +
			"and no other key.")
	case s.tables.byName[in.TableName] != nil:
		return nil, refuse("ResourceInUseException", "Table already exists: %s", in.TableName)
	}
	t := &table{Name: in.TableName, Hash: hash, Protected: in.DeletionProtectionEnabled,
		Created: s.opts.Now(), items: map[string]attributes{}}
	s.tables.byName[t.Name] = t
	s.journal.put(tableRows, t.Name, t)
	return &tableOutput{TableDescription: s.describedTable(t)}, nil
}

func matches(pattern func() *regexp.Regexp, text string) bool { return pattern().MatchString(text) }

func (s *Server) tableARN(name string) string {
	return "arn:aws:dynamodb:" + s.opts.Region + ":" + s.opts.Account + ":table/" + name
}

func (s *Server) describedTable(t *table) *tableDescription {
	d := &tableDescription{
		TableName: t.Name, TableArn: s.tableARN(t.Name), TableStatus: "ACTIVE",
		KeySchema:            []keyElement{{t.Hash, "HASH"}},
		AttributeDefinitions: []attributeDefinition{{t.Hash, "S"}}, CreationDateTime: seconds(t.Created),
		DeletionProtectionEnabled: t.Protected, ItemCount: len(t.items),
	}
	d.BillingModeSummary.BillingMode = "PAY_PER_REQUEST"
	return d
}

func (s *Server) describeTable(in *tableInput) (*tableOutput, error) {
	t, err := s.findTable(in.TableName)
	if err != nil {
		return nil, err
	}
	return &tableOutput{Table: s.describedTable(t)}, nil
}

type updateTableInput struct {
	TableName                 string
	DeletionProtectionEnabled *bool
}

func (s *Server) updateTable(in *updateTableInput) (*tableOutput, error) {
	t, err := s.findTable(in.TableName)
	switch {
	case err != nil:
		return nil, err
	case in.DeletionProtectionEnabled == nil:
		return nil, invalid("The local DynamoDB changes DeletionProtectionEnabled only.")
	}
	t.Protected = *in.DeletionProtectionEnabled
	s.journal.put(tableRows, t.Name, t)
	return &tableOutput{TableDescription: s.describedTable(t)}, nil
}

func (s *Server) deleteTable(in *tableInput) (*tableOutput, error) {
	t, err := s.findTable(in.TableName)
	switch {
	case err != nil:
		return nil, err
	case t.Protected:
		return nil, invalid("Resource cannot be deleted as it is currently protected against deletion. " +
			"Disable deletion protection first.")
	}
	out := &tableOutput{TableDescription: s.describedTable(t)}
	out.TableDescription.TableStatus = "DELETING"
	rows := []row{{tableRows, t.Name, nil}}
	for id := range t.items {
		rows = append(rows, row{itemRows, t.Name + "/" + id, nil})
	}
	s.journal.change(rows...)
	delete(s.tables.byName, t.Name)
	return out, nil
}

type listTablesInput struct {
	ExclusiveStartTableName string
	Limit                   int
}

type listTablesOutput struct {
	TableNames             []string
	LastEvaluatedTableName string `json:",omitempty"`
}

// mostTables is how many names one answer has.
const mostTables = 100

func (s *Server) listTables(in *listTablesInput) (*listTablesOutput, error) {
	if in.Limit < 0 || in.Limit > mostTables {
		return nil, invalid("Limit must be from 1 to %d", mostTables)
	}
	most := mostTables
	if in.Limit > 0 {
		most = in.Limit
	}
	out := &listTablesOutput{TableNames: []string{}}
	for _, name := range sortedKeys(s.tables.byName) {
		switch {
		case name <= in.ExclusiveStartTableName:
		case len(out.TableNames) == most:
			out.LastEvaluatedTableName = out.TableNames[most-1]
			return out, nil
		default:
			out.TableNames = append(out.TableNames, name)
		}
	}
	return out, nil
}

func sortedKeys[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

type timeToLive struct {
	AttributeName string
	Enabled       bool
}

type timeToLiveInput struct {
	TableName               string
	TimeToLiveSpecification timeToLive
}

type timeToLiveOutput struct{ TimeToLiveSpecification timeToLive }

func (s *Server) updateTimeToLive(in *timeToLiveInput) (*timeToLiveOutput, error) {
	t, err := s.findTable(in.TableName)
	want := in.TimeToLiveSpecification
	switch {
	case err != nil:
		return nil, err
	case want.AttributeName == "" || len(want.AttributeName) > 255:
		return nil, invalid("TimeToLiveSpecification: the attribute must have a name of at most 255 bytes")
	case want.Enabled && t.TTL != "":
		return nil, invalid("TimeToLive is already enabled")
	case !want.Enabled && t.TTL == "":
		return nil, invalid("TimeToLive is already disabled")
	case !want.Enabled && t.TTL != want.AttributeName:
		return nil, invalid(
			"TimeToLive is active on a different AttributeName: current AttributeName is %s", t.TTL)
	}
	t.TTL = ""
	if want.Enabled {
		t.TTL = want.AttributeName
	}
	s.journal.put(tableRows, t.Name, t)
	return &timeToLiveOutput{want}, nil
}

type describeTimeToLiveOutput struct {
	TimeToLiveDescription struct {
		TimeToLiveStatus string
		AttributeName    string `json:",omitempty"`
	}
}

func (s *Server) describeTimeToLive(in *tableInput) (*describeTimeToLiveOutput, error) {
	t, err := s.findTable(in.TableName)
	if err != nil {
		return nil, err
	}
	out := &describeTimeToLiveOutput{}
	out.TimeToLiveDescription.TimeToLiveStatus = "DISABLED"
	if t.TTL != "" {
		out.TimeToLiveDescription.TimeToLiveStatus = "ENABLED"
		out.TimeToLiveDescription.AttributeName = t.TTL
	}
	return out, nil
}
