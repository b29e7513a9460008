package localaws

// Watch is told what happens, for a person who looks on. Its functions may be called under the locks of the
// server: they do not wait, and call none of its methods. A function that is nil is not called.
type Watch struct {
	// Routed is told of each event that a bus took, as it is delivered, and of the ARNs of the targets that
	// its rules gave it to: nil where there is no such bus, so that the event is gone. An event that goes on to
	// another bus, or is replayed, is told again.
	Routed func(bus string, event []byte, targets []string)
	// Queued is told of each message that came into a queue. from is the queue that gave it up as a dead
	// letter; "" = it was sent.
	Queued func(queue, from, body string)
}

func (w *Watch) routed(bus string, event []byte, targets []ruleTarget) {
	if w.Routed == nil {
		return
	}
	var arns []string
	if targets != nil {
		arns = make([]string, 0, len(targets))
	}
	for _, t := range targets {
		arns = append(arns, t.Arn)
	}
	w.Routed(bus, event, arns)
}

func (w *Watch) queued(q *queue, from string, m *message) {
	if w.Queued != nil {
		w.Queued(q.name, from, m.body)
	}
}
