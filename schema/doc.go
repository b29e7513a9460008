// Package schema validates the data of events by JSON Schema: draft 7 and 2020-12, by the module
// github.com/santhosh-tekuri/jsonschema/v6. Only programs that import this package link that module.
//
// Schemas are read when a program starts, from files. Nothing is fetched while an event is judged: the
// dataschema of an event is looked up in an allow-list. A Set is an envelope.Validator, which
// producer.Options, consumer.Options and webhook.Validated take.
//
// Threats: an attacker who chooses the data (a running validation cannot be cancelled, so its steps are
// counted first, and data that would take more than MaxSteps is refused); an author of schemas who makes one
// that is slow, on purpose or not (bounds, below); an error that tells what the data was (a fault has a
// pointer and a keyword, no value, and no name that the schema does not have). Not stopped: a schema that
// demands too little.
//
//	set, err := schema.ReadSet(os.DirFS("schemas"), "set.json")
//	c, err := consumer.New("billing", trust, store, policy, &consumer.Options{Schemas: set})
//
// # Names
//
// A member whose name differs in case only from one that its schema has (in properties, required or a keyword
// of dependencies) is refused, also where the schema allows unknown members. encoding/json takes it for the
// property, so a handler would get a value that the schema did not judge. Patterns of names are matched as
// they are written. Numbers are judged exactly, and a handler that reads them as float64 rounds them.
//
// # Bounds
//
// A schema is refused if it has more than MaxSchema bytes or MaxNodes subschemas, if more than MaxNodes
// subschemas would judge one value ($ref and applicators written out), if they nest deeper than 64, or if a
// recursion judges the same value again without descending into it. Patterns are those of Go (RE2), at most
// 1 KiB long, with programs of at most 4,000 instructions, and 100,000 in a document. A reference leads to a
// document that was given, never to a file or to a host.
//
// Data is JSON of at most MaxData bytes, 64 levels deep, without duplicate members, and with numbers of at
// most 128 bytes and exponents up to 400. Steps are the subschemas that judge a value and the faults that
// they can find, weighted by what they cost: MaxSteps of them take less than a second and about 100 MB on a
// small machine. Data that needs more is refused. One subschema for each value of 1 MiB of honest data is
// affordable.
//
// Data that cannot be judged is refused: it is beyond a bound, or no JSON, or, for a Set, there is no schema
// for the event.
//
// # Keywords
//
// format is asserted in draft 7 and is an annotation in 2020-12, as the drafts say. The content keywords are
// annotations. A schema without $schema is 2020-12.
//
// Stable: Compile, Schema, Set, NewSet, ReadSet and the format of set files.
package schema
