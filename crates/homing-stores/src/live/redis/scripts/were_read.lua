-- Have users read messages? Only reads.
-- KEYS 1 beginning of the keys of everyone's stream, then per question of the user's keys
-- ARGV per question: name of the user's stream, id   answers 1 or 0 for each
local function lies(base, read, name, id)
  local o = tonumber(redis.call('ZSCORE', base .. ':ids', id) or '0')
  if o == 0 then
    return false
  end
  local e, w, _, bits = string.match(redis.call('HGET', read, name) or '', '^(%d+) (%d+) (%d+) ([01]*)$')
  if not e then
    return false
  end
  local m = redis.call('HMGET', base .. ':meta', 'e', 'f')
  -- Of what has left the stream only the list of read ids knows.
  if m[1] ~= e or o < tonumber(m[2]) then
    return false
  end
  return o <= tonumber(w) or string.byte(bits, o - tonumber(w)) == 49
end

local answer = {}
for i = 2, #KEYS do
  local name, id, read = ARGV[2 * i - 3], ARGV[2 * i - 2], KEYS[i] .. ':read'
  local is = redis.call('ZSCORE', KEYS[i] .. ':done', id) or lies(KEYS[i], read, name, id)
    or lies(KEYS[1], read, 'all', id)
  answer[i - 1] = is and 1 or 0
end
return answer
