package events

// What the tests of this package use beside what it exports.

const MaxPutEntries = maxPutEntries
const ShownFailures = shownFailures

type Inspected = inspected
type Owner = owner
type PublishedResult = publishedResult
type PutEntry = putEntry
type RejectedResult = rejectedResult
type VerifiedResult = verifiedResult
