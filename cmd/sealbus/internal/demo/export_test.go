package demo

// What the tests of this package use beside what it exports.

type DemoResult = demoResult
type Played = played
