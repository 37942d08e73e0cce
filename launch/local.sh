#!/bin/bash
# Trains on this machine, in one process or several.
# Status: tried on one machine without a GPU; the sharing of GPUs dry-run tested only.
#
#   launch/local.sh --config=p4m:small --workdir=runs/p4m-small
#   NPROC=2 launch/local.sh --config=p4m:small --config.batch_size=64
#
# One process uses all GPUs of a machine: NPROC is for trying what a cluster would do.
# SIGTERM and Ctrl-C are passed on, so that the training saves before it leaves; the exit
# code is that of the process that failed first. --dry-run, or DRY_RUN=1, only prints.
set -euo pipefail

NPROC=${NPROC:-1}               # processes
PYTHON=${PYTHON:-python}        # of the environment with gzjax
PORT=${PORT:-$((10000 + $$ % 20000))}  # where the processes find each other
GRACE_SEC=${GRACE_SEC:-130}     # for the others to leave when one has failed
GPUS=${GPUS:-}                  # devices to share out; all of the machine if left out
# glibc's malloc is told by gzjax itself to keep freed memory; any other is loaded so:
ALLOCATOR=${ALLOCATOR:-}        # "tcmalloc", or the path of a library; none by default
DRY_RUN=${DRY_RUN:-}
arguments=()
for argument; do
    case $argument in
    --dry-run) DRY_RUN=1 ;;
    -h | --help)  # what stands above
        sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
        exit
        ;;
    *) arguments+=("$argument") ;;
    esac
done
set -- ${arguments[@]+"${arguments[@]}"}

die() {
    printf 'local.sh: %s\n' "$1" >&2
    exit 2
}

# How many GPUs a process could see.
count_gpus() {
    if [ "${JAX_PLATFORMS:-}" = cpu ] || [ "${CUDA_VISIBLE_DEVICES-all}" = "" ]; then
        echo 0
    elif [ -n "${CUDA_VISIBLE_DEVICES:-}" ]; then
        # As gzjax counts them: -1, for one, is none.
        tr ',' '\n' <<<"$CUDA_VISIBLE_DEVICES" |
            grep -cE '^[[:space:]]*([0-9]+[[:space:]]*$|GPU-|MIG-)' || true
    elif command -v nvidia-smi >/dev/null; then
        nvidia-smi --list-gpus 2>/dev/null | grep -c '^GPU' || true
    else
        echo 0
    fi
}

find_allocator() {
    case $ALLOCATOR in
    tcmalloc)
        local path
        for path in {/usr/lib/*-linux-gnu,/usr/lib64,/usr/lib,/usr/local/lib}/libtcmalloc{_minimal,}.so*; do
            if [ -e "$path" ]; then
                echo "$path"
                return
            fi
        done
        die "ALLOCATOR=tcmalloc, and there is none: install libtcmalloc-minimal4, or give its path"
        ;;
    *)
        [ -e "$ALLOCATOR" ] || die "ALLOCATOR=$ALLOCATOR: no such file"
        echo "$ALLOCATOR"
        ;;
    esac
}

# Sets $command: what process $1 runs, with the arguments after it.
make_command() {
    local index=$1 each device devices=
    shift
    command=(env)
    if [ -n "$preloaded" ]; then
        command+=("LD_PRELOAD=$preloaded${LD_PRELOAD:+:$LD_PRELOAD}")
    fi
    if [ "$GPUS" -gt 0 ]; then  # JAX takes 0.75 of the memory by default
        command+=("XLA_PYTHON_CLIENT_MEM_FRACTION=${XLA_PYTHON_CLIENT_MEM_FRACTION:-0.9}")
    fi
    if [ "$NPROC" -gt 1 ]; then
        command+=("GZJAX_COORDINATOR=127.0.0.1:$PORT" "GZJAX_NUM_PROCESSES=$NPROC"
            "GZJAX_PROCESS_ID=$index")
        if [ "$GPUS" -gt 0 ]; then
            each=$((GPUS / NPROC))
            for ((device = index * each; device < (index + 1) * each; device++)); do
                devices+=${devices:+,}$device
            done
            command+=("GZJAX_LOCAL_DEVICES=$devices")
        fi
    fi
    command+=("$PYTHON" -m gzjax.main train "$@")
}

pids=()
forwarded=

forward() {
    forwarded=$1
    local pid
    for pid in ${pids[@]+"${pids[@]}"}; do
        kill "-$1" "$pid" 2>/dev/null || true
    done
}

# Each process leads a group of its own, in which its loaders are too.
kill_groups() {
    local pid
    for pid in ${pids[@]+"${pids[@]}"}; do
        kill -KILL -- "-$pid" 2>/dev/null || true
    done
}

# Waits until all have left; sets $failure to the first exit code that is not 0.
wait_for_all() {
    local deadline='' pid code left
    while [ ${#pids[@]} -gt 0 ]; do
        left=()
        for pid in "${pids[@]}"; do
            if kill -0 "$pid" 2>/dev/null; then
                left+=("$pid")
                continue
            fi
            code=0
            wait "$pid" || code=$?
            kill -KILL -- "-$pid" 2>/dev/null || true  # what it left behind
            if [ "$code" -ne 0 ] && [ "$failure" -eq 0 ]; then
                failure=$code
                deadline=$((SECONDS + GRACE_SEC))
            fi
        done
        pids=(${left[@]+"${left[@]}"})
        if [ -n "$deadline" ] && [ "$SECONDS" -ge "$deadline" ]; then
            kill_groups
        fi
        sleep 0.2 || true  # Ctrl-C ends it
    done
}

[ $# -gt 0 ] || die "give the arguments of train, as in: local.sh --config=p4m:small"
[[ $NPROC =~ ^[1-9][0-9]*$ ]] || die "NPROC=$NPROC: give a number from 1 on"
GPUS=${GPUS:-$(count_gpus)}
[[ $GPUS =~ ^(0|[1-9][0-9]*)$ ]] || die "GPUS=$GPUS: give a number"
if [ $((GPUS % NPROC)) -ne 0 ]; then
    die "NPROC=$NPROC processes cannot share $GPUS GPUs equally: give a divisor, fewer GPUS, or JAX_PLATFORMS=cpu"
fi
preloaded=
[ -z "$ALLOCATOR" ] || preloaded=$(find_allocator)

failure=0
trap kill_groups EXIT
trap 'forward INT' INT
trap 'forward TERM' TERM HUP
for ((process = 0; process < NPROC; process++)); do
    make_command "$process" "$@"
    if [ -n "$DRY_RUN" ]; then
        printf '%q ' "${command[@]}"
        echo
        continue
    fi
    # Job control gives each a group: Ctrl-C reaches it through this script alone.
    set -m
    "${command[@]}" </dev/null &
    pids+=("$!")
    set +m
done
# A signal may have come before all were there.
[ -z "$forwarded" ] || forward "$forwarded"
wait_for_all
exit "$failure"
