#!/bin/sh
# Tells what it may use, once it has been told.
at=0
while [ "$(ulimit -v)" = unlimited ] || [ "$(nice)" = 0 ]; do
    at=$((at + 1))
    [ "$at" -gt 500 ] && break
    sleep 0.02
done
echo "$(ulimit -v) KiB, nice $(nice)" >&2
exit 1
