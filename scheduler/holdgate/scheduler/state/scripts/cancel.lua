-- A person or agent cancels: at once where the job waits, by flag where it runs.
-- KEYS: slot. ARGV: 1 id, 2 now, 3 by, 4 details
-- From: accepted, held, scheduled, queued. To: cancelled. Running: flag only.
-- Events: job.cancelled | job.cancel_requested. Returns: {state after, pool, worker} | {''} unknown
--   | {state} where it is too late.
local id, now = ARGV[1], ARGV[2]
local j = call('HMGET', job_key(id), 'state', 'who', 'at', 'pool', 'ckey', 'worker', 'cancel')
local state = j[1]
if not state then return {''} end
if state == 'running' then
  if not j[7] then
    call('HSET', job_key(id), 'cancel', ARGV[3])
    tell_log(id, audit('job.cancel_requested', now, id, j[2], state, state, ARGV[4]))
  end
  return {state, j[4], j[6] or ''}
end
if state ~= 'accepted' and state ~= 'held' and state ~= 'scheduled' and state ~= 'queued' then return {state} end
move(id, state, 'cancelled', now, j[2], ARGV[4], 'at', '', 'code', 'cancelled', 'cancel', ARGV[3], 'ended', now)
leave(id, j[3], j[4], j[5])
call('ZREM', P .. ':deadlines', id)
close_approval(id, 'cancelled', now)
if state == 'queued' then unpark(j[5]) end
return {'cancelled', j[4], ''}
