-- Writes the state of one entry of an old history, if the entry is as it was read, and tells the user's other tabs.
-- KEYS 1 history (hash), 2 read ids   ARGV 1 id, 2 entry as read, 3 entry as it is to be, 4 how long read ids are known
--   (ms), 5 most of them, 6 channel, 7 announcement   answers 1, or 0 if somebody changed the entry
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then
  return 0
end
local time = redis.call('TIME')
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('ZADD', KEYS[2], tonumber(time[1]) * 1000, ARGV[1])
redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -1 - tonumber(ARGV[5]))
redis.call('PEXPIRE', KEYS[2], ARGV[4])
redis.call('PUBLISH', ARGV[6], ARGV[7])
return 1
