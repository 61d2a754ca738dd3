-- Who is online. Only reads.
-- KEYS 1 nodes, then per user the hash of presence   ARGV 1 how long it is known who has gone (ms)
-- answers per user sessions, nodes, when the last session ended (ms; 0 = not known)
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local stops = {}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  stops[all[i]] = tonumber(string.match(all[i + 1], '^%d+'))
end
local answer = {}
for i = 2, #KEYS do
  local sessions, nodes, gone = 0, 0, 0
  local fields = redis.call('HGETALL', KEYS[i])
  for j = 1, #fields, 2 do
    local n, stop = tonumber(fields[j + 1]), stops[fields[j]]
    if fields[j] == 'gone' then
      gone = math.max(gone, n)
    elseif stop and stop > now then
      sessions, nodes = sessions + n, nodes + 1
    elseif stop then
      -- The node died, or ended: its word counted until then.
      gone = math.max(gone, stop)
    end
  end
  if sessions > 0 or gone + tonumber(ARGV[1]) <= now then
    gone = 0
  end
  answer[#answer + 1] = sessions
  answer[#answer + 1] = nodes
  answer[#answer + 1] = gone
end
return answer
