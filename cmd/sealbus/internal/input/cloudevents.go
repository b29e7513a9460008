package input

import (
	"errors"
	"fmt"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/filekind"
	"github.com/sealbus/sealbus/internal/wire"
	"github.com/sealbus/sealbus/internal/wrapper"
)

// notReadable is the error of a command that needs all of its input.
func notReadable(e *inputError) error {
	err := ui.AsExit(NotSealable("", e))
	if e.large {
		err.Reason = string(envelope.ReasonTooLarge)
	}
	if e.fix != "" && e.fix != FixNoJSON { // sealing takes CloudEvents only, and says so
		err.Fix = e.fix
	}
	if e.noFile {
		err.Code, err.Reason = ui.ExitUsage, ""
	}
	return err
}

// CloudEvents reads all events of the input.
func (in *input) CloudEvents() (events []event.Event, batch bool, err error) {
	docs, batch, err := in.documents()
	if err != nil {
		return nil, false, err
	}
	events = make([]event.Event, len(docs))
	for i := range docs {
		if events[i], err = readCloudEvent(docs[i].doc); err != nil {
			return nil, batch, NotSealable(Position(i, len(docs)), err)
		}
	}
	return events, batch, nil
}

func readCloudEvent(doc []byte) (event.Event, error) {
	s := ShapeOf(doc)
	switch {
	case s.EventBridge():
		return event.Event{}, errors.New("this is an EventBridge event, not a CloudEvent")
	case s.entry():
		return event.Event{}, errors.New("this is a message of a queue or bus, not a CloudEvent")
	case s.Record():
		return event.Event{}, isRecord
	}
	if f, ok := wrapper.Look(doc); ok {
		if f.Problem != nil {
			return event.Event{}, f.Problem
		}
		return event.Event{}, fmt.Errorf("this is %s, a message of a queue or bus, not a CloudEvent", f.Kind)
	}
	if err := ui.CheckObject(doc); err != nil {
		return event.Event{}, err
	}
	in, err := wire.Parse(doc)
	if is := filekind.Of(doc); err != nil && is != "" && is != filekind.Event {
		return event.Event{}, fmt.Errorf("this is %s, not a CloudEvent", is)
	}
	if err != nil {
		return event.Event{}, err
	}
	return in.ToSDK()
}

// Position names an event of a batch.
func Position(i, of int) string {
	if of == 1 {
		return ""
	}
	return fmt.Sprintf("event %d of %d: ", i+1, of)
}

// NotSealable is the error of input that is no CloudEvent, or one that cannot be represented.
func NotSealable(where string, err error) error {
	reason := envelope.ReasonMalformed
	fix := `give a CloudEvent as JSON: {"specversion":"1.0","id":...,"source":...,"type":...,"data":...}, or an array of them`
	var e *wire.Error
	if errors.As(err, &e) {
		switch {
		case e.TooLarge:
			reason, fix = envelope.ReasonTooLarge, "send large data by reference (dataref), or split it"
		case e.Unsupported:
			reason, fix = envelope.ReasonUnsupported, "write it in its normal form"
		case e.Member != "":
			fix = "correct this member of the event"
		}
	}
	return &ui.Error{Code: ui.ExitRejected, Reason: string(reason),
		Err: fmt.Errorf("%scannot read the event: %w", where, err), Fix: fix}
}
