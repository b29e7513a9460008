package tinkkeys

// MaxFile is maxFile.
const MaxFile = maxFile
