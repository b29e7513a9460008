package doctor

// The tests of this package use these names, which it does not export.

const MostProducers = mostProducers
const StatusOK = statusOK
const StatusProblem = statusProblem
const StatusUnknown = statusUnknown
const StatusWarning = statusWarning

type DoctorReport = doctorReport
type Finding = finding
