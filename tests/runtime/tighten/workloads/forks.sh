# Rounds of processes that end at once, and of directories.
while :; do
    ended=0
    for _ in $(seq 20); do /bin/true && ended=$((ended + 1)); done
    echo $ended $(LC_ALL=C mkdir /tmp/made 2>&1 && rmdir /tmp/made && echo made)
    sleep $1
done
