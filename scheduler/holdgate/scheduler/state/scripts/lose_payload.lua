-- The payload of a reserved or held job is in no store any more: it cannot run, and is put where operators look.
-- KEYS: slot. ARGV: 1 id, 2 now, 3 reservation, '' where it is held, 4 code, 5 details
-- From: queued (picked), held. To: failed. Events: job.failed. Returns: 1 | 0 where somebody else has the job
local id, now = ARGV[1], ARGV[2]
local j = call('HMGET', job_key(id), 'state', 'at', 'reservation', 'who', 'ckey')
local is_held = j[1] == 'held' and ARGV[3] == ''
if not is_held and (j[1] ~= 'queued' or j[2] ~= 'picked' or j[3] ~= ARGV[3]) then return 0 end
call('ZREM', P .. ':picked', id)
call('ZREM', P .. ':deadlines', id)
close_approval(id, 'cancelled', now)
move(id, j[1], 'failed', now, j[4], ARGV[5], 'at', '', 'reservation', '', 'reason', '', 'code', ARGV[4], 'ended', now)
if not is_held then unpark(j[5]) end
return 1
