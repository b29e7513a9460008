package quarantinetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/quarantine"
)

// memory is a quarantine.Store in memory.
type memory struct {
	keys consumer.QuarantineKeys
	*documents
}

// documents are what the stores of one place share.
type documents struct {
	mu   sync.Mutex
	docs map[string][]byte // by ID
	err  error             // everything fails
}

var _ quarantine.Store = (*memory)(nil)

// New makes an empty store in memory, with real authentication. It fails the test if there are no keys.
func New(tb testing.TB, keys consumer.QuarantineKeys) quarantine.Store {
	tb.Helper()
	return open(tb, &documents{docs: make(map[string][]byte)}, keys)
}

func open(tb testing.TB, d *documents, keys consumer.QuarantineKeys) *memory {
	tb.Helper()
	if keys == (consumer.QuarantineKeys{}) {
		tb.Fatal("quarantinetest: no keys")
	}
	return &memory{keys, d}
}

// NewMemory is a Place of stores in memory.
func NewMemory() *Place {
	d := &documents{docs: make(map[string][]byte)}
	return &Place{
		Open:   func(t *testing.T, keys consumer.QuarantineKeys) quarantine.Store { return open(t, d, keys) },
		Inject: func(_ *testing.T, id string, doc []byte) { d.set(id, doc) },
		Down:   func(*testing.T) { d.Fail(errors.New("the store is down")) },
		Fits:   2 << 20, TooLarge: 34 << 20,
	}
}

// Fail makes everything fail with this error from now on; nil ends that.
func (d *documents) Fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err = err
}

func (d *documents) set(id string, doc []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.docs[id] = bytes.Clone(doc)
}

// failing is why nothing can be done now.
func (d *documents) failing(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("quarantinetest: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.err
}

// Put keeps the record.
func (m *memory) Put(ctx context.Context, r consumer.Record) error {
	if err := m.failing(ctx); err != nil {
		return err
	}
	id, doc, err := quarantine.Encode(m.keys, r)
	if err == nil {
		m.set(id, doc)
	}
	return err
}

// List goes through the records in the order of time.
func (m *memory) List(ctx context.Context, opts *quarantine.ListOptions) iter.Seq2[quarantine.Entry, error] {
	return func(yield func(quarantine.Entry, error) bool) {
		m.mu.Lock()
		ids := slices.Sorted(maps.Keys(m.docs))
		m.mu.Unlock()
		for _, id := range ids {
			if err := m.failing(ctx); err != nil {
				yield(quarantine.Entry{}, err)
				return
			}
			m.mu.Lock()
			doc, there := m.docs[id]
			m.mu.Unlock()
			e, _ := quarantine.DecodeAs(m.keys, id, bytes.Clone(doc)) // its error is in it
			if there && opts.Has(e) && !yield(e, nil) {
				return
			}
		}
	}
}

// Get is the record of this ID.
func (m *memory) Get(ctx context.Context, id string) (quarantine.Entry, error) {
	if err := m.failing(ctx); err != nil {
		return quarantine.Entry{}, err
	}
	m.mu.Lock()
	doc, there := m.docs[id]
	m.mu.Unlock()
	if !there {
		return quarantine.Entry{}, fmt.Errorf("%w: %.80q", quarantine.ErrNotFound, id)
	}
	e, err := quarantine.DecodeAs(m.keys, id, bytes.Clone(doc))
	if err != nil {
		return quarantine.Entry{}, err
	}
	return e, nil
}

// Remove forgets the record.
func (m *memory) Remove(ctx context.Context, id string) error {
	if err := m.failing(ctx); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, there := m.docs[id]; !there {
		return fmt.Errorf("%w: %.80q", quarantine.ErrNotFound, id)
	}
	delete(m.docs, id)
	return nil
}

// Keys are those that the store was made with.
func (m *memory) Keys() consumer.QuarantineKeys { return m.keys }

// String keeps the key out of logs.
func (m *memory) String() string { return "quarantinetest.New()" }
