-- Put before every script, after the tables ALLOWED and ENDED (from transitions.py) and WAIT_BUCKETS_S (from counters.py).
-- KEYS[1] is `hg:{tenant}`: it names the slot; every other key is derived from it and lies in the same slot.
-- A job that waits in `queued` or `scheduled` is in exactly one place, named in its field `at`:
-- backlog (ready), picked (reserved), due (until a time), parked (until its concurrency key is free).
local P = KEYS[1]
local call = redis.call

local function int(n) return string.format('%.0f', n) end
local function job_key(id) return P .. ':job:' .. id end
-- Whom a name names: `Alice` and `alice` are one person. As `kernel.ids.person_of`; names are of ASCII.
local function person_of(name) return string.lower(name) end

-- What people are told of, by the kind of event. Looked at only for events of held and quarantined jobs and for those of
-- no job: a job on its way through costs nothing here.
local NOTICES_KEPT = 10000
local function notice_of(kind)
  if string.sub(kind, 1, 6) == 'grant.' and kind ~= 'grant.used' and kind ~= 'grant.approved' then return 'grant' end
  return ({
    ['job.held'] = 'held', ['approval.requested'] = 'held', ['approval.escalated'] = 'escalated',
    ['approval.expired'] = 'expired', ['approval.released'] = 'decided', ['approval.rejected'] = 'decided',
    ['approval.break_glass'] = 'break_glass', ['job.quarantined'] = 'quarantined',
    ['quarantine.released'] = 'quarantine_decided', ['quarantine.destroyed'] = 'quarantine_decided',
    ['quarantine.expired'] = 'quarantine_decided',
  })[kind]
end

-- Appends to the audit stream with the next seq, which it gives, and to the job's own timeline; and, of a job that is or was held, to
-- the newest changes, for those who look at the list of held jobs; and what people are told of, to the notices.
local CHANGES_KEPT = 1024
local function audit(kind, now, id, who, before, after, details)
  local seq = call('INCR', P .. ':seq')
  call('XADD', P .. ':audit', int(seq) .. '-0',
    't', kind, 'at', now, 'j', id, 'w', who, 'f', before, 'o', after, 'd', details)
  if id ~= '' then
    call('RPUSH', P .. ':timeline:' .. id, cmsgpack.pack({seq, now, kind, before, after, details}))
  end
  if before == 'held' or after == 'held' then
    call('XADD', P .. ':held_changes', 'MAXLEN', '~', CHANGES_KEPT, int(seq) .. '-0', 'j', id, 's', after)
  end
  if id == '' or before == 'held' or after == 'held' or before == 'quarantined' or after == 'quarantined' then
    local notice = notice_of(kind)
    if notice then
      call('XADD', P .. ':notices', 'MAXLEN', '~', NOTICES_KEPT, int(seq) .. '-0',
        'n', notice, 't', kind, 'at', now, 'j', id, 'w', who, 'd', details)
    end
  end
  return seq
end

-- Details of an event that a script makes itself, as `kernel.wire.pack` would: what has no version is not read.
local function pack_details(details)
  details.v = 1
  return cmsgpack.pack(details)
end

-- Counts for the overview, by the minute of the event. A minute is kept an hour longer than anybody can ask for it.
local STATS_KEPT_S = 90000
local function count(now, field, by)
  local minute = P .. ':stats:' .. int(math.floor(tonumber(now) / 60000))
  by = by or 1
  if call('HINCRBY', minute, field, int(by)) == by then call('EXPIRE', minute, STATS_KEPT_S) end
end

-- Counts how long an approval was open, in the first bucket of `WAIT_BUCKETS_S` that it fits in.
local function count_wait(opened, now)
  if not opened then return end
  local waited = math.max(0, tonumber(now) - tonumber(opened))
  local bucket = 'inf'
  for _, bound in ipairs(WAIT_BUCKETS_S) do
    if waited <= bound * 1000 then bucket = bound break end
  end
  count(now, 'wait:' .. bucket)
  count(now, 'wait_ms', waited)
