package localaws

import (
	"sync"
	"testing"
)

// TestQueueHasOneSink: of calls at the same time that put the queue as a target, none takes the place of
// another with the events that wait there.
func TestQueueHasOneSink(t *testing.T) {
	s, err := Start(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	sinkOf := func() *sink {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.sinks[s.queueARN("q")]
	}
	s.sinkOfQueue(s.queueARN("q"))
	first := sinkOf()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() { s.addSink(s.queueARN("q"), &sink{take: s.deliverToQueue, first: true}) })
	}
	all.Wait()
	if sinkOf() != first || first.closed {
		t.Error("the sink was replaced")
	}
}
