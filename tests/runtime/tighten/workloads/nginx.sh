# Rounds of requests over eight connections to two workers with thread pools, which send a file.
mkdir -p /var/log/nginx /var/lib/nginx
nginx -c /work/nginx.conf
while :; do
    curl -sS -Z --parallel-max 8 "http://127.0.0.1:8080/page?[1-100]" 2>&1 | sed 's/) .*/)/' | sort | uniq -c | tr -s ' \n' ' '
    echo $(grep -oE "sendfile.* bad state|\[[a-z]+\]" /tmp/errors | sort -u)
    sleep $1
done
