-- Takes the scheduled message with an id back.
-- KEYS 1 schedule, 2 ids   ARGV 1 id   answers 1 if it was there
local member = redis.call('HGET', KEYS[2], ARGV[1])
if not member then
  return 0
end
redis.call('HDEL', KEYS[2], ARGV[1])
return redis.call('ZREM', KEYS[1], member)
