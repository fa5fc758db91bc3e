-- A partition has a new owner: empties what older epochs left of it.
local slots, order, emptied, parts, mark = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local keep, after, part, epoch = tonumber(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4])
local cursor = tonumber(redis.call('HGET', mark, 'cursor') or '0')
local oldest = tonumber(redis.call('HGET', mark, 'oldest') or '0')
if after ~= '' and tonumber(after) ~= cursor then
  return {1, string.format('%.0f', cursor)}
end
local begun = tonumber(redis.call('HGET', parts, part) or '0')
if epoch > begun then redis.call('HSET', parts, part, string.format('%.0f', epoch)) end
local tail = '\0' .. part
for _, field in ipairs(redis.call('HKEYS', slots)) do
  if string.sub(field, -#tail) == tail then
    local known, _, _, held = struct.unpack('>dddB', redis.call('HGET', slots, field))
    if known < epoch and held == 1 then
      cursor = cursor + 1
      redis.call('HSET', slots, field, struct.pack('>dddB', epoch, 0, cursor, 0))
      redis.call('ZADD', order, cursor, field)
      redis.call('ZADD', emptied, cursor, field)
    end
  end
end
while redis.call('ZCARD', emptied) > keep do
  local gone = redis.call('ZPOPMIN', emptied)
  redis.call('HDEL', slots, gone[1])
  redis.call('ZREM', order, gone[1])
  oldest = tonumber(gone[2])
end
redis.call('HSET', mark, 'cursor', string.format('%.0f', cursor), 'oldest', string.format('%.0f', oldest))
return {0, string.format('%.0f', cursor)}
