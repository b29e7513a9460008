package claims

// What the tests of this package use beside what it exports.

type TableMade = tableMade
