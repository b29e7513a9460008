package redis

// DefaultPrefix is defaultPrefix.
const DefaultPrefix = defaultPrefix
