package envelope

import "slices"

// fairCache holds at most so many values of several producers, each for one of the producer's sources. When
// it is full, the producer that holds the most loses the oldest value of the source that holds the most. So a
// producer never drops a value of another one that holds less, however many sources it has. It is not safe
// for concurrent use.
type fairCache[K comparable, V any] struct {
	most  int
	drop  func(V) // called with each value that leaves; nil = nothing is to be done
	items map[K]*cacheItem[K, V]
	order []*cacheItem[K, V]  // of items, the oldest first
	held  map[string]*holding // by producer
}

// cacheItem is one value with its owner.
type cacheItem[K comparable, V any] struct {
	key    K
	value  V
	source string
	of     *holding
}

// holding is how many values one producer has in the cache.
type holding struct {
	producer string
	n        int
	bySource map[string]int
}

// put adds a value under a key that is not there yet.
func (c *fairCache[K, V]) put(key K, producer, source string, value V) {
	if c.items == nil {
		c.items, c.held = make(map[K]*cacheItem[K, V]), make(map[string]*holding)
	}
	h := c.held[producer]
	if h == nil {
		h = &holding{producer: producer, bySource: make(map[string]int)}
		c.held[producer] = h
	}
	h.n++
	h.bySource[source]++
	c.items[key] = &cacheItem[K, V]{key: key, value: value, source: source, of: h}
	c.order = append(c.order, c.items[key])
	if len(c.order) <= c.most {
		return
	}
	// Of several producers that hold the most, this one loses a value, or else that of the oldest value.
	for _, item := range c.order {
		if item.of.n > h.n {
			h = item.of
		}
	}
	largest := 0
	for _, n := range h.bySource {
		largest = max(largest, n)
	}
	i := slices.IndexFunc(c.order, func(item *cacheItem[K, V]) bool {
		return item.of == h && h.bySource[item.source] == largest
	})
	oldest := c.order[i].key
	c.removeIf(func(key K, _ V) bool { return key == oldest })
}

// removeIf drops the values that match.
func (c *fairCache[K, V]) removeIf(match func(K, V) bool) {
	c.order = slices.DeleteFunc(c.order, func(item *cacheItem[K, V]) bool {
		if !match(item.key, item.value) {
			return false
		}
		delete(c.items, item.key)
		h := item.of
		if h.bySource[item.source]--; h.bySource[item.source] == 0 {
			delete(h.bySource, item.source)
		}
		if h.n--; h.n == 0 {
			delete(c.held, h.producer)
		}
		if c.drop != nil {
			c.drop(item.value)
		}
		return true
	})
}
