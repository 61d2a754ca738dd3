-- What a user has not read. Only reads.
-- KEYS 1 beginning of the user's keys, then of streams' keys
-- ARGV 1 ttl (ms), 2 most messages of one stream, then per stream: its name, 1 if it is the user's own
-- answers now (ms), then per stream {epoch, top, 1 if there is or was more, {offset, entry, ...}}
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local ttl, limit = tonumber(ARGV[1]), tonumber(ARGV[2])
local read = KEYS[1] .. ':read'
local answer = {now}
for i = 2, #KEYS do
  local name, own = ARGV[2 * i - 1], ARGV[2 * i]
  local m = redis.call('HMGET', KEYS[i] .. ':meta', 'e', 't', 'f')
  local epoch, top, more, found = 0, 0, 0, {}
  if m[1] then
    epoch, top = tonumber(m[1]), tonumber(m[2])
    local first = tonumber(m[3])
    local log = KEYS[i] .. ':log'
    if redis.call('EXISTS', log) == 0 then
      first = top + 1
    end
    local e, w, _, bits = string.match(redis.call('HGET', read, name) or '', '^(%d+) (%d+) (%d+) ([01]*)$')
    if e == m[1] then
      w = tonumber(w)
      -- Has something unread left the stream?
      local gone = first - 1 - w
      if gone > #bits or (gone > 0 and string.find(string.sub(bits, 1, gone), '0', 1, true)) then
        more = 1
      end
    else
      -- What left a shared stream before the user's first mark was not theirs to read.
      w, bits = 0, ''
      if own == '1' and first > 1 then
        more = 1
      end
    end
    local unread, count, lowest = {}, 0, top + 1
    for o = top, math.max(first, w + 1), -1 do
      if string.byte(bits, o - w) ~= 49 then
        if count == limit then
          more = 1
          break
        end
        unread[o] = true
        count, lowest = count + 1, o
      end
    end
    if count > 0 then
      for j, entry in ipairs(redis.call('LRANGE', log, lowest - top - 1, -1)) do
        local o = lowest + j - 1
        if unread[o] then
          local at, expires = string.match(entry, '^(%d+) (%d+) ')
          if tonumber(at) + ttl <= now then
            more = 1
          elseif expires == '0' or tonumber(expires) > now then
            found[#found + 1] = o
            found[#found + 1] = entry
          end
        end
      end
    end
  end
  answer[i] = {epoch, top, more, found}
end
return answer
