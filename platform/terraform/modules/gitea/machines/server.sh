# Makes a machine Gitea's. What it keeps is on the data volume; a step that fails ends it, so that
# there is no Gitea rather than an empty one.
# shellcheck shell=bash disable=SC2154

home=/var/lib/gitea
administrator=operator
api=https://localhost:3000/api/v1

main() {
  dnf install --assumeyes --quiet git openssl
  fetch "https://dl.gitea.com/gitea/$GITEA_VERSION/gitea-$GITEA_VERSION-linux-$(architecture)" \
    "$GITEA_SHA256" "$root/usr/local/bin/gitea"
  mount_data
  make_user
  make_secrets
  make_certificate
  configure
  start
  make_administrator
  make_repositories
  hand_out_tokens
  say "Gitea $GITEA_VERSION is up"
}

# Terraform attaches the volume when the machine is running.
mount_data() {
  local device="$root/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_$DATA_VOLUME"
  wait_for 900 "the data volume $DATA_VOLUME" test -e "$device"
  case "$(status_of blkid "$device")" in
    0) say "the data volume has something: it stays" ;;
    2) mkfs.xfs -q "$device" ;; # and without -f it refuses what has something, too
    *) fail "the data volume cannot be read" ;;
  esac
  mkdir -p "$root$home"
  echo "$device $home xfs defaults,nodev,nosuid 0 2" >>"$root/etc/fstab"
  mount "$home"
  xfs_growfs "$home" >/dev/null
}

status_of() {
  local status=0
  "$@" >/dev/null 2>&1 || status=$?
  echo "$status"
}

# The volume outlives the machine: the same number on each.
make_user() {
  useradd --system --uid 6100 --home-dir "$home" --shell /sbin/nologin gitea
  install -d -m 0750 -o gitea -g gitea "$root$home"
}

# What Gitea encrypts and signs with, made by the first machine.
make_secrets() {
  local name
  install -d -m 0700 -o gitea -g gitea "$root$home/secrets"
  for name in SECRET_KEY INTERNAL_TOKEN JWT_SECRET LFS_JWT_SECRET; do
    [[ -s "$root$home/secrets/$name" ]] && continue
    (umask 077 && runuser -u gitea -- "$root/usr/local/bin/gitea" generate secret "$name" >"$root$home/secrets/.$name")
    chown gitea:gitea "$root$home/secrets/.$name"
    mv "$root$home/secrets/.$name" "$root$home/secrets/$name"
  done
}

# From the load balancer to here; its own certificate is what clients see.
make_certificate() {
  mkdir -p "$root/etc/gitea"
  (umask 077 && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 \
    -subj "/CN=$GITEA_HOST" -addext "subjectAltName=DNS:$GITEA_HOST,DNS:localhost" \
    -keyout "$root/etc/gitea/server.key" -out "$root/etc/gitea/server.crt" 2>/dev/null)
  chown gitea:gitea "$root/etc/gitea/server.key" "$root/etc/gitea/server.crt"
}

configure() {
  cat >"$root/etc/gitea/app.ini" <<INI
APP_NAME = Tenantry
RUN_USER = gitea
RUN_MODE = prod
WORK_PATH = $home

[server]
PROTOCOL = https
HTTP_PORT = 3000
CERT_FILE = /etc/gitea/server.crt
KEY_FILE = /etc/gitea/server.key
DOMAIN = $GITEA_HOST
ROOT_URL = https://$GITEA_HOST/
LOCAL_ROOT_URL = https://localhost:3000/
DISABLE_SSH = true
OFFLINE_MODE = true
LFS_JWT_SECRET_URI = file:$home/secrets/LFS_JWT_SECRET

[database]
DB_TYPE = sqlite3
SQLITE_JOURNAL_MODE = WAL

[security]
INSTALL_LOCK = true
SECRET_KEY_URI = file:$home/secrets/SECRET_KEY
INTERNAL_TOKEN_URI = file:$home/secrets/INTERNAL_TOKEN

[oauth2]
JWT_SECRET_URI = file:$home/secrets/JWT_SECRET

[service]
DISABLE_REGISTRATION = true
REQUIRE_SIGNIN_VIEW = true

[repository]
DEFAULT_PRIVATE = private
DISABLE_MIGRATIONS = true

[session]
COOKIE_SECURE = true

[actions]
ENABLED = true
DEFAULT_ACTIONS_URL = self

[webhook]
ALLOWED_HOST_LIST = private

[packages]
ENABLED = false

[cron.update_checker]
ENABLED = false

[log]
MODE = console
LEVEL = info
INI
  cat >"$root/etc/systemd/system/gitea.service" <<UNIT
[Unit]
Description=Gitea
After=network-online.target
Wants=network-online.target
RequiresMountsFor=$home

[Service]
User=gitea
Group=gitea
ExecStart=/usr/local/bin/gitea web --config /etc/gitea/app.ini
Restart=always
RestartSec=2
UMask=0077
NoNewPrivileges=true
PrivateTmp=true
PrivateDevices=true
ProtectSystem=strict
ProtectHome=true
ReadWritePaths=$home
CapabilityBoundingSet=

[Install]
WantedBy=multi-user.target
UNIT
}

