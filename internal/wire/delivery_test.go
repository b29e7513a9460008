package wire

import (
	"bytes"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/internal/jsontext"
)

// readInTwo is ParseDelivery and ParseEvent in two walks over the detail: its layout is found first, always.
func readInTwo(doc []byte, ignore []string) (*Delivery, *Event, error) {
	d := &Delivery{}
	r := jsontext.NewDecoder(doc)
	for obj := r.Object(); r.Member(&obj); {
		switch string(obj.Name) {
		case "source":
			d.Source = r.String()
		case "detail-type":
			d.DetailType = r.String()
		case "account":
			d.Account = r.String()
		case "replay-name":
			if r.PeekKind() == '"' {
				d.Replay = r.String()
			} else {
				r.SkipValue()
			}
		case "detail":
			d.findLayout(doc, &r, ignore)
		default:
			r.SkipValue()
		}
	}
	if err := r.End(); err != nil {
		return nil, nil, err
	}
	if d.Detail == nil || d.Source == "" || d.DetailType == "" {
		return d, nil, ErrNotDelivery
	}
	e, err := d.ParseEvent()
	return d, e, err
}

// findLayout is readDetail without the event.
func (d *Delivery) findLayout(doc []byte, r *jsontext.Decoder, ignore []string) {
	start := r.Offset()
	in := *r
	for obj := in.Object(); in.Member(&obj); {
		kind := in.PeekKind()
		span := in.ReadSpan()
		name := string(obj.Name)
		if name == "specversion" {
			d.Structured = true
		} else if name == EmbeddedMember && kind == '{' {
			d.Embedded, d.attributes = true, span
		} else if !d.Structured {
			if slices.Contains(ignore, name) {
				d.Ignored = append(d.Ignored, name)
			}
			d.data = append(d.data, member{name, span})
		}
	}
	if d.detailErr = in.Err(); d.detailErr != nil {
		d.Detail = r.ReadSpan()
		return
	}
	d.Detail = bytes.TrimRight(doc[start:in.Offset()], " \n\r\t")
	*r = in
}

func checkDelivery(t *testing.T, doc []byte) {
	t.Helper()
	ignore := []string{"_datadog"}
	want, wantEvent, wantErr := readInTwo(doc, ignore)
	got, err := ParseDelivery(doc, ignore)
	var event *Event
	if err == nil {
		event, err = got.ParseEvent()
	}
	if got != nil {
		bare := *got
		bare.event, bare.eventErr = nil, nil
		got = &bare
	}
	if fmt.Sprint(err) != fmt.Sprint(wantErr) || reflect.TypeOf(err) != reflect.TypeOf(wantErr) ||
		!reflect.DeepEqual(event, wantEvent) || !reflect.DeepEqual(got, want) {
		t.Fatalf("%s:\ngot  %+v, %+v, %v\nwant %+v, %+v, %v", doc, got, event, err, want, wantEvent, wantErr)
	}
}

const aSealed = `{"specversion":"1.0","id":"1","source":"s","type":"t","time":"2026-03-01T12:00:00Z",` +
	`"ext":"x","sequence":1,"dssematerial":"eA==","data":{"b":[1,2.50,{}],"a":"}\"{"}}`

// A detail that is read as it is found is what it is when it is looked at first, errors included.
func TestDetailInOneWalk(t *testing.T) {
	around := func(detail string) string {
		return `{"version":"0","detail-type":"t","source":"s","account":"1","detail":` + detail +
			`,"replay-name":"r"}`
	}
	with := func(member string) string { return aSealed[:len(aSealed)-1] + "," + member + "}" }
	for _, detail := range []string{
		aSealed, " " + aSealed + " ", strings.Replace(aSealed, "{", "{ ", 1), with(`"Traceparent":"x"`),
		with(`"cloudevent":{"a":1}`), with(`"cloudevent":"x"`), with(`"cloudevent":{`), with(`"id":"2"`),
		with(`"data_base64":"eA=="`), with(`"Ext":1`), with(`"detail-type":"x"`), with(`"_datadog":{"a":[]}`),
		with(`"X-deep":` + nestedIn(63)), with(`"X-deep":` + nestedIn(64)), with(`"X-deep":` + nestedIn(62)),
		with(`"x":{}`), with(`"x":1e400`), with(`"x":`), with(`"x":]`), aSealed[:80],
		aSealed[:len(aSealed)-1], aSealed + "}",
		strings.Replace(aSealed, `"id":"1",`, "", 1), strings.Replace(aSealed, `1.0`, "0.3", 1),
		strings.Replace(aSealed, `12:00`, "25:00", 1), strings.Replace(aSealed, `2.50`, `1e400`, 1),
		with(`"datacontenttype":"text/plain"`), with(`"big":"` + strings.Repeat("x", MaxAttribute+1) + `"`),
		with(`"X-big":"` + strings.Repeat("x", MaxEvent) + `"`), `{"specversion":`, `{"specversion":"1.0"}`,
		with(`"dataschema":"\ud800"`), with("\"subject\":\"\xff\""),
	} {
		checkDelivery(t, []byte(around(detail)))
		checkDelivery(t, []byte(strings.Replace(around(detail), `"source":"s",`, `"source":"",`, 1)))
		checkDelivery(t, []byte(strings.Replace(around(detail), `,"replay-name":"r"`, `,"detail":1`, 1)))
		checkDelivery(t, []byte(strings.Replace(around(detail), `,"replay-name":"r"`, ``, 1)))
	}
}

func nestedIn(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

// FuzzDelivery holds ParseDelivery and ParseEvent to the way in two walks.
func FuzzDelivery(f *testing.F) {
	if files, err := filepath.Glob("testdata/fuzz/FuzzDelivery/*"); err != nil || len(files) == 0 {
		f.Fatalf("no corpus (%v)", err)
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		if len(doc) > MaxDelivery {
			return
		}
		checkDelivery(t, doc)
		inside := append([]byte(`{"detail-type":"t","source":"s","detail":{"specversion":"1.0",`), doc...)
		checkDelivery(t, append(inside, "}}"...))
	})
}
