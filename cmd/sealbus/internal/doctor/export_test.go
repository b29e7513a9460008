package doctor

// The tests of this package use these names, which it does not export.

const MostProducers = mostProducers
const StatusOK = statusOK
const StatusProblem = statusProblem
const StatusUnknown = statusUnknown
const StatusWarning = statusWarning

var RedisProbes = redisProbes

type DoctorReport = doctorReport
type Finding = finding
