package producer

// ErrNoSubscriber is the error of a LocalBus without a subscriber.
var ErrNoSubscriber = errNoSubscriber

// Put queues a delivery, as an attacker may who writes to the bus.
func (b *LocalBus) Put(delivery []byte) { b.put(delivery) }

// Pending is how many deliveries are queued, over all subscribers.
func (b *LocalBus) Pending() (n int) {
	for _, s := range b.all() {
		s.mu.Lock()
		n += len(s.queue)
		s.mu.Unlock()
	}
	return n
}
