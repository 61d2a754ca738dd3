-- Moves a member that nobody can read to the dead list.
-- KEYS 1 schedule, 2 dead list   ARGV 1 member, 2 letter, 3 most letters   answers 1 if it was there
if redis.call('ZREM', KEYS[1], ARGV[1]) == 0 then
  return 0
end
redis.call('RPUSH', KEYS[2], ARGV[2])
redis.call('LTRIM', KEYS[2], -tonumber(ARGV[3]), -1)
return 1
