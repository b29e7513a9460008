package listen

// The tests of this package use these names, which it does not export.

const MaxPosted = maxPosted
