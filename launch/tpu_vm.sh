#!/bin/bash
# Trains on all hosts of a TPU VM or pod slice, by ssh from anywhere.
# Status: dry-run tested only; never run on a TPU.
#
#   export TPU=my-slice ZONE=us-central2-b
#   pip wheel --no-deps --wheel-dir=dist . && launch/tpu_vm.sh install dist/gzjax-*.whl
#   launch/tpu_vm.sh train --config=p4m --config.data.dir=/mnt/galaxies \
#       --workdir=/mnt/runs/p4m
#   launch/tpu_vm.sh watch            # again, after the connection was lost
#   launch/tpu_vm.sh stop             # saves; the same train goes on from there
#
# The data and the workdir must be on a disk that all hosts see (Filestore, NFS). The
# training outlives the connection; whether it ended well stands in each host's
# gzjax.log. A preempted slice is gone with its disks: make it anew, install, and give
# the same train. --dry-run, or DRY_RUN=1, only prints.
set -euo pipefail

PYTHON=${PYTHON:-python3}  # on the hosts, 3.11 or newer
PROJECT=${PROJECT:-}       # of Google Cloud; gcloud's own if left out
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
    printf 'tpu_vm.sh: %s\n' "$1" >&2
    exit 2
}

# Runs gcloud's COMMAND for all hosts, or prints it: tpu_vm COMMAND ARGUMENTS ...
tpu_vm() {
    local command=$1
    shift
    set -- gcloud compute tpus tpu-vm "$command" "$@" --zone="$ZONE" --worker=all \
        ${PROJECT:+--project="$PROJECT"}
    if [ -n "$DRY_RUN" ]; then
        printf '%q ' "$@"
        echo
    else
        "$@"
    fi
}

on_all_hosts() {
    tpu_vm ssh "$TPU" --command="$1"
}

install() {
    [ $# -eq 1 ] && [ -f "$1" ] || die "install needs a wheel: dist/gzjax-VERSION-....whl"
    local wheel pip="$PYTHON -m pip install --quiet"
    wheel=$(printf '%q' "./${1##*/}")
    tpu_vm scp "$1" "$TPU:"
    # The second replaces an older build of the same version.
    on_all_hosts "$pip $wheel'[tpu]' && $pip --no-deps --force-reinstall $wheel"
}

# shellcheck disable=SC2016  # it is for the hosts to expand
watching='tail --pid="$(cat gzjax.pid)" --lines=+1 --follow gzjax.log'

train() {
    [ $# -gt 0 ] || die "train needs arguments, as in: tpu_vm.sh train --config=p4m"
    local quoted
    quoted=$(printf ' %q' "$PYTHON" -m gzjax.main train "$@")
    # gzjax finds the other hosts by itself. Two trainings at once would fight for the
    # TPU: the second is refused.
    local running="[ -e gzjax.pid ] && kill -0 \"\$(cat gzjax.pid)\" 2>/dev/null"
    local refuse="{ echo already training: watch, or stop first >&2; exit 2; }"
    # The log is made before: what watches it may be quicker than what begins.
    local begin=": >gzjax.log; nohup$quoted >>gzjax.log 2>&1 </dev/null &"
    begin+=" echo \$! >gzjax.pid"
    on_all_hosts "$running && $refuse; $begin; $watching"
}

[ -n "${TPU:-}" ] || die "TPU is not set: give the name of the TPU VM"
[ -n "${ZONE:-}" ] || die "ZONE is not set: give its zone, as in us-central2-b"
mode=${1:-}
case $mode in
install | train)
    shift
    "$mode" "$@"
    ;;
watch) on_all_hosts "$watching" ;;
stop)
    # shellcheck disable=SC2016
    on_all_hosts 'kill -TERM "$(cat gzjax.pid)"'
    ;;
*) die "give install, train, watch or stop" ;;
esac
