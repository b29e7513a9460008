package ui

// The tests of this package use these names, which it does not export.

var HarmlessJSON = harmlessJSON
