-- A job waits for the verdict on a result that is in no log any more: it goes to the dead-letter list.
-- KEYS: slot. ARGV: 1 now, 2 finishing since before, 3 code, 4 details, 5.. ids
-- From: finishing. To: failed. Events: job.failed. Returns: ids that were failed
local now, answers = ARGV[1], {}
for i = 5, #ARGV do
  local id = ARGV[i]
  local j = call('HMGET', job_key(id), 'state', 'updated', 'who', 'attempt', 'token')
  if j[1] == 'finishing' and tonumber(j[2]) < tonumber(ARGV[2]) then
    move(id, 'finishing', 'failed', now, j[3], ARGV[4], 'token', '', 'code', ARGV[3], 'reason', '', 'ended', now,
      'finished', j[4] .. ':' .. (j[5] or ''))
    answers[#answers + 1] = id
  end
end
return answers
