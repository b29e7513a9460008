//go:build lambda.norpc

package main

import (
	"context"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/replay"
)

func connect() (replay.Store, func(context.Context, consumer.Delivery[order]) error, error) {
	return replay.NewMemory(nil), func(context.Context, consumer.Delivery[order]) error { return nil }, nil
}
