# What machines share. They run this once, as root, when they start for the first time; settings stand
# above it. `TENANTRY_ROOT` is where a test has its files.
# shellcheck shell=bash

root="${TENANTRY_ROOT:-}"

say() {
  echo "tenantry: $*"
}

fail() {
  echo "tenantry: $*" >&2
  exit 1
}

# wait_for SECONDS WHAT COMMAND...: until the command succeeds.
wait_for() {
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@"; do
    ((SECONDS < deadline)) || fail "$what: not in time"
    sleep "${TENANTRY_PAUSE:-2}"
  done
}

# download URL SHA256 FILE: if it is the one that was meant.
download() {
  curl --fail --location --silent --show-error --retry 5 --proto '=https' --proto-redir '=https' \
    --output "$3" "$1" || fail "$1 does not come"
  echo "$2  $3" | sha256sum --check --status || fail "$1 is another file than the one whose SHA-256 is $2"
}

# fetch URL SHA256 DESTINATION: a program.
fetch() {
  local file
  file=$(mktemp)
  download "$1" "$2" "$file"
  install -D -m 0755 "$file" "$3"
  rm "$file"
}

# unpack URL SHA256 FOLDER PATTERN...: what an archive has by these names.
unpack() {
  local file
  file=$(mktemp)
  download "$1" "$2" "$file"
  mkdir -p "$3"
  unzip -q -o "$file" "${@:4}" -d "$3"
  rm "$file"
}

# As downloads call it.
architecture() {
  case "$(uname -m)" in
    aarch64) echo arm64 ;;
    x86_64) echo amd64 ;;
    *) fail "no program for $(uname -m)" ;;
  esac
}

# secret NAME: its value; nothing, if it has none yet. Another failure is one.
secret() {
  local errors
  errors=$(mktemp)
  aws --region "$REGION" secretsmanager get-secret-value --secret-id "$1" \
    --query SecretString --output text 2>"$errors" ||
    grep --quiet ResourceNotFoundException "$errors" ||
    fail "$1 cannot be read: $(cat "$errors")"
  rm "$errors"
}
