#!/bin/sh
# Prints the first interpreter that runs and is Python 3.11 or newer: those given as arguments, else the usual names.
# An interpreter named by the caller is never replaced by another one.
if [ $# -eq 0 ]; then
    set -- python3.11 python3.12 python3.13 python3 python
fi
for candidate in "$@"; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        echo "$candidate"
        exit 0
    fi
done
echo "liqlab needs Python 3.11 or newer; tried: $*." >&2
for candidate in "$@"; do
    found=$("$candidate" --version 2>&1) && echo "  $candidate is $found" >&2
done
echo "Install it, or name the interpreter: make PYTHON=/path/to/python3.11 ..." >&2
exit 2
