-- What came after positions. Only reads.
-- KEYS beginnings of streams' keys   ARGV 1 ttl (ms), 2 most messages of one stream, then per stream epoch, offset
-- answers now (ms), then per stream {1 if `entries` is all, epoch, top, offset of the first entry or 0, {entries}}
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local ttl, limit = tonumber(ARGV[1]), tonumber(ARGV[2])
local answer = {now}
for i = 1, #KEYS do
  local asked, offset = ARGV[1 + 2 * i], tonumber(ARGV[2 + 2 * i])
  local m = redis.call('HMGET', KEYS[i] .. ':meta', 'e', 't', 'f')
  local all, epoch, top, entries = 0, 0, 0, {}
  if not m[1] then
    all = (asked == '0' and offset == 0) and 1 or 0
  else
    epoch, top = tonumber(m[1]), tonumber(m[2])
    if m[1] == asked and offset == top then
      all = 1
    elseif m[1] == asked and offset < top and offset + 1 >= tonumber(m[3]) and top - offset <= limit then
      entries = redis.call('LRANGE', KEYS[i] .. ':log', offset - top, -1)
      -- The list may have expired, and what is too old may still stand in it.
      if #entries == top - offset and tonumber(string.match(entries[1], '^%d+')) + ttl > now then
        all = 1
      else
        entries = {}
      end
    end
  end
  -- A number that no stream has would not fit into an answer of the server.
  answer[i + 1] = {all, epoch, top, #entries > 0 and offset + 1 or 0, entries}
end
return answer
