-- A node lives, or ends.
-- KEYS 1 nodes   ARGV 1 instance, 2 node, 3 ttl of a node; 0 = it ends, 4 how long the dead are remembered (ms)
-- answers names of nodes that live
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local all, names, dead, is_new = redis.call('HGETALL', KEYS[1]), {}, {}, true
for i = 1, #all, 2 do
  is_new = is_new and all[i] ~= ARGV[1]
end
local function say(instance, stop, name)
  redis.call('HSET', KEYS[1], instance, string.format('%.0f', stop) .. ' ' .. name)
end
for i = 1, #all, 2 do
  local stop, name = string.match(all[i + 1], '^(%d+) (.*)$')
  stop = tonumber(stop)
  if all[i] ~= ARGV[1] then
    if stop > now and is_new and name == ARGV[2] and ARGV[3] ~= '0' then
      -- Its former life.
      say(all[i], now, name)
    elseif stop > now then
      names[#names + 1] = name
    elseif stop + tonumber(ARGV[4]) <= now then
      dead[#dead + 1] = all[i]
    end
  end
end
say(ARGV[1], now + tonumber(ARGV[3]), ARGV[2])
if #dead > 0 then
  redis.call('HDEL', KEYS[1], unpack(dead))
end
if ARGV[3] ~= '0' then
  names[#names + 1] = ARGV[2]
end
return names
