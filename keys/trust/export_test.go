package trust

// DefaultMinInterval is defaultMinInterval.
const DefaultMinInterval = defaultMinInterval
