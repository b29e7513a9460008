package webhook_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/sealbus/sealbus/webhook"
)

// FuzzEventsBatch: of any body, only genuine events are handled, each once. The answer is JSON, with a status
// for each element of the array, and says "send again" for no reason that an attacker can write.
func FuzzEventsBatch(f *testing.F) {
	w := newEventWorld(f)
	genuine := []string{}
	var events [][]byte
	for range 3 {
		event := w.event()
		events, genuine = append(events, event), append(genuine, idOf(event))
	}
	f.Add(batch(events...).Body)
	f.Add(batch(events[0], w.forged(), events[0], []byte("{}")).Body)
	f.Add([]byte("[]"))
	f.Fuzz(func(t *testing.T, body []byte) {
		w.TB, w.handled = t, nil
		resp := w.receiver().Receive(t.Context(), postedAs(batchType, body), time.Time{})
		var answer struct {
			Status int
			Events []struct{ Status int }
		}
		if err := json.Unmarshal(resp.Body, &answer); err != nil || answer.Status != resp.Status {
			t.Fatalf("%d %s: %v", resp.Status, resp.Body, err)
		}
		if !slices.Contains([]int{200, 400, 401, 403, 413}, resp.Status) {
			t.Fatalf("%d %s", resp.Status, resp.Body)
		}
		for _, id := range w.handled {
			if !slices.Contains(genuine, id) {
				t.Fatalf("handled %q, which nobody sealed", id)
			}
		}
		var elements []json.RawMessage
		isArray := json.Unmarshal(body, &elements) == nil
		if n := len(answer.Events); n > 0 && isArray && len(elements) != n {
			t.Fatalf("%d statuses for %d events", n, len(elements))
		}
	})
}

// FuzzEventsBinary: of any header lines and content, only a genuine event is handled.
func FuzzEventsBinary(f *testing.F) {
	w := newEventWorld(f)
	event := w.event()
	lines, err := json.Marshal(binary(event).Header)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(lines, binary(event).Body)
	f.Fuzz(func(t *testing.T, lines, content []byte) {
		var fields []webhook.Field
		if json.Unmarshal(lines, &fields) != nil {
			return
		}
		w.TB, w.handled = t, nil
		r := webhook.Request{Method: "POST", Target: "/", Header: fields, Body: content}
		resp := w.receiver().Receive(t.Context(), r, time.Time{})
		if !slices.Contains([]int{204, 400, 401, 403, 413, 415}, resp.Status) {
			t.Fatalf("%d %s", resp.Status, resp.Body)
		}
		if len(w.handled) > 0 && w.handled[0] != idOf(event) {
			t.Fatalf("handled %q, which nobody sealed", w.handled)
		}
	})
}