end

-- Where ended jobs wait to be forgotten: denied ones, which cost their sender nothing, are not kept as long.
local function ended_in(state) return P .. (state == 'denied' and ':refused' or ':ended') end

-- A job that is not held any more is in no list of those that are.
local function unhold(id)
  call('HDEL', P .. ':held', id)
  call('ZREM', P .. ':approvals_due', id)
  call('ZREM', P .. ':escalations', id)
  call('ZREM', P .. ':deferred', id)
end

-- The log of endings must hear what became of a job, with the event that says it. Also of one that still runs. Until it did, it is written down here.
local function tell_log(id, seq) call('ZADD', P .. ':unlogged', int(seq), id) end

-- Changes the state: check, index, record, audit. `before` is '' for a job that enters. Gives the seq of the event.
local function move(id, before, after, now, who, details, ...)
  if not ALLOWED[before .. '>' .. after] then
    error('a job cannot go from `' .. before .. '` to `' .. after .. '`')
  end
  if before ~= '' then call('ZREM', P .. ':state:' .. before, id) end
  if before == 'held' then unhold(id) end
  call('ZADD', P .. ':state:' .. after, 0, id)
  if ENDED[before] then call('ZREM', ended_in(before), id) end
  if ENDED[after] then call('ZADD', ended_in(after), now, id) end
  call('HSET', job_key(id), 'state', after, 'updated', now, ...)
  if ENDED[after] then count(now, 'ended:' .. after) elseif after == 'running' then count(now, 'started') end
  local seq = audit('job.' .. after, now, id, who, before, after, details)
  -- Not of one that is refused at the door: the log of jobs does not have it. An end that is undone is told as well.
  if before ~= '' and (ENDED[after] or ENDED[before]) then tell_log(id, seq) end
  return seq
end

-- A sealed output waits for nobody any more: its bytes go, and what was proposed instead of them; its record stays.
-- An object of its own, under the digest of a box that is sealed once: nobody else's.
local function unseal(id, status, now, by, ref)
  local key = P .. ':sealed:' .. id
  if ref and ref ~= '' then call('SADD', P .. ':doomed', ref) end
  call('HDEL', key, 'sealed', 'ref', 'proposal', 'proposed_digest')
  call('HSET', key, 'status', status, 'resolved', now, 'by', by)
  call('ZREM', P .. ':sealed_due', id)
end

-- A job that ended is in no list any more.
local function unlist(id, state)
  call('ZREM', P .. ':state:' .. state, id)
  call('ZREM', ended_in(state), id)
end

-- Puts a waiting job where it belongs; gives the name of the place for the field `at`. Its pool may have been forgotten
-- while no job was in it.
local function place(id, pool, boost, ready, now)
  call('SADD', P .. ':pools', pool)
  if tonumber(ready) > tonumber(now) then
    call('ZADD', P .. ':due', ready, id)
    return 'due'
  end
  call('ZADD', P .. ':backlog:' .. pool, int(tonumber(ready) - tonumber(boost)), id)
  return 'backlog'
end

-- When a job is ready that was let in at `created`. One without a time of its own waits for nothing: where its time is
-- still to come, the clock of whoever let it in was ahead.
local function ready_of(ready, created, now)
  if tonumber(ready) == tonumber(created) then return math.min(tonumber(ready), tonumber(now)) end
  return ready
end

-- Takes a waiting job out of its place.
local function leave(id, at, pool, ckey)
  if at == 'backlog' then call('ZREM', P .. ':backlog:' .. pool, id)
  elseif at == 'picked' then call('ZREM', P .. ':picked', id)
  elseif at == 'due' then call('ZREM', P .. ':due', id)
  elseif at == 'parked' then call('ZREM', P .. ':parked:' .. ckey, id)
  end
end

