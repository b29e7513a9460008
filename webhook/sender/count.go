package sender

import "context"

// Count counts the deliveries that are pending, and those in the dead list.
func (m *memory) Count(context.Context) (pending, dead int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range m.lanes {
		pending += l.queue.Len()
	}
	return pending, len(m.dead), nil
}
