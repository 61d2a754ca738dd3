-- What is known of ids; reads only.
-- KEYS 1 own, 2 seen, 3 cancelled   ARGV 1 the owner's token, or '' from anybody else, then ids
-- answers {-1} fenced, {0} nothing is known of any, {0, text} with a digit per id: 1 seen + 2 cancelled
if ARGV[1] ~= '' and redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return {-1}
end
local seen, cancelled = redis.call('EXISTS', KEYS[2]) == 1, redis.call('EXISTS', KEYS[3]) == 1
if not seen and not cancelled then
  return {0}
end
local marks = {}
for i = 2, #ARGV do
  local mark = 0
  if seen and redis.call('ZSCORE', KEYS[2], ARGV[i]) then
    mark = 1
  end
  if cancelled and redis.call('ZSCORE', KEYS[3], ARGV[i]) then
    mark = mark + 2
  end
  marks[i - 1] = mark
end
return {0, table.concat(marks)}
