-- Moves what is due from the delayed set to the retry list.
-- KEYS 1 own, 2 delayed, 3 retry   ARGV 1 token, 2 now (ms), 3 most members
-- answers {-1} when fenced, else {0, moved, next due or ''}
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return {-1}
end
local due = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[2], 'LIMIT', 0, ARGV[3])
if #due > 0 then
  redis.call('ZREM', KEYS[2], unpack(due))
  for i, member in ipairs(due) do
    -- A member is its unique id, a colon and the envelope. What somebody else put there goes on as it is, and is buried.
    due[i] = string.sub(member, (string.find(member, ':', 1, true) or 0) + 1)
  end
  redis.call('RPUSH', KEYS[3], unpack(due))
end
local following = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
return {0, #due, following[2] or ''}
