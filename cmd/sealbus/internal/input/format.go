package input

import (
	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/internal/wrapper"
)

// FormatOf is the format in which a consumer takes a message, by its shape.
func FormatOf(body []byte) consumer.Format {
	switch s := ShapeOf(body); {
	case s.EventBridge():
		return consumer.EventBridge
	case s.Record():
		return consumer.QuarantineRecord
	case !s.Event():
		if _, ok := wrapper.Look(body); ok {
			return consumer.Wrapped
		}
	}
	return consumer.CloudEvent
}
