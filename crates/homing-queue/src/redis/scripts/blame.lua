-- Is the owner's death from now on to be held against the items that it has read?
-- KEYS 1 own, 2 state   ARGV 1 token, 2 `clean`: 0 = yes, 2 = no   answers 1 when the shard is still ours, 0 when not
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
-- The first write needs no memory.
redis.call('HDEL', KEYS[2], 'clean')
redis.call('HSET', KEYS[2], 'clean', ARGV[2])
return 1
