package redis

import (
	"context"
	"errors"
	"strconv"
)

var countScript = newScript(`return {0, redis.call('ZCARD', QUEUE), redis.call('ZCARD', DEAD)}`)

// Count counts the deliveries that are pending, and those in the dead list.
func (s *store) Count(ctx context.Context) (pending, dead int, err error) {
	rows, err := s.rows(ctx, countScript, 2)
	if err != nil {
		return 0, 0, err
	}
	if len(rows) == 1 {
		pending, err = strconv.Atoi(rows[0][0])
		if err == nil {
			dead, err = strconv.Atoi(rows[0][1])
		}
	}
	if len(rows) != 1 || err != nil {
		return 0, 0, unavailable(errors.New("Redis gave an answer that is none"))
	}
	return pending, dead, nil
}
