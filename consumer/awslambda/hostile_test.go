package awslambda

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/envelope/envelopetest"
	"github.com/sealbus/sealbus/internal/wire"
)

// hostile are messages as large as an event may be, each of which is slow to read in its own way. It takes as
// long as an attacker can make it take until they are refused.
func hostile() map[string]string {
	fill := func(format, part string) string {
		n := (wire.MaxEvent - len(format)) / len(part)
		return strings.Replace(format, "FILL", strings.Repeat(part, n), 1)
	}
	const event = `{"specversion":"1.0","id":"1","source":"s","type":"t",`
	const bus = `{"detail-type":"t","source":"s","detail":` + event
	const noID = `{"detail-type":"t","source":"s","detail":{"specversion":"1.0",`
	var members strings.Builder
	for i := range wire.MaxEvent / len(`"m00000":0,`) {
		fmt.Fprintf(&members, `"m%05d":0,`, i)
	}
	return map[string]string{
		"escapes":        fill(event+`"data":"FILL"}`, `\"`),
		"escapes in bus": fill(bus+`"data":"FILL"}}`, `\"`),
		"backslashes":    fill(bus+`"data":"FILL"}}`, `\\`),
		"by number":      fill(bus+`"data":"FILL"}}`, `\u0041`),
		"strings":        fill(bus+`"data":[FILL""]}}`, `"",`),
		"no end":         fill(bus+`"data":[FILL`, `"",`),
		"no end, object": fill(bus+`"data":{"a":[FILL""]`, `"a",`),
		"spaces":         fill(bus+`"data":[FILL""]}}`, `"" , `),
		"objects":        fill(bus+`"data":[FILL{}]}}`, `{"b":0,"a":0},`),
		"broken late":    fill(bus+`"data":[FILL{}}}`, `{"b":0,"a":0},`),
		"no id":          fill(noID+`"data":[FILL{}]}}`, `{"b":0,"a":0},`),
		"a name twice":   fill(bus+`"data":[FILL{}],"id":"2"}}`, `{"b":0,"a":0},`),
		"no id, escaped": fill(noID+`"data":[FILL{}]}}`, `"\u0041",`),
		"members":        `{"detail-type":"t",` + members.String() + `"source":"s"}`,
		"members inside": bus + members.String() + `"data":0}}`,
		"brackets":       fill(`FILL`, `[`),
		"objects open":   fill(`FILL`, `{"":`),
		"no strings":     fill(bus+`FILL}}`, `\`),
		"a wrapper":      fill(`{"Type":"Notification","TopicArn":"a","Message":"FILL"}`, `\"`),
		"records":        fill(`{"Records":[FILL{"body":"x"}]}`, `{"body":"x","eventSource":"aws:sqs"},`),
	}
}

// A batch takes memory once for the texts of its bodies, also if each of them is broken.
func TestBatchTakesMemoryOnce(t *testing.T) {
	for _, body := range []string{`"\ud800"`, `"\n` + "\xff" + `"`, `"text"`, `1`, `{}`} {
		list := strings.Repeat(`{"messageId":"1","body":`+body+`},`, maxRecords-1)
		last := `{"messageId":"1","body":"` + strings.Repeat(`\"`, 1<<20) + `"}`
		payload := []byte(`{"Records":[` + list + last + `]}`)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		records, err := readBatch(payload)
		runtime.ReadMemStats(&after)
		if err != nil || len(records) != maxRecords {
			t.Fatalf("%s: %d records, %v", body, len(records), err)
		}
		few := len(payload) + maxRecords*2<<10 // the list of records grows
		if n := int(after.TotalAlloc - before.TotalAlloc); n > few {
			t.Errorf("%s: %d bytes of memory for a payload of %d", body, n, len(payload))
		}
	}
}

// The bodies of a batch are in one piece of memory. Who writes into one of them, or appends to it, changes no
// other body, and not the payload.
func TestBodiesDoNotReachEachOther(t *testing.T) {
	texts := []string{"plain text", `{"a":"\n"}`, "", "\"", "é😀\ufffe", "last"}
	payload := []byte("[")
	for i, text := range texts {
		payload = fmt.Appendf(payload, `{"messageId":"%d","body":%s},`, i, spell([]byte(text), byte(i)))
	}
	payload = append(payload, `{"messageId":"bad","body":"half \ud800"},{"messageId":"end","body":"end"}]`...)
	before := string(payload)
	for changed := range texts {
		records, err := readBatch(payload)
		if err != nil {
			t.Fatal(err)
		}
		_ = append(records[changed].body, "appended text"...)
		clear(records[changed].body)
		for i, text := range texts {
			if i != changed && string(records[i].body) != text {
				t.Errorf("body %d is %q after a change of body %d", i, records[i].body, changed)
			}
		}
		if bad, end := records[len(texts)], records[len(texts)+1]; bad.isText || string(end.body) != "end" {
			t.Errorf("after a change of body %d: %+v, %+v", changed, bad, end)
		}
	}
	if string(payload) != before {
		t.Error("the payload changed")
	}
}

// BenchmarkHostile is one message of each kind in a batch.
func BenchmarkHostile(b *testing.B) {
	a, s := seeing(b, envelopetest.NewOrg(b, "orders", "https://orders.example/*"))
	for name, body := range hostile() {
		payload := fmt.Appendf(nil, `{"Records":[{"messageId":"1","body":%s}]}`, spell([]byte(body), 0))
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := a.sqs(b.Context(), payload); err != nil || len(s.records) != 1 {
					b.Fatal(err)
				}
				s.results, s.records = nil, nil
			}
		})
	}
}
