package quarantine

// What the tests of this package use beside what it exports.

const MostMatches = mostMatches
const NotAuthentic = notAuthentic
const ShownHash = shownHash

type RecordView = recordView
type Reopened = reopened

var HashOf = hashOf
