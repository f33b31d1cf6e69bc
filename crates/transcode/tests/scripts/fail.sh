#!/bin/sh
# Stands for an ffmpeg that fails after many words.
for last; do :; done
echo half > "$last"
at=0
while [ "$at" -lt 50 ]; do
    echo "line $at" >&2
    at=$((at + 1))
done
exit 3
