#!/bin/sh
# Stands for an ffmpeg that makes nothing of use and says that all is well.
for last; do :; done
echo "this is no film" > "$last"
