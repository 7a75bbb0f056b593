-- Jobs whose deadline passed before they ran.
-- KEYS: slot. ARGV: 1 now, 2 limit, 3 details
-- From: accepted, held, scheduled, queued. To: expired. Events: job.expired. Returns: ids
local now, answers = ARGV[1], {}
for _, id in ipairs(call('ZRANGEBYSCORE', P .. ':deadlines', '-inf', now, 'LIMIT', 0, ARGV[2])) do
  local j = call('HMGET', job_key(id), 'state', 'who', 'at', 'pool', 'ckey')
  call('ZREM', P .. ':deadlines', id)
  if ALLOWED[(j[1] or '') .. '>expired'] then
    move(id, j[1], 'expired', now, j[2], ARGV[3], 'at', '', 'code', 'deadline_passed', 'ended', now)
    leave(id, j[3], j[4], j[5])
    close_approval(id, 'expired', now)
    if j[1] == 'queued' then unpark(j[5]) end
    answers[#answers + 1] = id
  end
end
return answers
