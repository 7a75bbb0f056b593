-- What the output gate must know of jobs before it decides.
-- KEYS: slot. ARGV: ids. From: any. To: the same. Events: none.
-- Returns for each id: job, state, attempt, most attempts, snapshot, cancel, worker, permit, latest decision, token, attempts
--   left out; nils for an unknown job.
local found = {}
for i, id in ipairs(ARGV) do
  local j = call('HMGET', job_key(id), 'job', 'state', 'attempt', 'max', 'snapshot', 'cancel', 'worker', 'permit',
    'decision', 'token', 'base')
  j[9] = call('LINDEX', P .. ':decisions:' .. id, -1) or j[9]
  found[i] = j
end
return found
