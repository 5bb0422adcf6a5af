# Rounds of transactions over eight connections; each ends with a setting, which is a file renamed.
# The log's first segment lasts: PostgreSQL panics if it cannot rename the next.
bin=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -1)
$bin/initdb -D /tmp/data -A trust -N --wal-segsize=128 >/tmp/made 2>&1 || cat /tmp/made
$bin/pg_ctl -D /tmp/data -o "-k /tmp -c fsync=off -c checkpoint_timeout=1h" -w -l /tmp/log start >/dev/null || cat /tmp/log
$bin/pgbench -h /tmp -i -q postgres 2>/dev/null
while :; do
    $bin/pgbench -h /tmp -t 50 -c 8 -j 2 postgres >/tmp/result 2>&1
    echo "$?" $(grep -oE "[0-9]+/[0-9]+" /tmp/result) \
        $($bin/psql -h /tmp postgres -At -c "alter system set work_mem = '5MB'" 2>&1 | cut -d' ' -f 1-6) \
        $(grep -oE "ERROR|FATAL|PANIC|bad state" /tmp/log | sort -u)
    sleep $1
done
