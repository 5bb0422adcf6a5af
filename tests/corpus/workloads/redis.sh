# A Redis with I/O threads and an append-only file; two ways of saving, which fork.
redis-server --save "" --dir /tmp --io-threads 2 --appendonly yes >/tmp/log &
for _ in $(seq 100); do redis-cli ping 2>/dev/null | grep -q PONG && break; sleep 0.05; done
redis-cli set key value
redis-cli get key
redis-benchmark -q -n 2000 -c 10 -t set,get >/dev/null && echo benchmarked
redis-cli bgsave
for _ in $(seq 100); do [ -s /tmp/dump.rdb ] && break; sleep 0.05; done
redis-cli shutdown
wait && echo ended
