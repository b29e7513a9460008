package envelope

import "slices"

// fairCache holds at most so many values of several producers, each for one of the producer's sources. When
// it is full, the producer that holds the most loses the oldest value of the source that holds the most. So a
// producer never drops what belongs to another one that holds less, however many sources it has. It is not
// safe for concurrent use.
type fairCache[K comparable, V any] struct {
	most  int
	drop  func(V) // called with each value that leaves; nil = nothing is to be done
	items map[K]*cacheItem[K, V]
	order []*cacheItem[K, V]  // of items, the oldest first
	held  map[string]*holding // by producer
}

// cacheItem is one value with its owner.
type cacheItem[K comparable, V any] struct {
	key              K
	producer, source string
	value            V
}

// holding is how many values one producer has in the cache.
type holding struct {
	n        int
	bySource map[string]int
}

// put adds a value under a key that is not there yet.
func (c *fairCache[K, V]) put(key K, producer, source string, value V) {
	if c.items == nil {
		c.items, c.held = make(map[K]*cacheItem[K, V]), make(map[string]*holding)
	}
	item := &cacheItem[K, V]{key: key, producer: producer, source: source, value: value}
	c.items[key] = item
	c.order = append(c.order, item)
	h := c.held[producer]
	if h == nil {
		h = &holding{bySource: make(map[string]int)}
		c.held[producer] = h
	}
	h.n++
	h.bySource[source]++
	if len(c.order) > c.most {
		c.remove(c.order[c.victim(producer)])
	}
}

// victim is the index of what is dropped when producer has put one value too many.
func (c *fairCache[K, V]) victim(producer string) int {
	largest := 0
	for _, h := range c.held {
		largest = max(largest, h.n)
	}
	if c.held[producer].n < largest {
		i := slices.IndexFunc(c.order, func(item *cacheItem[K, V]) bool {
			return c.held[item.producer].n == largest
		})
		producer = c.order[i].producer
	}
	sources, largest := c.held[producer].bySource, 0
	for _, n := range sources {
		largest = max(largest, n)
	}
	return slices.IndexFunc(c.order, func(item *cacheItem[K, V]) bool {
		return item.producer == producer && sources[item.source] == largest
	})
}

// remove drops a value that is there.
func (c *fairCache[K, V]) remove(item *cacheItem[K, V]) {
	delete(c.items, item.key)
	i := slices.Index(c.order, item)
	c.order = slices.Delete(c.order, i, i+1)
	h := c.held[item.producer]
	if h.bySource[item.source]--; h.bySource[item.source] == 0 {
		delete(h.bySource, item.source)
	}
	if h.n--; h.n == 0 {
		delete(c.held, item.producer)
	}
	if c.drop != nil {
		c.drop(item.value)
	}
}

// removeIf drops the values that match.
func (c *fairCache[K, V]) removeIf(match func(V) bool) {
	for _, item := range slices.Clone(c.order) {
		if match(item.value) {
			c.remove(item)
		}
	}
}
