-- KEYS[1]: the key. ARGV: the new value, its time to live in milliseconds or 0, the expected value if any.
if redis.call('GET', KEYS[1]) ~= (ARGV[3] or false) then
    return 0
end
if ARGV[2] == '0' then
    redis.call('SET', KEYS[1], ARGV[1])
else
    redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
return 1
