-- Intake: these jobs are in the log. Idempotent.
-- KEYS: slot. ARGV: 1 now, 2 details, 3.. ids
-- From: accepted. To: queued. Events: job.queued.
-- Returns, for each id: pool (became ready) | '' (known, not ready) | false (unknown)
local now = ARGV[1]
local answers = {}
for i = 3, #ARGV do
  local id = ARGV[i]
  local j = call('HMGET', job_key(id), 'state', 'who', 'pool', 'boost', 'ready', 'created')
  if not j[1] then
    answers[#answers + 1] = false
  else
    call('ZREM', P .. ':outbox', id)
    if j[1] == 'accepted' then
      local at = place(id, j[3], j[4], ready_of(j[5], j[6], now), now)
      move(id, 'accepted', 'queued', now, j[2], ARGV[2], 'at', at)
      answers[#answers + 1] = at == 'backlog' and j[3] or ''
    else
      answers[#answers + 1] = ''
    end
  end
end
return answers
