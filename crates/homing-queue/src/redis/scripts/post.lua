-- Puts a notice up, or takes it down.
-- KEYS 1 board (hash)   ARGV 1 most notices, 2 key, 3 text; without it the notice comes down   answers 0, or -3 full
if not ARGV[3] then
  redis.call('HDEL', KEYS[1], ARGV[2])
  return 0
end
local board = redis.call('HGET', KEYS[1], ARGV[2])
if not board and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[1]) then
  return -3
end
-- What stands there already is announced to nobody.
if board ~= ARGV[3] then
  redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
end
return 0
