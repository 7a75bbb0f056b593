-- A job waits for the verdict on a result that is in no log any more: it goes to the dead-letter list.
-- KEYS: slot. ARGV: 1 now, 2 code, 3 details, then for each claim: id, attempt, token
-- From: finishing. To: failed. Events: job.failed. Returns: ids that were failed
local now, answers = ARGV[1], {}
for i = 4, #ARGV, 3 do
  local id = ARGV[i]
  local j = call('HMGET', job_key(id), 'state', 'attempt', 'token', 'who')
  if j[1] == 'finishing' and j[2] == ARGV[i + 1] and j[3] == ARGV[i + 2] then
    move(id, 'finishing', 'failed', now, j[4], ARGV[3], 'token', '', 'code', ARGV[2], 'reason', '', 'ended', now,
      'finished', j[2] .. ':' .. j[3])
    answers[#answers + 1] = id
  end
end
return answers