start() {
  systemctl daemon-reload
  systemctl enable --now gitea
  wait_for 600 "Gitea" is_healthy
}

# Its certificate is this machine's own.
is_healthy() {
  curl --insecure --fail --silent --output /dev/null https://localhost:3000/api/healthz
}

gitea() {
  runuser -u gitea -- "$root/usr/local/bin/gitea" --config "$root/etc/gitea/app.ini" "$@"
}

# call CREDENTIALS METHOD PATH [BODY]: the status that the API answers. CREDENTIALS and BODY are
# nobody's to read in the list of processes.
call() {
  local body=()
  [[ $# -lt 4 ]] || body=(--header 'Content-Type: application/json' --data @-)
  curl --insecure --silent --output /dev/null --write-out '%{http_code}' --request "$2" \
    --config <(printf '%s\n' "$1") "${body[@]}" "$api$3" <<<"${4-}"
}

# The secret tells the truth: what it holds lets in, or is made anew.
make_administrator() {
  local known password token name
  known=$(gitea admin user list --admin)
  if ! grep --quiet --word-regexp "$administrator" <<<"$known"; then
    gitea admin user create --admin --username "$administrator" --email "$administrator@$GITEA_HOST" \
      --random-password --must-change-password=false >/dev/null
  fi
  password=$(secret "$SECRET_PREFIX/admin" | sed -n 's/.*"password": *"\([^"]*\)".*/\1/p')
  as_administrator="user = \"$administrator:$password\""
  if [[ -n "$password" && "$(call "$as_administrator" GET /user)" == 200 ]]; then
    return
  fi
  password=$(openssl rand -hex 24)
  as_administrator="user = \"$administrator:$password\""
  name="start-$(date +%s)"
  token=$(gitea admin user generate-access-token --raw --username "$administrator" \
    --token-name "$name" --scopes write:admin)
  [[ "$(call "header = \"Authorization: token $token\"" PATCH "/admin/users/$administrator" \
    "{\"login_name\": \"$administrator\", \"source_id\": 0, \"must_change_password\": false, \"password\": \"$password\"}")" == 200 ]] ||
    fail "the administrator gets no password"
  keep "$SECRET_PREFIX/admin" "{\"username\": \"$administrator\", \"password\": \"$password\"}"
  [[ "$(call "$as_administrator" DELETE "/users/$administrator/tokens/$name")" == 204 ]] ||
    fail "the token $name stays"
}

# keep NAME VALUE
keep() {
  aws --region "$REGION" secretsmanager put-secret-value --secret-id "$1" \
    --secret-string "file://"<(printf '%s' "$2") >/dev/null
}

# Empty ones, if they are missing. What is there is nobody's to touch from here.
make_repositories() {
  local name
  make_organization "$ORGANIZATION"
  for name in $REPOSITORIES; do
    make_repository "$ORGANIZATION" "$name"
  done
  make_organization "${RELEASE_REPOSITORY%/*}"
  make_repository "${RELEASE_REPOSITORY%/*}" "${RELEASE_REPOSITORY#*/}"
}

make_organization() {
  [[ "$(call "$as_administrator" GET "/orgs/$1")" == 200 ]] ||
    [[ "$(call "$as_administrator" POST /orgs "{\"username\": \"$1\", \"visibility\": \"private\"}")" == 201 ]] ||
    fail "the organisation $1 is not made"
}

make_repository() {
  [[ "$(call "$as_administrator" GET "/repos/$1/$2")" == 200 ]] ||
    [[ "$(call "$as_administrator" POST "/orgs/$1/repos" "{\"name\": \"$2\", \"private\": true, \"default_branch\": \"main\"}")" == 201 ]] ||
    fail "the repository $1/$2 is not made"
}

# What runners register with: for the organisation of developers, and for the one repository of
# releases.
hand_out_tokens() {
  hand_out runner-ci "$ORGANIZATION"
  hand_out runner-release "$RELEASE_REPOSITORY"
}

hand_out() {
  local token before
  token=$(gitea actions generate-runner-token --scope "$2")
  before=$(secret "$SECRET_PREFIX/$1")
  [[ "$before" == "$token" ]] || keep "$SECRET_PREFIX/$1" "$token"
}

[[ "${BASH_SOURCE[0]}" != "$0" ]] || main
