-- Forgets everything; who watched must take a snapshot.
local mark = KEYS[5]
local cursor = tonumber(redis.call('HGET', mark, 'cursor') or '0')
if ARGV[1] ~= '' and tonumber(ARGV[1]) ~= cursor then
  return {1, string.format('%.0f', cursor)}
end
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3], KEYS[4])
cursor = cursor + 1
local now = string.format('%.0f', cursor)
redis.call('HSET', mark, 'cursor', now, 'oldest', now)
return {0, now}
