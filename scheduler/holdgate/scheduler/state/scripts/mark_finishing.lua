-- Result messages are in the stream: these attempts ended well, their leases no longer expire.
-- KEYS: slot. ARGV: 1 now, 2 details, 3.. three a claim: id, attempt, token
-- From: running. To: finishing. Events: job.finishing. Returns, for each: 'finished' | 'already' | 'stale'
local now, answers = ARGV[1], {}
for i = 3, #ARGV, 3 do
  local id = ARGV[i]
  local j = call('HMGET', job_key(id), 'state', 'attempt', 'token', 'who', 'ckey', 'finished')
  local answer = 'stale'
  if j[2] == ARGV[i + 1] and j[3] == ARGV[i + 2] and j[1] == 'running' then
    move(id, 'running', 'finishing', now, j[4], ARGV[2])
    release(id, j[5])
    answer = 'finished'
  elseif (j[2] == ARGV[i + 1] and j[3] == ARGV[i + 2] and j[1] == 'finishing')
      or j[6] == ARGV[i + 1] .. ':' .. ARGV[i + 2] then
    answer = 'already'
  end
  answers[#answers + 1] = answer
end
return answers
