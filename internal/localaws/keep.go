package localaws

import (
	"encoding/json"
	"fmt"
)

// bucketServer has what the whole directory is for.
const bucketServer = "server"

// keptServer is the row of bucketServer. ARNs have both, so that they cannot change.
type keptServer struct{ Account, Region string }

// loadAll reads the journal. It runs before anything else uses the server.
func (s *Server) loadAll() error {
	ours := keptServer{s.opts.Account, s.opts.Region}
	err := s.journal.load(bucketServer, decodedRow(func(_ string, was *keptServer) error {
		if *was != ours {
			return fmt.Errorf("it is of account %s in region %s: choose another directory", was.Account, was.Region)
		}
		return nil
	}))
	if err != nil {
		return err
	}
	s.journal.put(bucketServer, "server", ours)
	for _, load := range []func() error{s.loadQueues, s.loadKeys, s.loadEvents, s.loadMappings,
		s.loadTables, s.loadObjects} {
		if err := load(); err != nil {
			return err
		}
	}
	return s.journal.sync()
}

// decodedRow is f for rows of a type.
func decodedRow[Row any](f func(key string, row *Row) error) func(string, []byte) error {
	return func(key string, value []byte) error {
		var row Row
		if err := json.Unmarshal(value, &row); err != nil {
			return err
		}
		return f(key, &row)
	}
}

// newOrder is a number that is greater than all before it, of this run and of those that the journal knows.
func (s *Server) newOrder() uint64 { return s.order.Add(1) }

// sawOrder is called for each number that is loaded.
func (s *Server) sawOrder(n uint64) {
	if n > s.order.Load() {
		s.order.Store(n)
	}
}

// orderKey is a number as a key, so that the journal has the rows in that order.
func orderKey(n uint64) string { return fmt.Sprintf("%016x", n) }
