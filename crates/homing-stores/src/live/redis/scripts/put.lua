-- Files a scheduled message under an id, in place of what had that id.
-- KEYS 1 schedule, 2 ids (hash, id to member)   ARGV 1 id, 2 member, 3 score   answers 0
local former = redis.call('HGET', KEYS[2], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
if former and former ~= ARGV[2] then
  redis.call('ZREM', KEYS[1], former)
end
redis.call('ZADD', KEYS[1], ARGV[3], ARGV[2])
-- Whoever takes members out otherwise leaves their ids behind.
if redis.call('HLEN', KEYS[2]) > redis.call('ZCARD', KEYS[1]) + 1000 then
  local all = redis.call('HGETALL', KEYS[2])
  for i = 1, #all, 2 do
    if not redis.call('ZSCORE', KEYS[1], all[i + 1]) then
      redis.call('HDEL', KEYS[2], all[i])
    end
  end
end
return 0
