# Makes a machine a runner for one job. However it ends, it powers off, and its group makes another.
# shellcheck shell=bash disable=SC2154

metadata=http://169.254.169.254/latest

main() {
  trap end EXIT
  # Nobody logs in to a machine that runs what pull requests say.
  [[ "$KIND" != ci ]] || systemctl disable --now amazon-ssm-agent
  # shellcheck disable=SC2086 # a list
  dnf install --assumeyes --quiet git $PACKAGES
  fetch "https://dl.gitea.com/act_runner/$RUNNER_VERSION/act_runner-$RUNNER_VERSION-linux-$(architecture)" \
    "$RUNNER_SHA256" "$root/usr/local/bin/act_runner"
  useradd --create-home --home-dir /srv/runner runner
  configure
  wait_for 3600 "the registration" has_token
  [[ "$KIND" != ci ]] || give_credentials_away
  register
  run
}

end() {
  local status=$?
  trap - EXIT
  if [[ "$status" != 0 ]]; then
    # Not a new machine every minute, and time to read what it said.
    say "no runner: status $status"
    sleep "${TENANTRY_PAUSE:-300}"
  fi
  systemctl poweroff
}

configure() {
  mkdir -p "$root/etc"
  cat >"$root/etc/act_runner.yaml" <<YAML
log: {level: info}
runner: {file: /srv/runner/.runner, capacity: 1, timeout: 3h, insecure: false}
cache: {enabled: false}
host: {workdir_parent: /srv/runner/work}
YAML
}

# Gitea's machine makes it, which may have started after this one.
has_token() {
  registration=$(secret "$TOKEN_SECRET")
  [[ -n "$registration" ]]
}

# From here on nothing on this machine can ask AWS for anything. Credentials that were taken for these
# two calls were never on the disk.
give_credentials_away() {
  local instance association
  instance=$(from_metadata meta-data/instance-id)
  eval "$(aws configure export-credentials --format env)"
  association=$(aws --region "$REGION" ec2 describe-iam-instance-profile-associations \
    --filters "Name=instance-id,Values=$instance" --query 'IamInstanceProfileAssociations[0].AssociationId' --output text)
  aws --region "$REGION" ec2 modify-instance-metadata-options --instance-id "$instance" \
    --http-endpoint disabled >/dev/null
  aws --region "$REGION" ec2 disassociate-iam-instance-profile --association-id "$association" >/dev/null
  unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_CREDENTIAL_EXPIRATION
  wait_for 300 "the end of metadata" is_without_metadata
  ! aws --region "$REGION" sts get-caller-identity >/dev/null 2>&1 || fail "there are credentials still"
}

from_metadata() {
  local session
  session=$(curl --fail --silent --show-error --max-time 5 --request PUT \
    --header 'X-aws-ec2-metadata-token-ttl-seconds: 60' "$metadata/api/token")
  curl --fail --silent --show-error --max-time 5 --header "X-aws-ec2-metadata-token: $session" "$metadata/$1"
}

is_without_metadata() {
  ! from_metadata meta-data/instance-id >/dev/null 2>&1
}

# By its questions, not by arguments, which every process can read.
register() {
  printf '%s\n' "$GITEA_URL" "$registration" "$(uname -n)" "$KIND:host" |
    runuser -u runner -- "$root/usr/local/bin/act_runner" --config "$root/etc/act_runner.yaml" register --ephemeral
  unset registration
  [[ -s "$root/srv/runner/.runner" ]] || fail "Gitea does not take the registration"
}

# One job, then it ends by itself.
run() {
  runuser -u runner -- env --ignore-environment PATH=/usr/local/bin:/usr/bin HOME=/srv/runner LANG=C.UTF-8 \
    "$root/usr/local/bin/act_runner" --config "$root/etc/act_runner.yaml" daemon
}

[[ "${BASH_SOURCE[0]}" != "$0" ]] || main
