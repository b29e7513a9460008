package claims

// The tests of this package use these names, which it does not export.

type TableMade = tableMade
