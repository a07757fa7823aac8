# Shared by the scripts of tools/, image/ and .ci/: messages, timed steps, folders. Source it after `set -euo pipefail`.
# Nothing here changes the machine. Callers get:
#   KATA_REPO   the repository's root
#   KATA_CACHE  ~/.cache/kata-cpp or $KATA_CPP_CACHE: only speeds things up, may be deleted at any time

KATA_REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
KATA_CACHE=${KATA_CPP_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/kata-cpp}
export KATA_REPO KATA_CACHE

say() { printf '%s\n' "$*"; }
warn() { printf 'warning: %s\n' "$*" >&2; }
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# now_ms: milliseconds of a clock that is good enough for elapsed times.
now_ms() { local t=${EPOCHREALTIME/./}; printf '%s\n' "$((${t/,/} / 1000))"; }

# elapsed START_MS: seconds since START_MS with one decimal.
elapsed() {
    local ms=$(($(now_ms) - $1))
    printf '%d.%d s' $((ms / 1000)) $(((ms % 1000) / 100))
}

# step TEXT COMMAND...: runs COMMAND with its output in a log; prints TEXT, every 20 s how long it has taken so far, and at
# the end the time. On failure the last lines of the log are printed and the command's exit status is returned.
step() {
    local text=$1 log start status=0 pid ticks=0
    shift
    log=$(mktemp "${TMPDIR:-/tmp}/kata-step.XXXXXX")
    start=$(now_ms)
    printf '%s ...\n' "$text"
    "$@" >"$log" 2>&1 </dev/null &
    pid=$!
    while kill -0 "$pid" 2>/dev/null; do
        # wait for the command at most one second at a time, so that progress can be told
        if ((ticks++ >= 20)); then
            printf '  still at it after %s: %s\n' "$(elapsed "$start")" "$(tail -n 1 "$log" | cut -c1-100)"
            ticks=0
        fi
        timeout 1 tail --pid="$pid" -s 0.05 -f /dev/null || true
    done
    wait "$pid" || status=$?
    if ((status != 0)); then
        printf '%s: failed after %s (exit status %d), last lines:\n' "$text" "$(elapsed "$start")" "$status" >&2
        tail -n "${KATA_STEP_TAIL:-30}" "$log" >&2
    else
        printf '%s: done in %s\n' "$text" "$(elapsed "$start")"
    fi
    rm -f "$log"
    return "$status"
}

need_root() {
    [ "$(id -u)" = 0 ] || die "$(basename "$0") must run as root (uid $(id -u)): run it with sudo or in a root shell"
}
