-- Appends items to a main list: all that are new, or none.
-- KEYS 1 list, 2 ids (zset, score = when it was accepted)
-- ARGV 1 high water (0 = none), 2 now (ms), 3 ids accepted before this are forgotten, 4 most ids, then id or '', item, ...
-- answers {0, '1' or '0' per item: is it new} or {-3} full
local fresh, news, ids, taken = {}, {}, {}, {}
local remembers = redis.call('EXISTS', KEYS[2]) == 1
for at = 5, #ARGV, 2 do
  local id, new = ARGV[at], '1'
  if id ~= '' then
    local score = remembers and redis.call('ZSCORE', KEYS[2], id)
    if taken[id] or (score and tonumber(score) >= tonumber(ARGV[3])) then
      new = '0'
    else
      taken[id] = true
      ids[#ids + 1] = ARGV[2]
      ids[#ids + 1] = id
    end
  end
  if new == '1' then
    news[#news + 1] = ARGV[at + 1]
  end
  fresh[#fresh + 1] = new
end
local high = tonumber(ARGV[1])
if #news > 0 and high > 0 and redis.call('LLEN', KEYS[1]) + #news > high then
  return {-3}
end
-- The first write adds, so that a full server refuses the whole call. `unpack` fails at 8,000 values: 1,000 a call.
for first = 1, #news, 1000 do
  redis.call('RPUSH', KEYS[1], unpack(news, first, math.min(first + 999, #news)))
end
for first = 1, #ids, 1000 do
  redis.call('ZADD', KEYS[2], unpack(ids, first, math.min(first + 999, #ids)))
end
if #ids > 0 then
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', '(' .. ARGV[3])
  redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -1 - tonumber(ARGV[4]))
end
return {0, table.concat(fresh)}
