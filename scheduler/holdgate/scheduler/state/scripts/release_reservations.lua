-- Reservations past their end: the dispatcher that made them is gone or slow. Back in their old order.
-- KEYS: slot. ARGV: 1 now, 2 limit
-- From: queued (picked). To: queued. Events: none. Returns: id, pool, id, pool, ..
local answers = {}
for _, id in ipairs(call('ZRANGEBYSCORE', P .. ':picked', '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])) do
  local j = call('HMGET', job_key(id), 'pool', 'score')
  call('ZREM', P .. ':picked', id)
  call('ZADD', P .. ':backlog:' .. j[1], j[2], id)
  call('HSET', job_key(id), 'at', 'backlog', 'reservation', '')
  answers[#answers + 1] = id
  answers[#answers + 1] = j[1]
end
return answers
