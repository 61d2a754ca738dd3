-- Takes a message back: a tombstone that its owner reads. What has expired goes first, which frees memory.
-- KEYS 1 cancelled (zset, score = until when)   ARGV 1 id, 2 now (ms), 3 until (ms), 4 most ids   answers 0
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[2])
if tonumber(ARGV[3]) > tonumber(ARGV[2]) then
  redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1])
  redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -1 - tonumber(ARGV[4]))
end
return 0
