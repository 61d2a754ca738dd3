-- Marks messages as read and tells the user's other tabs.
-- KEYS 1 beginning of the user's keys, then of streams' keys
-- ARGV 1 channel, 2 beginning of the announcement, 3 ttl of marks, 4 how long read ids are known (ms), 5 most streams
--   with marks, 6 most read ids, then the streams' names, then either `ids` and ids, or `upto`, epoch, offset in the
--   first stream
-- answers {ids that were unread until now}, {ids that no stream knows}
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local read, done = KEYS[1] .. ':read', KEYS[1] .. ':done'

local function whole(n)
  return string.format('%.0f', n)
end

-- Marks of a stream: `epoch watermark second bits`; read is what is up to the watermark, and what has a 1 behind it.
local streams = {}
for i = 2, #KEYS do
  local m = redis.call('HMGET', KEYS[i] .. ':meta', 'e', 't', 'f')
  if m[1] then
    local s = {name = ARGV[5 + i], ids = KEYS[i] .. ':ids', epoch = m[1], top = tonumber(m[2]), first = tonumber(m[3])}
    local e, w, _, bits = string.match(redis.call('HGET', read, s.name) or '', '^(%d+) (%d+) (%d+) ([01]*)$')
    s.mark, s.last, s.is = 0, 0, {}
    if e == s.epoch then
      s.mark = tonumber(w)
      s.last = s.mark + #bits
      for j = 1, #bits do
        s.is[s.mark + j] = string.byte(bits, j) == 49 or nil
      end
    end
    streams[#streams + 1] = s
  end
end

local fresh, unknown = {}, {}
local at = 6 + #KEYS
if ARGV[at] == 'ids' then
  for i = at + 1, #ARGV do
    local id, found, was_unread = ARGV[i], false, false
    for _, s in ipairs(streams) do
      local o = tonumber(redis.call('ZSCORE', s.ids, id) or '0')
      if o > 0 then
        found = true
        if o < s.first then
          was_unread = was_unread or not redis.call('ZSCORE', done, id)
        elseif o > s.mark and not s.is[o] then
          s.is[o], s.changed, was_unread = true, true, true
          s.last = math.max(s.last, o)
        end
      end
    end
    if was_unread then
      fresh[#fresh + 1] = id
      redis.call('ZADD', done, now, id)
    elseif not found then
      unknown[#unknown + 1] = id
    end
  end
else
  local s, to = streams[1], tonumber(ARGV[at + 2])
  if s and s.epoch == ARGV[at + 1] then
    to = math.min(to, s.top)
    local all = redis.call('ZRANGEBYSCORE', s.ids, whole(math.max(s.first, s.mark + 1)), whole(to), 'WITHSCORES')
    for i = 1, #all, 2 do
      if not s.is[tonumber(all[i + 1])] then
        fresh[#fresh + 1] = all[i]
        redis.call('ZADD', done, now, all[i])
      end
    end
    if to > s.mark then
      s.mark, s.changed = to, true
    end
  end
end

for _, s in ipairs(streams) do
  if s.changed then
    -- What has left the stream needs no mark.
    local mark = math.max(s.mark, s.first - 1)
    while s.is[mark + 1] do
      mark = mark + 1
    end
    local bits = {}
    for o = mark + 1, s.last do
      bits[#bits + 1] = s.is[o] and '1' or '0'
    end
    redis.call('HSET', read, s.name, s.epoch .. ' ' .. whole(mark) .. ' ' .. time[1] .. ' ' .. table.concat(bits))
    redis.call('PEXPIRE', read, ARGV[3])
  end
end
if redis.call('HLEN', read) > tonumber(ARGV[5]) then
  local all, seconds = redis.call('HGETALL', read), {}
  for i = 1, #all, 2 do
    seconds[#seconds + 1] = {tonumber(string.match(all[i + 1], '^%d+ %d+ (%d+)') or '0'), all[i]}
  end
  table.sort(seconds, function(a, b) return a[1] < b[1] end)
  for i = 1, #seconds - tonumber(ARGV[5]) do
    redis.call('HDEL', read, seconds[i][2])
  end
end
if #fresh > 0 then
  redis.call('ZREMRANGEBYSCORE', done, '-inf', now - tonumber(ARGV[4]))
  redis.call('ZREMRANGEBYRANK', done, 0, -1 - tonumber(ARGV[6]))
  redis.call('PEXPIRE', done, ARGV[4])
  local shown = {}
  for i, id in ipairs(fresh) do
    shown[i] = cjson.encode(id)
  end
  redis.call('PUBLISH', ARGV[1], ARGV[2] .. table.concat(shown, ',') .. ']}\n')
end
return {fresh, unknown}
