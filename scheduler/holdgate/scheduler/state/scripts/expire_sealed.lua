-- Sealed outputs about which nobody decided in time are destroyed; their records stay as long as any job's that ends now.
-- KEYS: slot. ARGV: 1 sealed before, 2 now, 3 limit
-- From: quarantined. To: quarantined. Events: quarantine.expired.
-- Returns: their ids
local due, now = P .. ':sealed_due', ARGV[2]
local expired = {}
for _, id in ipairs(call('ZRANGEBYSCORE', due, '-inf', '(' .. ARGV[1], 'LIMIT', 0, ARGV[3])) do
  call('ZREM', due, id)
  local s = call('HMGET', P .. ':sealed:' .. id, 'verdict', 'ref', 'status', 'at')
  local j = call('HMGET', job_key(id), 'state', 'who')
  if s[1] and not s[3] and j[1] == 'quarantined' then
    unseal(id, 'expired', now, '', s[2])
    tell_log(id, audit('quarantine.expired', now, id, j[2], 'quarantined', 'quarantined',
      pack_details({sealed_digest = cmsgpack.unpack(s[1]).sealed_digest, sealed_ms = tonumber(s[4])})))
    call('ZADD', ended_in('quarantined'), now, id)
    expired[#expired + 1] = id
  end
end
return expired
