#!/usr/bin/env bash
# Runs Snakemake with the options given.  Snakemake locks the files that it makes, and a run that was killed leaves its
# locks behind.  They are removed here once all runs noted in .snakemake/runs (see workflow/rules/runs.smk) have ended,
# so that the same command goes on after a kill.
set -euo pipefail

# This checkout's code, no packages from the user's home, and caches here: her home may be unwritable.
export PYTHONPATH=$PWD/src PYTHONNOUSERSITE=1 XDG_CACHE_HOME=$PWD/.snakemake/cache

refuse() {
    echo "$1" >&2
    echo "Wait for its end.  If no Snakemake is at work in $PWD, go on with: snakemake --unlock" >&2
    exit 1
}

# Succeed if a process of this number exists, whoever owns it, and is Snakemake where the system tells.
at_work() {
    ps -p "$1" >/dev/null 2>&1 && { [ ! -r "/proc/$1/cmdline" ] || grep -qa snakemake "/proc/$1/cmdline"; }
}

if compgen -G '.snakemake/locks/*' >/dev/null; then
    for note in .snakemake/runs/*; do
        [ -e "$note" ] || refuse "The files are locked by a Snakemake run that left no note of itself."
        name=$(basename "$note")
        [ "${name%.*}" = "$(uname -n)" ] || refuse "A Snakemake run was started on ${name%.*}, process ${name##*.}."
        ! at_work "${name##*.}" || refuse "Another Snakemake run is at work here, process ${name##*.}."
    done
    python -m snakemake --unlock "$@" >/dev/null 2>&1 || refuse "The locks of a killed run could not be removed."
    rm -f .snakemake/runs/*
fi
exec python -m snakemake "$@"
