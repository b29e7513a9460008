package webhook

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/nilcheck"
)

// unnamed is the word for a delivery to which the provider gives no type, as in package ingest.
const unnamed = "delivery"

// Validated is a next for NewReceiver that judges the body of each delivery by its schema before it calls
// next. A body that does not follow its schema is schema_invalid: 400, with the JSON Pointers of at most
// envelope.MaxSchemaFaults faults, and no value. The type by which the schema is found is "webhook.", the
// provider's name, a dot and Verified.Type, or "delivery" where the provider gives no type: that of package
// ingest, without a TypePrefix. Where the signature does not cover the type (Verified.Unsigned), an attacker
// who captured a delivery chooses among the schemas.
//
// A Validator that could not judge, or panics, makes the provider send the delivery again (503). Events does
// not need it: its consumer has Options.Schemas.
func Validated(
	schemas envelope.Validator, next func(ctx context.Context, v *Verified) error,
) (func(ctx context.Context, v *Verified) error, error) {
	switch {
	case schemas == nil:
		return nil, errors.New("webhook: no schemas: package schema has a Validator")
	case next == nil:
		return nil, errors.New("webhook: no next: give the function that handles a valid delivery")
	}
	if err := nilcheck.Typed("the schemas", schemas); err != nil {
		return nil, fmt.Errorf("webhook: %w", err)
	}
	return func(ctx context.Context, v *Verified) error {
		err := schemas.Validate(envelope.Document{
			Type:        "webhook." + v.Provider + "." + cmp.Or(v.Type(), unnamed),
			ContentType: v.ContentType, Data: v.Body,
		})
		if invalid, ok := err.(*envelope.SchemaError); ok && invalid != nil {
			return &Error{Reason: envelope.ReasonSchemaInvalid, Provider: v.Provider, Err: invalid}
		}
		if err != nil {
			return err
		}
		return next(ctx, v)
	}, nil
}

// appendFaults appends the member "errors" of a problem to an object that has members: where the data does
// not follow its schema. https://www.rfc-editor.org/rfc/rfc9457#section-3.2
func appendFaults(dst []byte, reason envelope.Reason, err error) []byte {
	invalid, ok := errors.AsType[*envelope.SchemaError](err)
	if !ok || invalid == nil || reason != envelope.ReasonSchemaInvalid || len(invalid.Faults) == 0 {
		return dst
	}
	dst = append(dst, `,"errors":[`...)
	for i, f := range invalid.Faults[:min(len(invalid.Faults), envelope.MaxSchemaFaults)] {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = jsontext.AppendQuote(append(dst, `{"pointer":`...), f.Pointer)
		dst = jsontext.AppendQuote(append(dst, `,"keyword":`...), f.Keyword)
		dst = append(dst, '}')
	}
	return append(dst, ']')
}
