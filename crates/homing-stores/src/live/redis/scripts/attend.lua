-- A node's sessions of users.
-- KEYS 1 nodes, then per user the hash of presence
-- ARGV 1 instance, 2 node, 3 ttl of a node, 4 of what was said, 5 of what has gone (ms), then per user sessions
-- answers 0
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local alive = {}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  alive[all[i]] = tonumber(string.match(all[i + 1], '^%d+')) > now
end
-- Whoever says this lives.
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', now + tonumber(ARGV[3])) .. ' ' .. ARGV[2])
alive[ARGV[1]] = true
for i = 2, #KEYS do
  local user, sessions = KEYS[i], tonumber(ARGV[4 + i])
  local was_there = false
  if sessions > 0 then
    redis.call('HSET', user, ARGV[1], sessions)
  else
    was_there = redis.call('HDEL', user, ARGV[1]) == 1
  end
  if sessions > 0 or was_there then
    local others, void = false, {}
    for _, field in ipairs(redis.call('HKEYS', user)) do
      if alive[field] then
        others = others or field ~= ARGV[1]
      else
        void[#void + 1] = field
      end
    end
    if #void > 0 then
      redis.call('HDEL', user, unpack(void))
    end
    if sessions > 0 then
      redis.call('PEXPIRE', user, ARGV[4])
    elseif not others then
      redis.call('HSET', user, 'gone', now)
      redis.call('PEXPIRE', user, ARGV[5])
    end
  end
end
return 0
