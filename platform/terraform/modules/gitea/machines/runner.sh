# Makes a machine a runner. A registration is for one job; a machine of `ci` powers off after it, one of
# `release` takes the next until it has been there for long. However it ends, its group makes another.
# shellcheck shell=bash disable=SC2154

metadata=http://169.254.169.254/latest

main() {
  trap end EXIT
  install_packages
  fetch "https://dl.gitea.com/act_runner/$RUNNER_VERSION/act_runner-$RUNNER_VERSION-linux-$(architecture)" \
    "$RUNNER_SHA256" "$root/usr/local/bin/act_runner"
  "prepare_$KIND"
  configure
  wait_for 3600 "the registration" has_token
  [[ "$KIND" != ci ]] || give_credentials_away
  take_a_job
  while ((SECONDS < STAYS)); do
    clean
    wait_for 3600 "the registration" has_token
    take_a_job
  done
}

install_packages() {
  if [[ "$KIND" == ci ]]; then
    # shellcheck disable=SC2086 # a list
    dnf install --assumeyes --quiet git unzip $PACKAGES
    return
  fi
  # Packages are signed; but out of here goes HTTPS alone.
  find "$root/etc/apt" -type f \( -name '*.list' -o -name '*.sources' \) -exec sed -i 's|http:|https:|' {} +
  export DEBIAN_FRONTEND=noninteractive
  apt-get --quiet=2 --option DPkg::Lock::Timeout=600 update
  # shellcheck disable=SC2086 # a list
  apt-get --quiet=2 --option DPkg::Lock::Timeout=600 install --yes --no-install-recommends git unzip $PACKAGES
}

# Whoever opens a pull request writes what runs: nobody logs in here, and jobs are no administrator's.
prepare_ci() {
  user=runner environment=()
  systemctl disable --now amazon-ssm-agent
  fetch "https://dl.k8s.io/release/v$KUBECTL_VERSION/bin/linux/$(architecture)/kubectl" \
    "$KUBECTL_SHA256" "$root/usr/local/bin/kubectl"
  unpack "https://releases.hashicorp.com/terraform/$TERRAFORM_VERSION/terraform_${TERRAFORM_VERSION}_linux_$(architecture).zip" \
    "$TERRAFORM_SHA256" "$root/usr/local/bin" terraform
  useradd --create-home --home-dir /srv/runner "$user"
}

# Jobs are root, as buildah builds in a chroot: it could be done without, but makes other digests then.
# What protects this machine is who may write what it runs; its role is any user's.
prepare_release() {
  local system
  # cosign asks for the key where it is told to.
  user=root environment=("AWS_REGION=$REGION")
  fetch "https://github.com/sigstore/cosign/releases/download/v$COSIGN_VERSION/cosign-linux-$(architecture)" \
    "$COSIGN_SHA256" "$root/usr/local/bin/cosign"
  # The mirror that `terraform providers mirror` would make, of what the tests run with.
  for system in linux_amd64 linux_arm64; do
    unpack "https://releases.hashicorp.com/terraform-provider-aws/$PROVIDER_VERSION/terraform-provider-aws_${PROVIDER_VERSION}_$system.zip" \
      "$(provider_sha256 "$system")" "$root/opt/providers/registry.terraform.io/hashicorp/aws/$PROVIDER_VERSION/$system" 'terraform-provider-aws*'
  done
  mkdir -p "$root/srv/runner"
}

provider_sha256() {
  case "$1" in
    linux_amd64) echo "$PROVIDER_SHA256_AMD64" ;;
    linux_arm64) echo "$PROVIDER_SHA256_ARM64" ;;
  esac
}

take_a_job() {
  register
  run
}

# What a job left, but for what pip fetched, which it compares with the hashes of each commit.
clean() {
  find "$root/srv/runner" -mindepth 1 -maxdepth 1 ! -name .cache -exec rm -rf {} +
  [[ ! -d "$root/srv/runner/.cache" ]] ||
    find "$root/srv/runner/.cache" -mindepth 1 -maxdepth 1 ! -name pip -exec rm -rf {} +
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
    runuser -u "$user" -- "$root/usr/local/bin/act_runner" --config "$root/etc/act_runner.yaml" register --ephemeral
  unset registration
  [[ -s "$root/srv/runner/.runner" ]] || fail "Gitea does not take the registration"
}

# One job, then it ends by itself.
run() {
  runuser -u "$user" -- env --ignore-environment PATH=/usr/local/bin:/usr/bin HOME=/srv/runner LANG=C.UTF-8 "${environment[@]}" \
    "$root/usr/local/bin/act_runner" --config "$root/etc/act_runner.yaml" daemon
}

[[ "${BASH_SOURCE[0]}" != "$0" ]] || main
