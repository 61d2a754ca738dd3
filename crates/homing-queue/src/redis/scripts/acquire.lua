-- Takes a shard's lease.
-- KEYS 1 own, 2 state, 3 delayed, 4 main, 5 retry, 6 fanout (the lists that `suspect` looks at)
-- ARGV 1 token suffix, 2 ttl (ms), 3 token that may be replaced ('' = none), 4 a birth id, 5 '1' = that owner lives
--   (it dropped the shard after an error, which is no death)
-- answers {0, token, left} when held, else {1, token, epoch, next due or '', suspicion, state as field, value, ...}
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[3] then
  return {0, held, redis.call('PTTL', KEYS[1])}
end
local time = redis.call('TIME')
-- The first write frees memory or nothing at all, so that a full server still accepts what follows.
redis.call('DEL', KEYS[1])
local state = redis.call('HMGET', KEYS[2], 'epoch', 'birth', 'clean', 'suspect', 'suspicion',
  'head:main', 'fin:main', 'head:retry', 'fin:retry', 'head:fanout', 'fin:fanout', 'tail')
-- Microseconds since 1970 fit a double exactly; the clock carries the epoch over a failover that lost the last one.
local epoch = math.max((tonumber(state[1]) or 0) + 1, tonumber(time[1]) * 1000000 + tonumber(time[2]))
epoch = string.format('%.0f', epoch)
if not state[2] then
  redis.call('HSET', KEYS[2], 'birth', ARGV[4], 'first_epoch', epoch)
end
-- Did the last owner die after it had read items and without having moved any? Then the item at the head may be what
-- kills them. `clean`: 1 = released, 2 = took the lease and read nothing, 0 = read something.
local place = table.concat({state[6] or '0', state[7] or '0', state[8] or '0', state[9] or '0'}, ':')
if state[10] then
  place = place .. ':' .. state[10] .. ':' .. (state[11] or '0')
end
local suspicion = 0
if state[3] == '0' and ARGV[5] ~= '1' and redis.call('EXISTS', KEYS[4], KEYS[5], KEYS[6]) > 0 then
  suspicion = 1
  if state[4] == place then
    suspicion = (tonumber(state[5]) or 0) + 1
  end
elseif state[3] ~= '1' and state[4] == place then
  suspicion = tonumber(state[5]) or 0
end
local token = epoch .. '|' .. ARGV[1]
redis.call('SET', KEYS[1], token, 'PX', ARGV[2])
redis.call('HSET', KEYS[2], 'epoch', epoch, 'commit', 0, 'clean', 2, 'suspect', place, 'suspicion', suspicion,
  'tail', string.format('%.0f', math.max(tonumber(state[12]) or 0, (tonumber(state[6]) or 0) + redis.call('LLEN', KEYS[4]))))
local due = redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')
local answer = {1, token, epoch, due[2] or '', suspicion}
for _, part in ipairs(redis.call('HGETALL', KEYS[2])) do
  answer[#answer + 1] = part
end
return answer
