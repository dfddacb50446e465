#!/usr/bin/env bash
# Tell Ray that this spot machine is about to be taken away, as soon as EC2 says so: the ranks of a
# run save their state within the step and go on elsewhere. Started beside Ray by infra/ray/aws.yaml.
#
#   spot-notice.sh HEAD:PORT
#
# EC2 gives notice two minutes ahead (instance-action of the instance metadata, asked with a session
# token); METADATA names another service of the same form.
set -euo pipefail
head=${1:?usage: spot-notice.sh HEAD:PORT}
metadata=${METADATA:-http://169.254.169.254}

asked() { # STATUS of the answer; 404 is: no notice
  local token
  token=$(wget --quiet --timeout=2 --tries=1 --output-document=- --method=PUT \
    --header='X-aws-ec2-metadata-token-ttl-seconds: 60' "$metadata/latest/api/token") || return 1
  wget --quiet --timeout=2 --tries=1 --output-document=- \
    --header="X-aws-ec2-metadata-token: $token" "$metadata/latest/meta-data/spot/instance-action"
}

until notice=$(asked); do
  sleep 5
done
echo "notice: $notice"
export RAY_AUTH_MODE=token
deadline=$((SECONDS + 110)) # of the two minutes; Ray is asked again until then

here() { # which machine of the cluster this is
  timeout 30 python -c 'import sys, ray
ray.init(address=sys.argv[1], log_to_driver=False)
print(ray.get_runtime_context().get_node_id())' "$head"
}

drained() {
  local node
  node=$(here) || return 1
  timeout 30 ray drain-node --address "$head" --reason DRAIN_NODE_REASON_PREEMPTION \
    --reason-message "spot notice: $notice" \
    --deadline-remaining-seconds "$((deadline - SECONDS))" --node-id "$node"
}

until drained; do
  sleep 5
  if ((SECONDS >= deadline)); then
    echo "Ray could not be told of the notice in time" >&2
    exit 1
  fi
done
