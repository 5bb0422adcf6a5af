# chronyd as a server of its own time, without touching the clock (-x), under its own filter (-F 1).
mkdir -m 700 /run/chrony
chronyd -u root -F 1 -x -d "local stratum 3" "port 0" "bindcmdaddress /run/chrony/socket" \
    "pidfile /run/chrony/pid" >/tmp/log 2>&1 &
for _ in $(seq 100); do chronyc -h /run/chrony/socket tracking >/tmp/answer 2>&1 && break; sleep 0.05; done
grep -q "^Stratum" /tmp/answer || cat /tmp/answer /tmp/log
kill $!
wait && echo ended
