-- Held jobs that somebody put off are to be looked at again.
-- KEYS: slot. ARGV: 1 now, 2 limit
-- From, to: held. Events: approval.resumed. Returns: ids
local now, answers = ARGV[1], {}
for _, id in ipairs(call('ZRANGEBYSCORE', P .. ':deferred', '-inf', now, 'LIMIT', 0, ARGV[2])) do
  call('ZREM', P .. ':deferred', id)
  call('HDEL', P .. ':approval:' .. id, 'deferred')
  local j = call('HMGET', job_key(id), 'state', 'who')
  if j[1] == 'held' then
    audit('approval.resumed', now, id, j[2], 'held', 'held', '')
    answers[#answers + 1] = id
  end
end
return answers
