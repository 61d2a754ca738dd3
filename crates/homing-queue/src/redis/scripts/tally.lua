-- Counts and traces receipts, each key once.
-- KEYS 1 receipts (zset, score = when it was counted), 2 ledger, 3 trace
-- ARGV 1 now (ms), 2 receipts counted before this are forgotten, 3 most keys, 4 largest number of trace entries,
--   then key, ledger field, encoded record, ...
-- answers '1' or '0' per receipt: is it new
local news, keys, counts, blobs, taken = {}, {}, {}, {}, {}
for at = 5, #ARGV, 3 do
  local key, field, new = ARGV[at], ARGV[at + 1], '0'
  local score = redis.call('ZSCORE', KEYS[1], key)
  if not taken[key] and not (score and tonumber(score) >= tonumber(ARGV[2])) then
    new, taken[key] = '1', true
    keys[#keys + 1] = ARGV[1]
    keys[#keys + 1] = key
    counts[field] = (counts[field] or 0) + 1
    blobs[#blobs + 1] = ARGV[at + 2]
  end
  news[#news + 1] = new
end
-- The first write adds, so that a full server refuses the whole call. `unpack` fails at 8,000 values: 1,000 a call.
for first = 1, #keys, 1000 do
  redis.call('ZADD', KEYS[1], unpack(keys, first, math.min(first + 999, #keys)))
end
if #keys > 0 then
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. ARGV[2])
  redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -1 - tonumber(ARGV[3]))
  for field, n in pairs(counts) do
    redis.call('HINCRBY', KEYS[2], field, n)
  end
  redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[4], '*', 'b', table.concat(blobs))
end
return table.concat(news)
