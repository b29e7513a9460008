package redis

import (
	"crypto/sha1"
	"encoding/hex"
)

// script is a Lua program and the name by which Redis caches it.
type script struct{ text, sha string }

func newScript(text string) script {
	text = common + text
	sum := sha1.Sum([]byte(text))
	return script{text, hex.EncodeToString(sum[:])}
}

// The keys, in the order of KEYS. All have one hash tag, so that a cluster keeps them on one node, and each
// script runs as a whole or not at all. FIELD is the endpoint, a blank, and the ID: neither has a blank.
//
//	LANES    sorted set: the lanes, by the moment in which they are looked at next, in milliseconds
//	QUEUE    sorted set of equal scores: "LANE TURN FIELD" of each delivery that is pending
//	RECORDS  hash by FIELD: the delivery as Go wrote it, pending or dead
//	STATES   hash by FIELD: what changes of a delivery, as text
//	DEAD     sorted set of equal scores: the FIELDs of dead deliveries
//	FORGET   sorted set: the FIELDs of delivered ones, by the moment in which they are forgotten
//	OFF      set: the endpoints that are disabled
//	SERIAL   number of the last delivery
//
// A lane is "o" for ordered or "u" for others, and the endpoint. The turn of an ordered delivery is its
// serial number. That of another one is the moment in which it is due, or its lease ends, and the serial
// number.
//
// A state is "KIND ATTEMPTS DUE SERIAL TOKEN LANE DIGEST CAUSE AT". KIND is P pending, L leased, X dead, D
// delivered. Times and serial numbers have 15 digits, so that they are in order as text. The only clock is
// the server's. Numbers are doubles in Lua, exact up to 2^53: far beyond 15 digits.
const common = `
local LANES, QUEUE, RECORDS, STATES = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local DEAD, FORGET, OFF, SERIAL = KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local function digits(n) return string.format('%015.0f', n) end

local function load(field)
  local text = redis.call('HGET', STATES, field)
  if not text then return nil end
  local s = {}
  s.kind, s.attempts, s.due, s.serial, s.token, s.lane, s.digest, s.cause, s.at =
    string.match(text, '^([PLXD]) (%d+) (%d+) (%d+) (%x+) (%S+) (%x+) (%S+) (%d+)$')
  if not s.kind then return nil, redis.error_reply('ERR sealbus: a state that cannot be read') end
  return s
end

local function save(field, s)
  redis.call('HSET', STATES, field, table.concat({s.kind, s.attempts, s.due, s.serial, s.token, s.lane,
    s.digest, s.cause, s.at}, ' '))
end

local function member(field, s)
  local turn = s.serial
  if string.sub(s.lane, 1, 1) == 'u' then turn = s.due .. s.serial end
  return s.lane .. ' ' .. turn .. ' ' .. field
end

-- first is the field of the next delivery of a lane, its state, and whether the lane is empty.
local function first(lane)
  local list = redis.call('ZRANGEBYLEX', QUEUE, '[' .. lane .. ' ', '(' .. lane .. '!', 'LIMIT', 0, 1)
  if #list == 0 then return nil end
  local field = string.match(list[1], '^%S+ %d+ (%S+ %S+)$')
  local s, bad = nil, nil
  if field then s, bad = load(field) end
  if bad or not s then return nil, nil, redis.error_reply('ERR sealbus: the queue and the states differ') end
  return field, s
end

-- look sets when a lane is looked at next. A lane that waits for its turn keeps its place; one that was
-- served goes behind those that wait, also those that wait since this very millisecond.
local function look(lane, served)
  local field, s, bad = first(lane)
  if bad then return bad end
  if not field then
    redis.call('ZREM', LANES, lane)
    return nil
  end
  local due = tonumber(s.due)
  if served then
    local at = string.format('%.1f', due > now and due or now + 0.5)
    redis.call('ZADD', LANES, at, lane)
    return nil
  end
  local at = redis.call('ZSCORE', LANES, lane)
  if not at or tonumber(at) < due or tonumber(at) >= now + 1 then
    redis.call('ZADD', LANES, string.format('%.0f', due), lane)
  end
  return nil
end

local function enqueue(field, s)
  s.kind, s.attempts, s.due, s.serial = 'P', '0', digits(now), digits(redis.call('INCR', SERIAL))
  save(field, s)
  redis.call('ZADD', QUEUE, 0, member(field, s))
  return look(s.lane)
end

local function remember(field, s, ms)
  s.kind = 'D'
  save(field, s)
  redis.call('HDEL', RECORDS, field)
  redis.call('ZADD', FORGET, string.format('%.0f', now + ms), field)
end

local function forget()
  local over = string.format('%.0f', now)
  for _, field in ipairs(redis.call('ZRANGEBYSCORE', FORGET, '-inf', over, 'LIMIT', 0, 20)) do
    redis.call('HDEL', STATES, field)
    redis.call('ZREM', FORGET, field)
  end
end
`

// The first element of a script's answer.
const (
	answerDone   = 0
	answerLost   = 1 // the token is not the newest
	answerReused = 2 // the ID has another digest
	answerNone   = 3 // it is not in the dead list
)

