#!/bin/bash
# Trains in a SLURM job of one node or several, queued again until it is done.
# Status: dry-run tested only; never run on a cluster.
#
#   ACCOUNT=me PARTITION=gpu NODES=2 GPUS_PER_NODE=4 PYTHON=$HOME/venv/bin/python \
#       launch/slurm.sh --config=p4m --workdir=/shared/runs/p4m
#
# Submits itself; within an allocation it runs the training there. The data and the
# workdir must be on a disk that all nodes see. Two minutes before the time is over, and
# where the job is preempted with notice, SLURM sends SIGTERM: the training saves and
# leaves, the job is queued again, and goes on from the newest checkpoint. scancel ends
# it. sbatch reads SBATCH_QOS, SBATCH_CONSTRAINT and the like by itself.
# --dry-run, or DRY_RUN=1, only prints.
set -euo pipefail

NODES=${NODES:-1}
TASKS_PER_NODE=${TASKS_PER_NODE:-1}  # processes; they share out the node's GPUs
GPUS_PER_NODE=${GPUS_PER_NODE:-1}    # 0: a cluster without
CPUS_PER_TASK=${CPUS_PER_TASK:-8}    # each loads images with a thread per core
TIME=${TIME:-24:00:00}               # until it is queued again
export PYTHON=${PYTHON:-python}      # of the environment with gzjax, on a shared disk
export SETUP=${SETUP:-}              # a file to source first: modules, variables
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
    printf 'slurm.sh: %s\n' "$1" >&2
    exit 2
}

need() {
    [ -n "${!1+set}" ] || die "$1 is not set: give $2 (or $1= for the cluster's own)"
}

# Runs what it is given, or prints it.
run() {
    if [ -n "$DRY_RUN" ]; then
        printf '%q ' "$@"
        echo
    else
        "$@"
    fi
}

submit() {
    need ACCOUNT "the account that pays"
    need PARTITION "where to run"
    local name
    for name in NODES TASKS_PER_NODE CPUS_PER_TASK; do
        [[ ${!name} =~ ^[1-9][0-9]*$ ]] || die "$name=${!name}: give a number from 1 on"
    done
    [[ $GPUS_PER_NODE =~ ^([A-Za-z][A-Za-z0-9_.-]*:)?[0-9]+$ ]] ||
        die "GPUS_PER_NODE=$GPUS_PER_NODE: give a number, or TYPE:NUMBER"
    [ -n "$DRY_RUN" ] || command -v sbatch >/dev/null ||
        die "there is no sbatch here: call it on a login node of the cluster, or with --dry-run"
    local options=(
        --job-name=gzjax --nodes="$NODES" --ntasks-per-node="$TASKS_PER_NODE"
        --cpus-per-task="$CPUS_PER_TASK" --time="$TIME" --export=ALL
        # To the training, not to this script, and long enough to save.
        --signal=TERM@120 --requeue --open-mode=append
    )
    [ -z "$ACCOUNT" ] || options+=(--account="$ACCOUNT")
    [ -z "$PARTITION" ] || options+=(--partition="$PARTITION")
    # Not --gpus-per-task, which hides a node's other GPUs: which of them a task owns is
    # gzjax's decision.
    [ "$GPUS_PER_NODE" = 0 ] || options+=(--gpus-per-node="$GPUS_PER_NODE")
    run sbatch "${options[@]}" "$0" "$@"
    if [ -n "$DRY_RUN" ]; then
        echo "# there:"
        train "$@"
    fi
}

train() {
    [ -z "$SETUP" ] || run . "$SETUP"
    # srun does not take --cpus-per-task from the job. When one process has failed the
    # others have a minute to leave; at once would be too soon for one that is saving.
    local code=0 cancelled=''
    trap 'cancelled=1' TERM  # scancel; the time's end is said to the training alone
    run srun --cpus-per-task="${SLURM_CPUS_PER_TASK:-$CPUS_PER_TASK}" \
        --kill-on-bad-exit=0 --wait=60 "$PYTHON" -m gzjax.main train "$@" || code=$?
    if [ "$code" -eq 143 ] && [ -z "$cancelled" ]; then  # 128 + SIGTERM: it has saved
        echo "slurm.sh: stopped before its end, queued again"
        run scontrol requeue "$SLURM_JOB_ID"
    fi
    return "$code"
}

[ $# -gt 0 ] || die "give the arguments of train, as in: slurm.sh --config=p4m"
if [ -n "${SLURM_JOB_ID:-}" ]; then
    train "$@"
else
    submit "$@"
fi
