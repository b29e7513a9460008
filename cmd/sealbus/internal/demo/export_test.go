package demo

// The tests of this package use these names, which it does not export.

type DemoResult = demoResult
type Played = played

var Show = show
