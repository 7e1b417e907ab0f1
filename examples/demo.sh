#!/bin/sh
# The main job on the captured host that ships here: inventory, place, verify, capacity, audit. Usage: demo.sh NUMAPLAN
set -eu
numaplan=$1
cd "$(dirname "$0")/.."
case $numaplan in /*) ;; *) numaplan=$PWD/$numaplan ;; esac
host=fixtures/sysfs/16-2n4c2t-sriov
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

show() {
    printf '\n$ numaplan %s\n' "$*"
    "$numaplan" "$@"
}

show inventory --snapshot $host
show place examples/vnf.yaml --snapshot $host --domains examples/domains -o table
show place examples/vnf.yaml --snapshot $host --domains examples/domains --out "$work/plan.json" --patched "$work/placed"
show verify "$work/plan.json" examples/vnf.yaml --snapshot $host --domains examples/domains
show capacity examples/vnf.yaml --vm control --snapshot $host
show audit --snapshot $host --domains "$work/placed"
# Exit status 3 means that there are findings, and this variant is badly placed on purpose.
show audit --snapshot $host --domains examples/badly-placed || [ $? -eq 3 ]
