package sqs

// DefaultVisibility is defaultVisibility.
const DefaultVisibility = defaultVisibility
