-- What changed after a cursor, each slot once, in the order of last changes: {state, cursor, field, value, field, value, …}.
local slots, order, mark = KEYS[1], KEYS[2], KEYS[5]
local since, limit = tonumber(ARGV[1]), ARGV[2]
local cursor = tonumber(redis.call('HGET', mark, 'cursor') or '0')
local oldest = tonumber(redis.call('HGET', mark, 'oldest') or '0')
if since < oldest or since > cursor then
  return {1, string.format('%.0f', oldest)}
end
local found = redis.call('ZRANGEBYSCORE', order, '(' .. ARGV[1], '+inf', 'LIMIT', 0, limit)
local answer = {0, ARGV[1]}
for _, field in ipairs(found) do
  local value = redis.call('HGET', slots, field)
  local _, _, at = struct.unpack('>ddd', value)
  answer[2] = string.format('%.0f', at)
  answer[#answer + 1] = field
  answer[#answer + 1] = value
end
return answer
