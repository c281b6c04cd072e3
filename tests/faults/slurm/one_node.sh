#!/bin/bash
# A real SLURM of one node with a fake GPU, for tests: `one_node.sh start DIR` and `one_node.sh stop DIR`.
# Needs root and Debian's slurm-wlm and munge (`one_node.sh install`). Everything lives in DIR; export SLURM_CONF=DIR/slurm.conf.
set -euo pipefail
action=$1
dir=${2:-}

case $action in
install)
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq slurm-wlm munge >/dev/null
    ;;
start)
    mkdir -p "$dir"/{state,spool} /run/munge
    chown munge:munge /run/munge
    if [ ! -s /etc/munge/munge.key ]; then dd if=/dev/urandom bs=1 count=1024 of=/etc/munge/munge.key status=none; fi
    chown munge:munge /etc/munge/munge.key /etc/munge /var/lib/munge /var/log/munge; chmod 400 /etc/munge/munge.key
    if ! munge -n >/dev/null 2>&1; then
        runuser -u munge -- munged
        touch "$dir/ours"
    fi
    host=$(hostname -s)
    cpus=$(nproc)
    cat >"$dir/slurm.conf" <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=16817
SlurmdPort=16818
AuthType=auth/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
KillWait=5
InactiveLimit=0
GresTypes=gpu
# more CPUs than the machine has: the driver and the workers of a test mostly wait
NodeName=$host NodeAddr=127.0.0.1 CPUs=8 RealMemory=16000 Gres=gpu:1 State=UNKNOWN
PartitionName=gpu Nodes=$host Default=YES MaxTime=1-00:00:00 State=UP
CONF
    echo "NodeName=$host Name=gpu File=/dev/null" >"$dir/gres.conf"
    echo "CgroupAutomount=no" >"$dir/cgroup.conf"
    echo "SlurmdParameters=config_overrides" >>"$dir/slurm.conf"
    export SLURM_CONF="$dir/slurm.conf"
    slurmctld
    slurmd -N "$host"
    for _ in $(seq 60); do
        if sinfo --noheader --format=%t 2>/dev/null | grep -q idle; then exit 0; fi
        sleep 0.5
    done
    sinfo || true
    tail -20 "$dir"/slurm*.log >&2
    exit 1
    ;;
stop)
    export SLURM_CONF="$dir/slurm.conf"
    scancel --state=PENDING,RUNNING --user=root 2>/dev/null || true
    for name in slurmd slurmctld; do
        if [ -s "$dir/$name.pid" ]; then kill "$(cat "$dir/$name.pid")" 2>/dev/null || true; fi
    done
    if [ -e "$dir/ours" ] && [ -s /run/munge/munged.pid ]; then kill "$(cat /run/munge/munged.pid)" || true; fi
    ;;
esac
