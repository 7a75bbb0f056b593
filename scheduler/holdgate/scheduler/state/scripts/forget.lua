-- What is kept of jobs that ended long ago is deleted; the audit stream keeps its events.
-- A job that is still in the outbox stays: the log may bring it yet, and nobody would know that it ended. So does one of
-- whose end the log was not told.
-- KEYS: slot. ARGV: 1 ended before, 2 which list (ended, refused), 3 limit
-- From: denied, succeeded, quarantined, failed, timed_out, cancelled, expired. To: nothing. Events: none.
-- Returns: how many
local list = P .. ':' .. ARGV[2]
local count = 0
for _, id in ipairs(call('ZRANGEBYSCORE', list, '-inf', '(' .. ARGV[1], 'LIMIT', 0, ARGV[3])) do
  local state, pool = unpack(call('HMGET', job_key(id), 'state', 'pool'))
  if not state or not ENDED[state] then
    call('ZREM', list, id)
  elseif not call('ZSCORE', P .. ':outbox', id) and not call('ZSCORE', P .. ':unlogged', id) then
    unlist(id, state)
    call('SREM', P .. ':unwanted:' .. pool, id)
    call('ZREM', P .. ':deadlines', id)
    call('ZREM', P .. ':approvals_due', id)
    if state == 'quarantined' then
      local object = call('HGET', P .. ':sealed:' .. id, 'ref')
      if object and object ~= '' then call('SADD', P .. ':doomed', object) end
    end
    forget_similar(id)
    call('UNLINK', job_key(id), P .. ':timeline:' .. id, P .. ':decisions:' .. id, P .. ':result:' .. id,
      P .. ':sealed:' .. id, P .. ':sealed_votes:' .. id, P .. ':approval:' .. id, P .. ':votes:' .. id)
    count = count + 1
  end
end
return count
