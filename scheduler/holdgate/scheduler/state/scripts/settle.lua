-- A job is where it was before it ended: it ends as the log says that it did; or is queued again, where an operator had
-- undone its end. Where the log says that it ran in time, its deadline is over, and where it was to be cancelled, it is.
-- KEYS: slot. ARGV: 1 id, 2 now, 3 seq of the ending, 4 its state, 5 attempt, 6 status of the sealed output, 7 most attempts,
--   8 code, 9 ended, 10 details, 11 who has it cancelled or '', 12 how many fields of the result, pairs,
--   how many of the sealed output, pairs
-- From: any. To: any terminal one, queued. Events: job.restored.
-- Returns: 'settled' | 'known' | 'missing'
local id, now, to = ARGV[1], ARGV[2], ARGV[4]
local output = output_of(ARGV, 12)
local knows = knows_ending(id, ARGV[3], to, ARGV[5], ARGV[6], ARGV[11] ~= '' and '1' or '0')
call('HDEL', P .. ':endings', id)
if knows == nil then return 'missing' end
if knows then return 'known' end
local j = call('HMGET', job_key(id), 'state', 'who', 'at', 'pool', 'ckey', 'boost', 'skip')
local state, code, ended = j[1], ARGV[8], ARGV[9]
if on_way(to) then
  call('HDEL', job_key(id), 'deadline')
  call('ZREM', P .. ':deadlines', id)
  call('HSET', job_key(id), 'known', ARGV[3])
  if ARGV[11] ~= '' then call('HSET', job_key(id), 'cancel', ARGV[11]) end
  -- One that runs is told by whoever it runs with. One that waits must not run again.
  if on_way(state) or ARGV[11] == '' then return 'settled' end
  to, code, ended = 'cancelled', 'cancelled', now
end
if not ENDED[to] then to = 'queued' end
if ENDED[state] then
  call('ZREM', ended_in(state), id)
  call('ZREM', P .. ':sealed_due', id)
elseif state == 'running' then
  release(id, j[5])
else
  leave(id, j[3], j[4], j[5])
  if state == 'queued' then unpark(j[5]) end
end
local seq = bring_back(id, state, to, now, j[2], ARGV[10], 'attempt', ARGV[5], 'max', ARGV[7], 'token', '', 'at', '',
  'reservation', '', 'reason', '', 'known', ARGV[3])
if to == 'queued' then
  -- Attempts since then may have run.
  local skip = tonumber(j[7] or 0) + math.max(1, tonumber(ARGV[7]) - tonumber(ARGV[5]))
  call('HSET', job_key(id), 'skip', int(skip))
  call('HDEL', job_key(id), 'cancel', 'code', 'ended', 'progress', 'score')
  call('DEL', P .. ':result:' .. id)
  call('HSET', job_key(id), 'ready', now, 'at', place(id, j[4], j[6], now, now))
else
  close_approval(id, 'cancelled', now)
  call('ZREM', P .. ':deadlines', id)
  call('ZREM', P .. ':outbox', id)
  call('HSET', job_key(id), 'code', code, 'ended', ended)
  store_ending(id, to, ended, output)
  if to ~= ARGV[4] then tell_log(id, seq) end
end
return 'settled'
