-- KEYS 1 own, 2 state   ARGV 1 token   answers 1 when it was ours, 0 when not
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[2], 'clean', 1, 'suspicion', 0)
return 1
