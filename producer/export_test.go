package producer

// ErrNoSubscriber is the error of a LocalBus without a subscriber.
var ErrNoSubscriber = errNoSubscriber
