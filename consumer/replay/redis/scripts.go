package redis

import (
	"crypto/sha1"
	"encoding/hex"
)

// script is a Lua program and the name by which Redis caches it.
type script struct{ text, sha string }

func newScript(text string) script {
	sum := sha1.Sum([]byte(text))
	return script{text, hex.EncodeToString(sum[:])}
}

// A record is a string of fixed layout: one letter (C claimed, D completed), 16 bytes token (of the claim, or
// the mark of the completion), 32 bytes digest, 15 digits end of the lease, 15 digits until, both in
// milliseconds since 1970. Each script touches one key. So it runs on any node of a cluster, and it runs as a
// whole or not at all.
//
// The only clock is the server's. Clock reads the time to live before the time, so that their sum is never
// too early: a record that is written again must not expire sooner than before. Times of fixed length are
// compared as text.
//
// Numbers are doubles in Lua, exact up to 2^53: far beyond 15 digits.
const common = `
local function record()
  local v = redis.call('GET', KEYS[1])
  if v and (#v ~= 79 or not string.find(v, '^[CD]')) then
    return nil, redis.error_reply('ERR sealbus: the key holds something else than a claim')
  end
  return v
end
local function clock()
  local left = redis.call('PTTL', KEYS[1])
  local t = redis.call('TIME')
  local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
  return now, now + left
end
local function put(v, forget, expires)
  redis.call('SET', KEYS[1], v)
  redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', math.max(forget, expires)))
end
local function digits(ms) return string.format('%015.0f', ms) end
local function latest(v, til)
  local known = v and string.sub(v, 65, 79) or ''
  if known > til then return known end
  return til
end
local function mine(v) return v and string.sub(v, 1, 17) == 'C' .. ARGV[1] end
`

// The first element of a script's answer.
const (
	answerDone      = 0 // it is done; of a claim: the caller owns the claim
	answerLost      = 1 // the caller no longer owns the claim
	answerHeld      = 2
	answerCompleted = 3 // followed by the digest
	answerForgotten = 4 // followed by the server's time in milliseconds
)

// claimScript takes token, digest, until, lease, grace. A claim that has this very token is the caller's own:
// its answer was lost. An event is new only if this server, which deletes records by its clock, cannot have
// deleted its record. A record of another claim is kept up to the until of this copy, too. If it is kept so
// long already, nothing is written.
var claimScript = newScript(common + `
local v, bad = record()
if bad then return bad end
if mine(v) then return {0} end
local now, expires = clock()
local til = latest(v, ARGV[3])
local completed = v and string.sub(v, 1, 1) == 'D'
if completed or v and now < tonumber(string.sub(v, 50, 64)) then
  if til ~= string.sub(v, 65, 79) then put(string.sub(v, 1, 64) .. til, tonumber(til) + tonumber(ARGV[5]), expires) end
  if completed then return {3, string.sub(v, 18, 49)} end
  return {2}
end
if now >= tonumber(ARGV[3]) then return {4, now} end
local lease = now + tonumber(ARGV[4])
put('C' .. ARGV[1] .. ARGV[2] .. digits(lease) .. til, math.max(tonumber(til), lease) + tonumber(ARGV[5]), expires)
return {0}
`)

// renewScript takes token, lease, grace.
var renewScript = newScript(common + `
local v, bad = record()
if bad then return bad end
if not mine(v) then return {1} end
local now, expires = clock()
local til, lease = string.sub(v, 65, 79), now + tonumber(ARGV[2])
put(string.sub(v, 1, 49) .. digits(lease) .. til, math.max(tonumber(til), lease) + tonumber(ARGV[3]), expires)
return {0}
`)

// completeScript takes token, mark, until, grace. A completion that has this very mark is the caller's own:
// its answer was lost.
var completeScript = newScript(common + `
local v, bad = record()
if bad then return bad end
if v and string.sub(v, 1, 17) == 'D' .. ARGV[2] then return {0} end
if not mine(v) then return {1} end
local now, expires = clock()
local til = latest(v, ARGV[3])
put('D' .. ARGV[2] .. string.sub(v, 18, 64) .. til, tonumber(til) + tonumber(ARGV[4]), expires)
return {0}
`)

// releaseScript takes token.
var releaseScript = newScript(common + `
local v, bad = record()
if bad then return bad end
if not mine(v) then return {1} end
redis.call('DEL', KEYS[1])
return {0}
`)
