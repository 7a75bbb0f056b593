-- What became of a claimed delivery.
-- KEYS: slot. ARGV: 1 webhook, 2 seq, 3 tries as claimed, 4 now, 5 outcome (done, retry, given_up), 6 when to try again,
--   7 details
-- From, to: none. Events: webhook.given_up. Returns: 1 | 0 where somebody else holds it by now
local name, seq = ARGV[1], ARGV[2]
local due, box, tries = P .. ':webhook_due:' .. name, P .. ':webhook_box:' .. name, P .. ':webhook_tries:' .. name
if call('HGET', tries, seq) ~= ARGV[3] then return 0 end
if ARGV[5] == 'retry' then
  call('ZADD', due, 'XX', ARGV[6], seq)
  return 1
end
call('ZREM', due, seq)
call('HDEL', box, seq)
call('HDEL', tries, seq)
-- Without the job's id: its timeline may be forgotten by now, and must not come back.
if ARGV[5] == 'given_up' then audit('webhook.given_up', ARGV[4], '', '', '', '', ARGV[7]) end
return 1
