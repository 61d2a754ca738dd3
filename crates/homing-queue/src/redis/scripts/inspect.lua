-- A consistent picture of one shard; reads only.
-- KEYS 1 own, 2 state, 3 delayed, 4 dead, 5 ledger, 6.. lists
-- answers {token or '', delayed, next due or '', dead, {state}, {ledger}, length, ...}
local due = redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')
local answer = {
  redis.call('GET', KEYS[1]) or '', redis.call('ZCARD', KEYS[3]), due[2] or '', redis.call('LLEN', KEYS[4]),
  redis.call('HGETALL', KEYS[2]), redis.call('HGETALL', KEYS[5]),
}
for i = 6, #KEYS do
  answer[#answer + 1] = redis.call('LLEN', KEYS[i])
end
return answer
