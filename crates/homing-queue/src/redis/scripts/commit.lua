-- One atomic step of a shard's owner; see `homing_core::queue::Commit`.
-- KEYS 1 own, 2 state, 3 delayed, 4 dead, 5 ledger, 6 trace, then one per advanced list, then two per append (list, ledger),
--   then the set of seen ids if the last part of ARGV is there
-- ARGV 1 token, 2 ttl (ms), 3 this commit's number in the lease, 4 largest number of trace entries, then
--   count of advances, each: log, expected head, length and beginning of the head item, trim, checkpoint, finished
--   count of appends, each: name of an own list or '', high water (0 = none), count of items, items,
--     count of fields, {field, n}
--   count of delays, each: due, member      count of dead letters that leave      count of dead letters, letters
--   count of fields, {field, n}             count of values, {name, value}          trace blob or ''
--   only if ids are remembered or forgotten: forget what is older than this or '', most ids, count of ids, {time, id}
-- answers 0 done, 1 done before, {-1} fenced, {-2, i} foreign, {-3, i} full, {-4} rolled back
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return {-1}
end
local number = tonumber(ARGV[3])
local last = tonumber(redis.call('HGET', KEYS[2], 'commit') or '-1')
if number <= last then
  return {1}
end
if number ~= last + 1 then
  return {-4}
end

-- First pass: every check, before the first write.
local at = 5
local key = 6
local advances = tonumber(ARGV[at])
at = at + 1
for i = 1, advances do
  local head = redis.call('HGET', KEYS[2], 'head:' .. ARGV[at]) or '0'
  if head ~= ARGV[at + 1] then
    return {-4}
  end
  local first = redis.call('LINDEX', KEYS[key + i], 0)
  if not first or #first ~= tonumber(ARGV[at + 2]) or string.sub(first, 1, #ARGV[at + 3]) ~= ARGV[at + 3] then
    return {-2, i}
  end
  at = at + 7
end
key = key + advances
local appends_at = at
local appends = tonumber(ARGV[at])
at = at + 1
for i = 1, appends do
  local high, count = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  if high > 0 and redis.call('LLEN', KEYS[key + 2 * i - 1]) + count > high then
    return {-3, i}
  end
  at = at + 3 + count
  at = at + 1 + 2 * tonumber(ARGV[at])
end

-- The first write never needs memory: what follows then passes on a full server too.
redis.call('PEXPIRE', KEYS[1], ARGV[2])
at = 6
for i = 1, advances do
  local log, trim = ARGV[at], tonumber(ARGV[at + 4])
  if trim > 0 then
    redis.call('LTRIM', KEYS[6 + i], trim, -1)
  end
  local head = tonumber(ARGV[at + 1]) + trim
  if log == 'main' then
    -- The tail says how much has ever come in, at least: if head and length say less later, somebody took items.
    redis.call('HSET', KEYS[2], 'head:main', string.format('%.0f', head), 'done:main', ARGV[at + 5],
      'fin:main', ARGV[at + 6], 'tail', string.format('%.0f', head + redis.call('LLEN', KEYS[6 + i])))
  else
    redis.call('HSET', KEYS[2], 'head:' .. log, string.format('%.0f', head), 'done:' .. log, ARGV[at + 5],
      'fin:' .. log, ARGV[at + 6])
  end
  at = at + 7
end
redis.call('HSET', KEYS[2], 'commit', number)

local function count_in(ledger)
  local fields = tonumber(ARGV[at])
  at = at + 1
  for _ = 1, fields do
    redis.call('HINCRBY', ledger, ARGV[at], ARGV[at + 1])
    at = at + 2
  end
end

-- `unpack` fails at 8,000 values: 1,000 a call.
local function push(list, count)
  local stop = at + count - 1
  while at <= stop do
    local to = math.min(at + 999, stop)
    redis.call('RPUSH', list, unpack(ARGV, at, to))
    at = to + 1
  end
end

at = appends_at + 1
for i = 1, appends do
  -- A successor finds the own lists by their heads.
  if ARGV[at] ~= '' then
    redis.call('HSETNX', KEYS[2], 'head:' .. ARGV[at], 0)
  end
  local count = tonumber(ARGV[at + 2])
  at = at + 3
  push(KEYS[key + 2 * i - 1], count)
  count_in(KEYS[key + 2 * i])
end
local delays = tonumber(ARGV[at])
at = at + 1
for _ = 1, delays do
  redis.call('ZADD', KEYS[3], ARGV[at], ARGV[at + 1])
  at = at + 2
end
if ARGV[at] ~= '0' then
  redis.call('LTRIM', KEYS[4], ARGV[at], -1)
end
local letters = tonumber(ARGV[at + 1])
at = at + 2
push(KEYS[4], letters)
count_in(KEYS[5])
local values = tonumber(ARGV[at])
at = at + 1
for _ = 1, values do
  redis.call('HSET', KEYS[2], 'put:' .. ARGV[at], ARGV[at + 1])
  at = at + 2
end
if ARGV[at] ~= '' then
  redis.call('XADD', KEYS[6], 'MAXLEN', '~', ARGV[4], '*', 'b', ARGV[at])
end
if #ARGV > at then
  local seen = KEYS[#KEYS]
  if ARGV[at + 1] ~= '' then
    redis.call('ZREMRANGEBYSCORE', seen, '-inf', '(' .. ARGV[at + 1])
  end
  local stop = at + 3 + 2 * tonumber(ARGV[at + 3])
  for first = at + 4, stop, 1000 do
    redis.call('ZADD', seen, unpack(ARGV, first, math.min(first + 999, stop)))
  end
  if stop > at + 3 then
    redis.call('ZREMRANGEBYRANK', seen, 0, -1 - tonumber(ARGV[at + 2]))
  end
end
return {0}
