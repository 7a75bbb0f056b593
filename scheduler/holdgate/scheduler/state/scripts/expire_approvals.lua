-- Nobody decided in time: the job ends as expired, which is nobody's no.
-- KEYS: slot. ARGV: 1 now, 2 limit, 3 details
-- From: held. To: expired. Events: approval.expired, job.expired. Returns: ids
local now, answers = ARGV[1], {}
for _, id in ipairs(call('ZRANGEBYSCORE', P .. ':approvals_due', '-inf', now, 'LIMIT', 0, ARGV[2])) do
  local j = call('HMGET', job_key(id), 'state', 'who')
  close_approval(id, 'expired', now)
  if j[1] == 'held' then
    call('ZREM', P .. ':deadlines', id)
    audit('approval.expired', now, id, j[2], 'held', 'held', ARGV[3])
    move(id, 'held', 'expired', now, j[2], ARGV[3], 'at', '', 'code', 'approval_expired', 'ended', now)
    answers[#answers + 1] = id
  end
end
return answers
