#!/bin/bash
# Predicts in a SLURM job array, a share of the images each, and joins the chunks.
# Status: dry-run tested only; never run on a cluster.
#
#   ACCOUNT=me PARTITION=gpu SHARDS=16 PYTHON=$HOME/venv/bin/python \
#       launch/slurm_predict.sh --workdir=/shared/runs/p4m --images=/shared/cutouts \
#       --kind=table --output=/shared/bars.parquet
#
# Submits the array and, after it, the job that merges; the arguments are those of
# predict. Shards know nothing of each other, and finished chunks are kept: one whose time
# is over is queued again, and the same command makes what is missing, with any number of
# shards. The merging job's exit code is 3 where images were flagged.
# --dry-run, or DRY_RUN=1, only prints.
set -euo pipefail

export SHARDS=${SHARDS:-8}
AT_ONCE=${AT_ONCE:-$SHARDS}        # of them run at the same time
GPUS=${GPUS:-1}                    # of each shard; 0: a cluster without
CPUS_PER_TASK=${CPUS_PER_TASK:-8}  # each loads images with a thread per core
TIME=${TIME:-4:00:00}              # until a shard is queued again
export PYTHON=${PYTHON:-python}    # of the environment with gzjax, on a shared disk
export SETUP=${SETUP:-}            # a file to source first: modules, variables
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
    printf 'slurm_predict.sh: %s\n' "$1" >&2
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

# Prints the --output among the arguments of predict, which merge is given too.
find_output() {
    local argument before=
    for argument in "$@"; do
        case $argument in
        --output=*) echo "${argument#--output=}" ;;
        *) [ "$before" != --output ] || echo "$argument" ;;
        esac
        before=$argument
    done
}

submit() {
    need ACCOUNT "the account that pays"
    need PARTITION "where to run"
    local name
    for name in SHARDS AT_ONCE CPUS_PER_TASK; do
        [[ ${!name} =~ ^[1-9][0-9]*$ ]] || die "$name=${!name}: give a number from 1 on"
    done
    [[ $GPUS =~ ^([A-Za-z][A-Za-z0-9_.-]*:)?[0-9]+$ ]] ||
        die "GPUS=$GPUS: give a number, or TYPE:NUMBER"
    [ -n "$(find_output "$@")" ] || die "give --output=FILE, where all nodes see it"
    [ -n "$DRY_RUN" ] || command -v sbatch >/dev/null ||
        die "there is no sbatch here: call it on a login node of the cluster, or with --dry-run"
    local both=(--parsable --export=ALL) array=() id=ARRAY_JOB
    [ -z "$ACCOUNT" ] || both+=(--account="$ACCOUNT")
    [ -z "$PARTITION" ] || both+=(--partition="$PARTITION")
    [ "$GPUS" = 0 ] || array+=(--gpus-per-node="$GPUS")
    array+=(
        --job-name=gzjax-predict --array="1-$SHARDS%$AT_ONCE" --nodes=1 --ntasks=1
        --cpus-per-task="$CPUS_PER_TASK" --time="$TIME"
        --signal=TERM@60 --requeue --open-mode=append
    )
    if [ -n "$DRY_RUN" ]; then
        run sbatch "${both[@]}" "${array[@]}" "$0" shard "$@"
    else
        id=$(sbatch "${both[@]}" "${array[@]}" "$0" shard "$@")
        id=${id%%;*}  # a cluster's name may follow
        echo "slurm_predict.sh: array job $id"
    fi
    run sbatch "${both[@]}" --job-name=gzjax-merge --ntasks=1 --time=1:00:00 \
        --dependency="afterok:$id" --kill-on-invalid-dep=yes "$0" merge "$@"
    if [ -n "$DRY_RUN" ]; then
        echo "# there, for each I of 1 .. $SHARDS:"
        SLURM_ARRAY_TASK_ID=I shard "$@"
        merge "$@"
    fi
}

shard() {
    local code=0 cancelled=''
    trap 'cancelled=1' TERM  # scancel; the time's end is said to the step alone
    run srun --ntasks=1 --cpus-per-task="${SLURM_CPUS_PER_TASK:-$CPUS_PER_TASK}" \
        "$PYTHON" -m gzjax.main predict "$@" \
        --shard="$SLURM_ARRAY_TASK_ID/$SHARDS" || code=$?
    if [ "$code" -eq 143 ] && [ -z "$cancelled" ]; then  # 128 + SIGTERM
        echo "slurm_predict.sh: stopped before its end, queued again"
        run scontrol requeue "$SLURM_JOB_ID"
    fi
    return "$code"
}

merge() {
    run "$PYTHON" -m gzjax.main merge --output="$(find_output "$@")"
}

[ $# -gt 0 ] || die "give the arguments of predict: --workdir, --images, --output"
case $1 in
shard | merge)  # within the jobs
    [ -z "$SETUP" ] || run . "$SETUP"
    "$@"
    ;;
*) submit "$@" ;;
esac
