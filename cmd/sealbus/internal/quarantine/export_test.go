package quarantine

// The tests of this package use these names, which it does not export.

const MostMatches = mostMatches
const NotAuthentic = notAuthentic
const ShownHash = shownHash

type RecordView = recordView
type Reopened = reopened

var HashOf = hashOf
