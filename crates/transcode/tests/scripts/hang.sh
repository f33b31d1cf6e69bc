#!/bin/sh
# Stands for an ffmpeg that hangs: it writes a little, starts a process of its own and waits for that.
for last; do :; done
echo half > "$last"
sleep 1000 &
echo $! > "${last%/*}/../child"
echo "it hangs" >&2
echo out_time_us=1000000
wait
