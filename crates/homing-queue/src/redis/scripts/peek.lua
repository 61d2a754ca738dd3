-- Reads from a list without changing it, bounded in items and (after the item that passes it) in bytes.
-- KEYS 1 own, 2 list, 3 state   ARGV 1 token, 2 index of the first item, 3 most items, 4 most bytes, 5 '1' = note that
--   items were read by this owner (its death is then held against the first of them)
-- answers {-1} when fenced, else {0, item, ...}
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return {-1}
end
local at, room, left = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local answer, largest, step = {0}, 1, 16
while room > 0 and left > 0 do
  -- As many as fit if none is larger than the largest so far.
  local n = math.max(1, math.min(step, room, math.floor(left / largest)))
  local items = redis.call('LRANGE', KEYS[2], at, at + n - 1)
  for _, item in ipairs(items) do
    answer[#answer + 1] = item
    left = left - #item
    largest = math.max(largest, #item)
  end
  if #items < n then
    break
  end
  at, room, step = at + n, room - n, 256
end
if #answer > 1 and ARGV[5] == '1' then
  -- The first write needs no memory, so that a full server can be read too.
  redis.call('HDEL', KEYS[3], 'clean')
  redis.call('HSET', KEYS[3], 'clean', 0)
end
return answer
