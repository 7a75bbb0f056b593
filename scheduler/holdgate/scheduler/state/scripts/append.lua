-- An audit event that changes no job.
-- KEYS: slot. ARGV: 1 type, 2 now, 3 details
-- From, to: none. Returns: seq
audit(ARGV[1], ARGV[2], '', '', '', '', ARGV[3])
return tonumber(call('GET', P .. ':seq'))