-- Gives the next job that waits for `ckey` back to the backlog. Called whenever a job with a key leaves `queued` or
-- `running`: waking one too many is harmless, it parks again; waking one too few would strand it.
-- Gives the pool to wake, or ''.
local function unpark(ckey)
  if not ckey or ckey == '' then return '' end
  local next_one = call('ZPOPMIN', P .. ':parked:' .. ckey)
  if next_one[1] then
    local pool = call('HGET', job_key(next_one[1]), 'pool')
    call('ZADD', P .. ':backlog:' .. pool, next_one[2], next_one[1])
    call('HSET', job_key(next_one[1]), 'at', 'backlog')
    return pool
  end
  call('ZREM', P .. ':parked', ckey)
  return ''
end

-- A job stops running: its lease, its place among those of its topic and its place under the concurrency key are free.
-- Gives the pool to wake, or ''. Jobs that their topic was too crowded for come back by themselves.
local function release(id, ckey)
  call('ZREM', P .. ':leases', id)
  local topic = call('HGET', job_key(id), 'topic')
  if topic then call('SREM', P .. ':running_topic:' .. topic, id) end
  if ckey and ckey ~= '' and call('SREM', P .. ':running:' .. ckey, id) == 1 then return unpark(ckey) end
  return ''
end

-- Remembers a held job beside those of its topic that the same rules held. Gives where, for the approval to name.
local SIMILAR_KEPT, SIMILAR_KEPT_MS = 100, 2592000000
local function remember_similar(id, now, who, requirements)
  local seen, rules = {}, {}
  for _, item in ipairs(cmsgpack.unpack(requirements).all) do
    if not seen[item.rule] then rules[#rules + 1] = item.rule end
    seen[item.rule] = true
  end
  table.sort(rules)
  local name = redis.sha1hex(cmsgpack.unpack(who).topic .. '\n' .. table.concat(rules, '\n'))
  local key = P .. ':similar:' .. name
  call('ZADD', key, now, id)
  call('ZREMRANGEBYRANK', key, 0, -1 - SIMILAR_KEPT)
  call('PEXPIRE', key, SIMILAR_KEPT_MS)
  return name
end

-- A job that is held no more by those rules, or not kept any more, is beside no others.
local function forget_similar(id)
  local name = call('HGET', P .. ':approval:' .. id, 'similar')
  if name then call('ZREM', P .. ':similar:' .. name, id) end
end

-- Opens an approval for a job that becomes held; votes of an earlier round are void. `a`: hash, snapshot, requirements,
-- expires, escalates (0: never), shape, round, previous (snapshot before), before (what was asked and said then).
-- `held` keeps of every job that waits what a list of them is filtered by.
local function open_approval(id, now, who, a)
  forget_similar(id)
  call('DEL', P .. ':approval:' .. id, P .. ':votes:' .. id)
  unhold(id)
  call('HSET', P .. ':approval:' .. id, 'status', 'pending', 'hash', a.hash, 'snapshot', a.snapshot,
    'requirements', a.requirements, 'created', now, 'expires', a.expires, 'round', a.round, 'version', 0,
    'previous', a.previous, 'shape', a.shape, 'before', a.before,
    'similar', remember_similar(id, now, who, a.requirements))
  call('HSET', P .. ':held', id, cmsgpack.pack({who, a.requirements, now}))
  call('ZADD', P .. ':approvals_due', a.expires, id)
  if a.escalates ~= '0' then call('ZADD', P .. ':escalations', a.escalates, id) end
end

-- Ends a pending or released approval.
local function close_approval(id, status, now)
  unhold(id)
  local found, opened = unpack(call('HMGET', P .. ':approval:' .. id, 'status', 'created'))
  if found == 'pending' or found == 'released' then
    call('HSET', P .. ':approval:' .. id, 'status', status, 'resolved', now)
  end
  if found == 'pending' and (status == 'rejected' or status == 'expired') then count_wait(opened, now) end
end

-- A standing grant is over: no submit finds it any more. One that is not kept any more is only taken off the lists.
local function end_grant(id, status, now, by, details)
  local key = P .. ':grant:' .. id
  local bucket = call('HGET', key, 'bucket')
  call('ZREM', P .. ':grants_live', id)
  if not bucket then return end
  call('ZREM', P .. ':grants_for:' .. bucket, id)
  call('HSET', key, 'status', status, 'ended', now, 'ended_by', by)
  audit('grant.' .. status, now, '', '', '', '', details)
end

local function index_of(state) return P .. ':state:' .. state end

-- After a loss: the job is where the log says that it is, from wherever it was; '' where it was not there. Gives the seq
-- of the event.
local function bring_back(id, before, after, now, who, details, ...)
  if before ~= '' then call('ZREM', index_of(before), id) end
  call('ZADD', index_of(after), 0, id)
  call('HSET', job_key(id), 'state', after, 'updated', now, ...)
  return audit('job.restored', now, id, who, before, after, details)
end

-- Whether a record in the log of endings is of a job that still ran: in time, or until it is cancelled.
local function on_way(state) return state == 'running' or state == 'finishing' end

-- Whether the state knows of what an ending in the log says: it is so, it was so, or what came of it is yet to be told.
-- Gives nil where there is no such job.
local function knows_ending(id, seq, state, attempt, status, cancel)
  local j = call('HMGET', job_key(id), 'state', 'attempt', 'known', 'cancel')
  if not j[1] then return nil end
  seq = tonumber(seq)
  if j[3] and tonumber(j[3]) >= seq then return true end
  if on_way(state) then
    local ran = tonumber(j[2]) >= tonumber(attempt)
    if cancel == '1' and ran and (j[4] or ENDED[j[1]]) then return true end
    if cancel ~= '1' and (ran or ENDED[j[1]]) then return true end
  elseif not ENDED[state] and not ENDED[j[1]] then return true end
  if not on_way(state) and j[1] == state and j[2] == attempt and (call('HGET', P .. ':sealed:' .. id, 'status') or '') == status then
    return true
  end
  local untold = call('ZSCORE', P .. ':unlogged', id)
  -- Of a state that was set back: what is told of a step on the way is not the end that the log knows.
  if untold and tonumber(untold) >= seq and (ENDED[j[1]] or not ENDED[state]) then return true end
  for _, packed in ipairs(call('LRANGE', P .. ':timeline:' .. id, 0, -1)) do
    local event = cmsgpack.unpack(packed)
    -- A state that was set back gives numbers again: one of a step on the way is not the one that ended the job.
    local is_it = event[5] == '' or not ENDED[event[5]] == not ENDED[state]
    if on_way(state) then is_it = on_way(event[5]) end
    if event[1] == seq and is_it then return true end
  end
  return false
end

-- What an ending says of a job's output: `argv` from `at` on: how many fields of the result follow, those, how many of the
-- sealed output, those. Before the first write: a script that fails in between leaves half a job.
local function output_of(argv, at)
  local behind = at + 2 * tonumber(argv[at]) + 1
  return {result = {unpack(argv, at + 1, behind - 1)}, sealed = {unpack(argv, behind + 1, behind + 2 * tonumber(argv[behind]))}}
end

-- Stores that, and puts the job where ended ones wait to be forgotten.
local function store_ending(id, state, ended, output)
  local result, sealed = P .. ':result:' .. id, P .. ':sealed:' .. id
  call('DEL', result, sealed)
  if #output.result > 0 then call('HSET', result, unpack(output.result)) end
  if #output.sealed > 0 then call('HSET', sealed, unpack(output.sealed)) end
  local s = call('HMGET', sealed, 'status', 'ref', 'at')
  local waits = state == 'quarantined' and not s[1] and ((s[2] and s[2] ~= '') or call('HSTRLEN', sealed, 'sealed') > 0)
  if waits then
    call('ZADD', P .. ':sealed_due', s[3] or ended, id)
  else
    call('ZADD', ended_in(state), ended, id)
  end
end
