-- What is kept of jobs that ended long ago is deleted; the audit stream keeps its events.
-- KEYS: slot. ARGV: 1 ended before, 2 which list (ended, refused), 3 limit
-- From: denied, succeeded, quarantined, failed, timed_out, cancelled, expired. To: nothing. Events: none.
-- Returns: how many
local list = P .. ':' .. ARGV[2]
local ids = call('ZRANGEBYSCORE', list, '-inf', '(' .. ARGV[1], 'LIMIT', 0, ARGV[3])
for _, id in ipairs(ids) do
  local state = call('HGET', job_key(id), 'state')
  call('ZREM', list, id)
  if not state or ENDED[state] then
    if state then unlist(id, state) end
    call('ZREM', P .. ':outbox', id)
    call('ZREM', P .. ':deadlines', id)
    call('ZREM', P .. ':approvals_due', id)
    call('UNLINK', job_key(id), P .. ':timeline:' .. id, P .. ':decisions:' .. id, P .. ':result:' .. id,
      P .. ':sealed:' .. id, P .. ':approval:' .. id, P .. ':votes:' .. id)
  end
end
return #ids
