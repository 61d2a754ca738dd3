-- Takes every list of a shard as it stands: heads and counters are set, checkpoints dropped. It counts as a commit.
-- KEYS 1 own, 2 state, 3 ledger, 4 main
-- ARGV 1 token, 2 ttl (ms), 3 this commit's number in the lease, 4 length that the main list must still have,
--   5 new head of the main list, then count of lists, {log}   count of fields, {field, n}
-- answers 0 done, 1 done before, -1 fenced, -2 somebody still takes items, -4 rolled back
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return -1
end
local last = tonumber(redis.call('HGET', KEYS[2], 'commit') or '-1')
if tonumber(ARGV[3]) <= last then
  return 1
end
if tonumber(ARGV[3]) ~= last + 1 then
  return -4
end
local length = redis.call('LLEN', KEYS[4])
if length < tonumber(ARGV[4]) then
  return -2
end
-- The first write needs no memory.
redis.call('PEXPIRE', KEYS[1], ARGV[2])
local logs = tonumber(ARGV[6])
for at = 7, 6 + logs do
  redis.call('HSET', KEYS[2], 'done:' .. ARGV[at], '', 'fin:' .. ARGV[at], 0)
end
redis.call('HSET', KEYS[2], 'head:main', ARGV[5], 'tail', string.format('%.0f', tonumber(ARGV[5]) + length),
  'commit', ARGV[3])
for at = 8 + logs, 7 + logs + 2 * tonumber(ARGV[7 + logs]), 2 do
  redis.call('HINCRBY', KEYS[3], ARGV[at], ARGV[at + 1])
end
return 0
