package emf

// The bounds of what is collected.
const (
	MaxValues = maxValues
	MaxDelay  = maxDelay
)

// Held is how much is kept: sets of labels, and values.
func (o *Observer) Held() (groups, values int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, g := range o.order {
		values += cap(g.latency) + cap(g.handler) + cap(g.held) + cap(g.age)
	}
	return len(o.order), values
}
