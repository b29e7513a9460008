package events

// The tests of this package use these names, which it does not export.

const MaxPutEntries = maxPutEntries
const ShownFailures = shownFailures

type Inspected = inspected
type Owner = owner
type PublishedResult = publishedResult
type PutEntry = putEntry
type RejectedResult = rejectedResult
type VerifiedResult = verifiedResult
