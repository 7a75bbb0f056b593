-- Events up to and with a number are known elsewhere and not here any more: the next ones come behind it, and the first
-- says so.
-- KEYS: slot. ARGV: 1 last number that is known elsewhere, 2 now, 3 details
-- From, to: none. Events: audit.resumed. Returns: 1, or 0 where this state is as far
local seq = P .. ':seq'
local here = tonumber(call('GET', seq) or '0')
if here >= tonumber(ARGV[1]) then return 0 end
call('SET', seq, ARGV[1])
audit('audit.resumed', ARGV[2], '', '', '', '', ARGV[3])
return 1
