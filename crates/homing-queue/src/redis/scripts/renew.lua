-- KEYS 1 own   ARGV 1 token, 2 ttl (ms)   answers 1 when it is still ours, 0 when not
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
