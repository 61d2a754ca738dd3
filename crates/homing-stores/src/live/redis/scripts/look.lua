-- What is due. Only reads.
-- KEYS 1 schedule   ARGV 1 most members, 2 ms in a unit of its scores
-- answers now (ms), {member, score, ...} one more than asked for if there are more, the next score or ''
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local score = string.format('%.17g', now / tonumber(ARGV[2]))
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', score, 'WITHSCORES', 'LIMIT', 0, tonumber(ARGV[1]) + 1)
local following = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. score, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
return {now, due, following[2] or ''}
