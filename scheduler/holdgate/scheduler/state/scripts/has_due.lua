-- Whether anything of a tenant has its time now: for most tenants at most times nothing has.
-- KEYS: slot. ARGV: 1 now, 2 jobs that entered before this must be in the log
-- From, to: any. Events: none. Returns: 1 | 0
local function has(name, till) return call('ZRANGEBYSCORE', P .. ':' .. name, '-inf', till, 'LIMIT', 0, 1)[1] end
local now = ARGV[1]
if has('picked', now) or has('due', now) or has('deadlines', now) or has('approvals_due', now) or has('leases', now)
    or has('outbox', '(' .. ARGV[2]) or call('EXISTS', P .. ':parked') == 1 then
  return 1
end
return 0
