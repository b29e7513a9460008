package trust

// What the tests of this package use beside what it exports.

type SignedResult = signedResult
