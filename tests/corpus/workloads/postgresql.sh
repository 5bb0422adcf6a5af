# A new cluster, pgbench with threads, a query by parallel workers, a fast shutdown.
bin=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -1)
$bin/initdb -D /tmp/data -A trust -N >/tmp/log 2>&1 || cat /tmp/log
$bin/pg_ctl -D /tmp/data -o "-k /tmp -c fsync=off" -w -l /tmp/log start >/dev/null || cat /tmp/log
$bin/pgbench -h /tmp -i -q postgres 2>/dev/null
$bin/pgbench -h /tmp -t 100 -c 3 -j 2 postgres 2>/dev/null | grep -c "^tps"
$bin/psql -h /tmp postgres -At -c "set parallel_setup_cost = 0" \
    -c "set min_parallel_table_scan_size = 0" -c "select count(*) from pgbench_accounts"
$bin/pg_ctl -s -D /tmp/data -w -m fast stop && echo stopped
