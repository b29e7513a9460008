package ui

// What the tests of this package use beside what it exports.

var HarmlessJSON = harmlessJSON
