package envelope

// The limits, for the tests of package envelope_test.
const (
	MaxTries        = maxTries
	MaxServiceCalls = maxServiceCalls
	MaxKeyAge       = maxKeyAge
	MaxUnwrappedAge = maxUnwrappedAge
	MaxSkew         = maxSkew
	MaxDuration     = maxDuration
)
