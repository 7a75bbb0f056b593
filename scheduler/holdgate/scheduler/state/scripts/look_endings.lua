-- What the state knows of endings in the log.
-- KEYS: slot. ARGV: six an ending: id, seq, state, attempt, status of the sealed output or '', is to be cancelled (1/0)
-- From, to: any. Events: none. Returns, for each: 'known' | 'behind' | 'missing'
local answers = {}
for i = 1, #ARGV, 6 do
  local knows = knows_ending(unpack(ARGV, i, i + 5))
  answers[#answers + 1] = knows == nil and 'missing' or knows and 'known' or 'behind'
end
return answers
