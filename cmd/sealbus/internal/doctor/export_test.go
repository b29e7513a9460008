package doctor

// What the tests of this package use beside what it exports.

const MostProducers = mostProducers
const StatusOK = statusOK
const StatusProblem = statusProblem
const StatusUnknown = statusUnknown
const StatusWarning = statusWarning

type DoctorReport = doctorReport
type Finding = finding
