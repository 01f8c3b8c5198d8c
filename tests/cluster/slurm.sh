#!/usr/bin/env bash
# A Slurm cluster of three nodes on this one machine, for trials (root, Debian).  Nothing is left behind.
#
#   slurm.sh start FOLDER       install Slurm if need be, start it with its files in FOLDER, wait for the nodes
#   slurm.sh kill FOLDER NODE   what a power cut does to a node: its daemon and all that its jobs run are gone
#   slurm.sh revive FOLDER NODE
#   slurm.sh stop FOLDER
#
# Jobs find the cluster by /etc/slurm/slurm.conf: Slurm's own job steps forget SLURM_CONF.
set -euo pipefail

NODES=(node1 node2 node3)
action=$1 folder=$2
conf=/etc/slurm/slurm.conf

fail() {
    echo "slurm: $*" >&2
    exit 1
}

install() {
    if ! command -v slurmctld slurmd sbatch munged >/dev/null; then
        [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || fail "needs slurmctld, slurmd, slurm-client and munge"
        export DEBIAN_FRONTEND=noninteractive
        (apt-get update && apt-get install --yes --no-install-recommends slurmctld slurmd slurm-client munge) \
            >"$folder/install.log" 2>&1 || fail "Debian's packages could not be installed, see $folder/install.log"
    fi
}

configure() {
    local port=17010 node
    mkdir -p "$folder"/{key,socket,state,spool}
    chmod 0700 "$folder/key"
    chmod 0755 "$folder/socket"
    head -c 1024 /dev/urandom >"$folder/key/munge.key"
    chmod 0600 "$folder/key/munge.key"
    cat >"$folder/slurm.conf" <<CONF
ClusterName=trial
SlurmctldHost=localhost(127.0.0.1)
SlurmUser=root
SlurmctldPort=17001
AuthType=auth/munge
AuthInfo=socket=$folder/socket/munge
CryptoType=crypto/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool/%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/%n.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc=$folder/jobs.txt
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
MinJobAge=300
ReturnToService=2
SlurmdTimeout=15
KillWait=5
SchedulerParameters=sched_interval=5,batch_sched_delay=1
CONF
    for node in "${NODES[@]}"; do
        echo "NodeName=$node NodeHostname=localhost NodeAddr=127.0.0.1 Port=$port CPUs=2 RealMemory=8000" \
            >>"$folder/slurm.conf"
        port=$((port + 1))
    done
    echo "PartitionName=trial Nodes=ALL Default=YES MaxTime=INFINITE State=UP" >>"$folder/slurm.conf"
}

start() {
    mkdir -p "$folder"
    folder=$(realpath "$folder")
    install
    [ ! -e $conf ] || [ -L $conf ] || fail "$conf is there: this machine has a Slurm of its own"
    [ ! -e $conf ] || fail "$conf is a link to $(realpath $conf): stop that trial first"
    configure
    mkdir -p /etc/slurm
    ln -sfn "$folder/slurm.conf" $conf
    munged --force --key-file="$folder/key/munge.key" --socket="$folder/socket/munge" --pid-file="$folder/munged.pid" \
        --log-file="$folder/munged.log" --seed-file="$folder/munged.seed"
    slurmctld -f $conf
    for node in "${NODES[@]}"; do
        slurmd -N "$node" -f $conf
    done
    for _ in $(seq 60); do
        [ "$(sinfo -h -t idle -o %D 2>/dev/null | head -1)" != 3 ] || return 0
        sleep 1
    done
    sinfo >&2 || true
    fail "the nodes are not up after a minute, see $folder/*.log"
}

# Print a process and all that descend from it.
tree() {
    local child
    echo "$1"
    for child in $(ps -o pid= --ppid "$1"); do
        tree "$child"
    done
}

# The daemon of a node, the steps of its jobs (they are no children of it any more), and all that these started.
processes_of() {
    local job step
    tree "$(cat "$folder/$1.pid")"
    for job in $(squeue --noheader --nodelist="$1" --format=%A); do
        for step in $(pgrep -f "^slurmstepd: \[$job\."); do
            tree "$step"
        done
    done
}

kill_node() {
    local found
    found=$(processes_of "$1" | sort -un)
    # shellcheck disable=SC2086  # a list of numbers
    kill -9 $found 2>/dev/null || true
    echo "slurm: $1 is dead, $(wc -w <<<"$found") processes"
}

stop() {
    folder=$(realpath "$folder")
    scancel --user="$(id -un)" 2>/dev/null || true
    local name node
    for node in "${NODES[@]}"; do
        [ ! -e "$folder/$node.pid" ] || kill_node "$node" >/dev/null
    done
    for name in slurmctld munged; do
        [ ! -e "$folder/$name.pid" ] || kill -9 "$(cat "$folder/$name.pid")" 2>/dev/null || true
    done
    [ "$(readlink $conf)" != "$folder/slurm.conf" ] || rm -f $conf
}

case $action in
    start) start ;;
    stop) stop ;;
    kill) kill_node "$3" ;;
    revive) slurmd -N "$3" -f $conf ;;
    *) fail "$action: expected start, kill, revive or stop" ;;
esac
