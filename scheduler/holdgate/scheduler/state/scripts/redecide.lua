-- The kernel decided again, because the policy changed or at hand-off.
-- KEYS: slot. ARGV: 1 id, 2 now, 3 to state (denied, held, queued), 4 reservation or '', 5 decision, 6 snapshot,
--   7 job_hash, 8 requirements, 9 approval expires, 10 details, 11 code, 12 approval escalates or 0, 13 shape or '' (as before)
-- From: held, queued (picked by the caller). To: denied, held (asked again), queued.
-- Events: approval.stale, job.denied | job.held | job.queued | approval.requested. Returns: {state after, pool} | {''} nothing changed
local id, now, to, reservation = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local j = call('HMGET', job_key(id), 'state', 'who', 'at', 'reservation', 'pool', 'boost', 'ready', 'ckey', 'hash',
  'latest', 'decision', 'created')
local state, who = j[1], j[2]
local a = call('HMGET', P .. ':approval:' .. id, 'status', 'snapshot', 'round', 'requirements', 'created', 'resolved',
  'hash', 'before', 'shape')
if reservation ~= '' then
  if state ~= 'queued' or j[3] ~= 'picked' or j[4] ~= reservation then return {''} end
elseif state ~= 'held' then
  return {''}
end
if ARGV[7] ~= j[9] then return {''} end
-- A rule that looks at the time can ask for other approvers under the same snapshot: that, too, is a new round.
if state == to and (to == 'queued' or (a[2] == ARGV[6] and a[4] == ARGV[8])) then return {state, j[5]} end

local function outdate()
  if a[1] == 'pending' or a[1] == 'released' then
    close_approval(id, 'stale', now)
    audit('approval.stale', now, id, who, state, state, ARGV[10])
  end
end

-- What was asked and said before this round. A round in which nobody said anything does not make people forget the one
-- before it.
local function before_this()
  if not a[1] then return '' end
  local votes = call('LRANGE', P .. ':votes:' .. id, 0, -1)
  if #votes == 0 and a[8] and a[8] ~= '' and #cmsgpack.unpack(a[8])[9] > 0 then return a[8] end
  return cmsgpack.pack({a[1], a[2], a[3], a[4], a[5], a[6] or now, a[7], j[10] or j[11], votes})
end

call('RPUSH', P .. ':decisions:' .. id, ARGV[5])
call('HSET', job_key(id), 'latest', ARGV[5])
local before = before_this()
outdate()
if state == 'queued' then
  call('ZREM', P .. ':picked', id)
end
if to == 'queued' then
  local at = place(id, j[5], j[6], ready_of(j[7], j[12], now), now)
  move(id, state, to, now, who, ARGV[10], 'at', at, 'snapshot', ARGV[6])
elseif to == 'denied' then
  call('ZREM', P .. ':deadlines', id)
  move(id, state, to, now, who, ARGV[10], 'at', '', 'reservation', '', 'code', ARGV[11], 'ended', now,
    'snapshot', ARGV[6])
else
  open_approval(id, now, who, {hash = j[9], snapshot = ARGV[6], requirements = ARGV[8], expires = ARGV[9],
    escalates = ARGV[12], shape = ARGV[13] ~= '' and ARGV[13] or a[9] or '', round = int((tonumber(a[3]) or 0) + 1),
    previous = a[2] or '', before = before})
  if state == 'held' then
    call('HSET', job_key(id), 'snapshot', ARGV[6], 'updated', now)
    audit('approval.requested', now, id, who, state, state, ARGV[10])
  else
    move(id, state, to, now, who, ARGV[10], 'at', '', 'reservation', '', 'snapshot', ARGV[6])
  end
end
if state == 'queued' then unpark(j[8]) end
return {to, j[5]}
