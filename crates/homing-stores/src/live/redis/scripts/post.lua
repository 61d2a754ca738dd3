-- Stores messages and announces them, one after another; see `homing_core::live::Inbox::post` and `../mod.rs` for keys.
-- KEYS 1 schedule, 2 its ids, then per message the beginning of its stream's keys
-- ARGV 1 epoch of a stream that is not there yet, 2 ttl, 3 ttl of the meta hash, 4 window of ids, 5 window of copies
--   (all ms), 6 most bytes of a stream, 7 most ids of a stream, 8 ms in a unit of the schedule's scores, then per
--   message: most messages, channel, beginning of the announcement, id, expires at (ms) or 0, kind, first, second, body
--   kind i: known by its id alone. c: a copy of a publication, first = its hash, second = who heard it. d: first = due
--   member
-- answers per message fresh (1 or 0), epoch, offset (0 = not known)
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local ttl, window = tonumber(ARGV[2]), tonumber(ARGV[4])
local most_bytes, most_ids = tonumber(ARGV[6]), tonumber(ARGV[7])
local keep_ids = math.max(ttl, window)

local function whole(n)
  return string.format('%.0f', n)
end

-- Does the n-th copy that this node heard bring something new? Also answers where the n-th message stands, and the
-- field that is to say so once it is stored. A repeat of the call is told by the id: of each node's last 1,000 copies.
local function copied(base, hash, node, id)
  local key = base .. ':c:' .. hash
  if redis.call('HSETNX', key, 'i:' .. node .. ':' .. id, 1) == 0 then
    return false, 0
  end
  local n = redis.call('HINCRBY', key, 'n:' .. node, 1)
  local slot = 'q:' .. node .. ':' .. n % 1000
  local former = redis.call('HGET', key, slot)
  if former then
    redis.call('HDEL', key, 'i:' .. node .. ':' .. former, 'o:' .. (n - 1000))
  end
  redis.call('HSET', key, slot, id)
  redis.call('PEXPIRE', key, ARGV[5])
  if n <= tonumber(redis.call('HGET', key, 'done') or '0') then
    return false, tonumber(redis.call('HGET', key, 'o:' .. n) or '0')
  end
  redis.call('HSET', key, 'done', n)
  return true, 0, 'o:' .. n, key
end

local function taken(member, id)
  local score = redis.call('ZSCORE', KEYS[1], member)
  if not score or tonumber(score) > now / tonumber(ARGV[8]) then
    return false
  end
  redis.call('ZREM', KEYS[1], member)
  if redis.call('HGET', KEYS[2], id) == member then
    redis.call('HDEL', KEYS[2], id)
  end
  return true
end

local answer = {}
local at = 9
for i = 3, #KEYS do
  local base = KEYS[i]
  local most, channel, head, id, expires = tonumber(ARGV[at]), ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  local kind, first_of, second_of, body = ARGV[at + 5], ARGV[at + 6], ARGV[at + 7], ARGV[at + 8]
  at = at + 9
  local log, meta, ids = base .. ':log', base .. ':meta', base .. ':ids'

  -- e epoch, t top, f first kept, b bytes kept, o time of the first kept, w when the ids were last looked through,
  -- c and p: the top then, and at the time before. It is read before anything is written: should a key turn out to be
  -- something else than a stream's, what was written would stay, and a member that was taken would be lost.
  local m = redis.call('HMGET', meta, 'e', 't', 'f', 'b', 'o', 'w', 'c', 'p')
  local epoch = m[1]
  local known = epoch and redis.call('ZSCORE', ids, id)

  local fresh, place, field, copies = true, 0, nil, nil
  if kind == 'c' then
    fresh, place, field, copies = copied(base, first_of, second_of, id)
  elseif kind == 'd' then
    -- As with the first read: it fails here, or not at all.
    redis.call('LLEN', log)
    fresh = taken(first_of, id)
  end
  if known then
    fresh, place = false, tonumber(known)
  end
  if fresh then
    local top, first, bytes, oldest = 0, 1, 0, now
    local looked, current, past = now, 0, 0
    local entry = whole(now) .. ' ' .. expires .. ' ' .. #id .. ' ' .. id .. ' ' .. body
    if epoch then
      top, first, bytes, oldest = tonumber(m[2]), tonumber(m[3]), tonumber(m[4]), tonumber(m[5])
      looked, current, past = tonumber(m[6]), tonumber(m[7]), tonumber(m[8])
      if first > top or redis.call('EXISTS', log) == 0 then
        first, bytes, oldest = top + 1, 0, now
      end
    else
      epoch = ARGV[1]
      -- Deleting needs no memory, and after the first write a full server takes all the others.
      if redis.call('EXISTS', log, ids) > 0 then
        redis.call('DEL', log, ids)
      end
    end
    top = top + 1
    redis.call('RPUSH', log, entry)
    bytes = bytes + #entry
    while first < top and (top - first >= most or bytes > most_bytes or oldest + ttl <= now) do
      bytes = bytes - #redis.call('LPOP', log)
      first = first + 1
      oldest = tonumber(string.match(redis.call('LINDEX', log, 0), '^%d+'))
    end
    redis.call('ZADD', ids, whole(top), id)
    if now - looked >= window then
      past, current, looked = current, top - 1, now
      redis.call('ZREMRANGEBYSCORE', ids, '-inf', whole(math.min(first - 1, past)))
    elseif top % 256 == 0 then
      redis.call('ZREMRANGEBYSCORE', ids, '-inf', whole(math.min(first - 1, top - most_ids)))
    end
    redis.call('HSET', meta, 'e', epoch, 't', whole(top), 'f', whole(first), 'b', whole(bytes), 'o', whole(oldest),
      'w', whole(looked), 'c', whole(current), 'p', whole(past))
    redis.call('PEXPIRE', log, ARGV[2])
    redis.call('PEXPIRE', ids, whole(keep_ids))
    redis.call('PEXPIRE', meta, ARGV[3])
    redis.call('PUBLISH', channel, head .. epoch .. ',"o":' .. whole(top) .. '}\n' .. body)
    place = top
  end
  if field and place > 0 then
    redis.call('HSET', copies, field, whole(place))
    redis.call('PEXPIRE', copies, ARGV[5])
  end
  answer[#answer + 1] = fresh and 1 or 0
  answer[#answer + 1] = place > 0 and tonumber(epoch) or 0
  answer[#answer + 1] = place
end
return answer
