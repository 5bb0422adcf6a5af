# Two workers with thread pools, as another user; a reload, which starts new ones; the end.
mkdir -p /var/log/nginx /var/lib/nginx
nginx -c /work/nginx.conf
curl -s http://127.0.0.1:8080/page
nginx -c /work/nginx.conf -s reload 2>/dev/null
for _ in $(seq 1200); do curl -s http://127.0.0.1:8080/page >/dev/null && break; sleep 0.05; done
nginx -c /work/nginx.conf -s quit 2>/dev/null
for _ in $(seq 1200); do [ -e /tmp/pid ] || break; sleep 0.05; done
[ -e /tmp/pid ] || echo ended
