package listen

// What the tests of this package use beside what it exports.

const MaxPosted = maxPosted
