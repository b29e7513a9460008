package localaws

import "time"

const bucketMappings = "lambda.mappings" // by ID

type keptMapping struct {
	Mapping
	Queue, Function string
	Made            time.Time
}

// addMapping is called with s.mu locked. A mapping that the journal had goes on as this one.
func (s *Server) addMapping(m *mapping) {
	for i, old := range s.mappings {
		if old.loaded && old.queue == m.queue && old.function == m.function {
			m.id, m.made = old.id, old.made
			s.mappings[i] = m
			s.saveMapping(m)
			return
		}
	}
	s.mappings = append(s.mappings, m)
	s.saveMapping(m)
}

func (s *Server) saveMapping(m *mapping) {
	s.journal.put(bucketMappings, m.id, keptMapping{m.Mapping, m.queue, m.function, m.made})
}

// loadMappings lists the mappings again. Each polls when MapQueue names its function.
func (s *Server) loadMappings() error {
	return s.journal.load(bucketMappings, decodedRow(func(id string, kept *keptMapping) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.ensureFunction(kept.Function)
		s.mappings = append(s.mappings, &mapping{Mapping: kept.Mapping, id: id, queue: kept.Queue,
			function: kept.Function, made: kept.Made, loaded: true})
		return nil
	}))
}
