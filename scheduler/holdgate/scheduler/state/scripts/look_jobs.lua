-- What the state has of jobs of the log.
-- KEYS: slot. ARGV: ids. From, to: any. Events: none.
-- Returns, for each: {state or '', its ending as noted or '', whether the index of its state has it (1/0)}
local answers = {}
for i, id in ipairs(ARGV) do
  local state = call('HGET', job_key(id), 'state') or ''
  local indexed = call('ZSCORE', index_of(state), id) and 1 or 0
  answers[i] = {state, call('HGET', P .. ':endings', id) or '', indexed}
end
return answers
