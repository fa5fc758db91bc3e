-- Puts values, newer versions only, all or none. See live/redis/mod.rs for what the keys hold.
local slots, order, emptied, parts, mark = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local most, keep, after, ttl = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4]
local FIRST, WIDTH = 5, 6
local cursor = tonumber(redis.call('HGET', mark, 'cursor') or '0')
local oldest = tonumber(redis.call('HGET', mark, 'oldest') or '0')
if after ~= '' and tonumber(after) ~= cursor then
  return {1, string.format('%.0f', cursor)}
end
local size = redis.call('HLEN', slots)
for at = FIRST, #ARGV, WIDTH do
  if redis.call('HEXISTS', slots, ARGV[at]) == 0 then size = size + 1 end
end
if size > most then return {2, string.format('%.0f', size)} end
for at = FIRST, #ARGV, WIDTH do
  local field, part = ARGV[at], ARGV[at + 1]
  local epoch, number, held = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]), ARGV[at + 4] == '1'
  local begun = redis.call('HGET', parts, part)
  local newer = not begun or epoch >= tonumber(begun)
  if newer then
    local before = redis.call('HGET', slots, field)
    if before then
      local known, last = struct.unpack('>dd', before)
      newer = epoch > known or (epoch == known and number > last)
    end
  end
  if newer then
    cursor = cursor + 1
    local flag = held and 1 or 0
    redis.call('HSET', slots, field, struct.pack('>dddB', epoch, number, cursor, flag) .. ARGV[at + 5])
    redis.call('ZADD', order, cursor, field)
    if held then redis.call('ZREM', emptied, field) else redis.call('ZADD', emptied, cursor, field) end
  end
end
while redis.call('ZCARD', emptied) > keep do
  local gone = redis.call('ZPOPMIN', emptied)
  redis.call('HDEL', slots, gone[1])
  redis.call('ZREM', order, gone[1])
  oldest = tonumber(gone[2])
end
redis.call('HSET', mark, 'cursor', string.format('%.0f', cursor), 'oldest', string.format('%.0f', oldest))
for _, key in ipairs(KEYS) do redis.call('EXPIRE', key, ttl) end
return {0, string.format('%.0f', cursor)}
