-- Results lie in the stream of attempts that the state lost: their jobs wait for the verdict, and do not run again.
-- Only of a job that came back after a loss and has not started since, that waits for nobody's approval and had none, and
-- only of an attempt that it was let in anew behind. Its next attempt, if ever, is still behind all of them.
-- KEYS: slot. ARGV: 1 now, 2 details, 3.. four a claim: id, attempt, token, pool
-- From: accepted, scheduled, queued. To: finishing. Events: job.restored. Returns, for each: 1 | 0
local now, answers = ARGV[1], {}
for i = 3, #ARGV, 4 do
  local id, attempt = ARGV[i], tonumber(ARGV[i + 1])
  local j = call('HMGET', job_key(id), 'state', 'attempt', 'skip', 'pool', 'who', 'at', 'ckey')
  local state, had, skip = j[1], tonumber(j[2] or 0), tonumber(j[3] or 0)
  local waits = state == 'accepted' or state == 'scheduled' or state == 'queued'
  local was_lost = waits and j[4] == ARGV[i + 3] and attempt > had and attempt <= had + skip
  answers[#answers + 1] = 0
  if was_lost and call('EXISTS', P .. ':approval:' .. id) == 0 then
    leave(id, j[6], j[4], j[7])
    call('ZREM', P .. ':outbox', id)
    call('ZREM', P .. ':deadlines', id)
    bring_back(id, state, 'finishing', now, j[5], ARGV[2], 'attempt', ARGV[i + 1], 'token', ARGV[i + 2], 'at', '',
      'reservation', '', 'reason', '')
    call('HDEL', job_key(id), 'score')
    if state == 'queued' then unpark(j[7]) end
    answers[#answers] = 1
  end
end
return answers
