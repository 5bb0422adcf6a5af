# Rounds of 50 clients; each ends with a snapshot, which is a file renamed.
at="-s /tmp/socket"
redis-server --port 0 --unixsocket /tmp/socket --save "" --dir /tmp --appendonly yes >/tmp/log 2>&1 &
until redis-cli $at ping 2>/dev/null | grep -q PONG; do sleep 0.05; done
while :; do
    redis-cli $at flushall >/dev/null
    redis-benchmark $at -q -n 500 -c 50 -t set,get,incr >/tmp/result 2>&1
    echo "$? $(redis-cli $at get counter:__rand_int__)" $(redis-cli $at save) \
        $(grep -ohiE "error|bad state" /tmp/log /tmp/result | sort -u)
    sleep $1
done
