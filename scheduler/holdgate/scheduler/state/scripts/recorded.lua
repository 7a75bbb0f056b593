-- What is kept of the decisions by which jobs entered: as many of the jobs, in order, as fit into so many bytes.
-- KEYS: slot. ARGV: 1 with payloads (1/0), 2 bytes max, 3.. ids. From: any. To: the same. Events: none.
-- Returns for each id that was looked at, at least one: job, decision, fail open, state, payload (nil also where not
--   asked for), and 1 where the job was refused at the door and so kept without payload and prompt, else 0; nils for an
--   unknown job.
local found, bytes, bytes_max = {}, 0, tonumber(ARGV[2])
local payload = ARGV[1] == '1' and 'payload' or 'none'
for i = 3, #ARGV do
  local j = job_key(ARGV[i])
  local kept = call('HMGET', j, 'job', 'decision', 'open', 'state', payload)
  kept[6] = kept[4] == 'denied' and call('HEXISTS', j, 'admission') == 0 and 1 or 0
  found[#found + 1] = kept
  bytes = bytes + #(kept[1] or '') + #(kept[5] or '')
  if bytes > bytes_max then break end
end
return found