// putScript takes field, lane, digest, record.
var putScript = newScript(`
forget()
local s, bad = load(ARGV[1])
if bad then return bad end
if s and s.kind == 'D' then
  local ends = redis.call('ZSCORE', FORGET, ARGV[1])
  if ends and tonumber(ends) <= now then s = nil; redis.call('ZREM', FORGET, ARGV[1]) end
end
if s then
  if s.digest ~= ARGV[3] then return {2} end
  return {0}
end
redis.call('HSET', RECORDS, ARGV[1], ARGV[4])
bad = enqueue(ARGV[1], {token = '0', lane = ARGV[2], digest = ARGV[3], cause = '-', at = '0'})
if bad then return bad end
return {0}
`)

// takeScript takes most, lease, token, and pairs of endpoint and room. It answers, after its code, the
// record, the field, the attempts, and 1 if the endpoint is disabled, of each delivery. It stops after 4 MiB,
// so that an answer is at most some 5 MiB. It moves lanes only when it has read all that are due. It leaves
// out a lane that cannot be read, and answers its error only if it has nothing else: one lane holds up no
// other.
var takeScript = newScript(`
local left, lease, token = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local room, bytes = {}, 0
for i = 4, #ARGV, 2 do room[ARGV[i]] = tonumber(ARGV[i + 1]) end
local out, served, offset, broken = {0}, {}, 0, nil
while left > 0 do
  local latest = string.format('%.1f', now + 0.5)
  local lanes = redis.call('ZRANGEBYSCORE', LANES, '-inf', latest, 'LIMIT', offset, 100)
  offset = offset + #lanes
  for _, lane in ipairs(lanes) do
    local endpoint = string.sub(lane, 2)
    local r = room[endpoint] or 1
    while r > 0 and left > 0 do
      local field, s, bad = first(lane)
      broken = bad or broken
      if not field or tonumber(s.due) > now then break end
      redis.call('ZREM', QUEUE, member(field, s))
      s.kind, s.token, s.due = 'L', token, digits(now + lease)
      save(field, s)
      redis.call('ZADD', QUEUE, 0, member(field, s))
      local record = redis.call('HGET', RECORDS, field) or ''
      out[#out + 1] = record
      out[#out + 1] = field
      out[#out + 1] = s.attempts
      out[#out + 1] = redis.call('SISMEMBER', OFF, endpoint)
      r, left, bytes = r - 1, left - 1, bytes + #record
      if bytes > 4194304 then left = 0 end
      served[#served + 1] = lane
    end
    room[endpoint] = r
    if left == 0 then break end
  end
  if #lanes < 100 then break end
end
for _, lane in ipairs(served) do broken = look(lane, true) or broken end
if broken and #out == 1 then return broken end
return out
`)

// settleScript takes field, token, kind (D, P, X), attempts, cause, milliseconds (P: until it is due, D: for
// which it is remembered), and 1 to disable the endpoint.
var settleScript = newScript(`
local field = ARGV[1]
local s, bad = load(field)
if bad then return bad end
if not s or s.token ~= ARGV[2] then return {1} end
if s.kind ~= 'L' then return {0} end
redis.call('ZREM', QUEUE, member(field, s))
if ARGV[7] == '1' then redis.call('SADD', OFF, string.match(field, '^%S+')) end
s.kind, s.attempts, s.cause, s.at = ARGV[3], ARGV[4], ARGV[5], digits(now)
if s.kind == 'P' then
  s.due = digits(now + tonumber(ARGV[6]))
  save(field, s)
  redis.call('ZADD', QUEUE, 0, member(field, s))
elseif s.kind == 'X' then
  save(field, s)
  redis.call('ZADD', DEAD, 0, field)
else
  remember(field, s, tonumber(ARGV[6]))
end
bad = look(s.lane)
if bad then return bad end
return {0}
`)

// deadScript takes the lower bound, as ZRANGEBYLEX has it, and a number. It answers, after its code, the
// field, the record, the attempts, the cause and the time of each delivery.
var deadScript = newScript(`
local out = {0}
for _, field in ipairs(redis.call('ZRANGEBYLEX', DEAD, ARGV[1], '+', 'LIMIT', 0, tonumber(ARGV[2]))) do
  local s, bad = load(field)
  if bad or not s then return bad or redis.error_reply('ERR sealbus: the dead list and the states differ') end
  out[#out + 1] = field
  out[#out + 1] = redis.call('HGET', RECORDS, field) or ''
  out[#out + 1] = s.attempts
  out[#out + 1] = s.cause
  out[#out + 1] = s.at
end
return out
`)

// resendScript takes the field.
var resendScript = newScript(`
local s, bad = load(ARGV[1])
if bad then return bad end
if not s or s.kind ~= 'X' then return {3} end
redis.call('ZREM', DEAD, ARGV[1])
bad = enqueue(ARGV[1], s)
if bad then return bad end
return {0}
`)

// discardScript takes the field, and the milliseconds for which it is remembered.
var discardScript = newScript(`
local s, bad = load(ARGV[1])
if bad then return bad end
if not s or s.kind ~= 'X' then return {3} end
redis.call('ZREM', DEAD, ARGV[1])
remember(ARGV[1], s, tonumber(ARGV[2]))
return {0}
`)

// disableScript takes the endpoint, and 1 or 0.
var disableScript = newScript(`
if ARGV[2] == '1' then redis.call('SADD', OFF, ARGV[1]) else redis.call('SREM', OFF, ARGV[1]) end
return {0}
`)
