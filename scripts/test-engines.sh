#!/bin/sh
# The contract suites against the two engines that need Java: DynamoDB Local and ElasticMQ.
# Their jars are fetched once into the user's cache, keyed by the file that names them.
# Exit status 3: Java or Maven is missing, on a person's machine. In CI that is a failure.
set -eu
cd "$(dirname "$0")/.."

missing() {
  echo "make test-engines needs $1 (Debian, Ubuntu: apt install $2)" >&2
  [ -z "${CI:-}" ] || exit 1
  exit 3
}

# Status 1 as well when `java` is macOS's stub, which only says where to get one.
java -version >/dev/null 2>&1 || missing "Java 17 or later" openjdk-17-jre-headless

pom=tests/engines/pom.xml
key=$(.venv/bin/python -c 'import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest()[:12])' "$pom")
cache=${XDG_CACHE_HOME:-$HOME/.cache}/tenantry
jars=$cache/engines-$key
mkdir -p "$cache"

if [ ! -d "$jars" ]; then
  command -v mvn >/dev/null || missing Maven maven
  echo "fetching the engines' jars into $jars, about 60 s" >&2
  fetched=$(mktemp -d "$cache/fetching.XXXXXX")
  trap 'rm -rf "$fetched"' EXIT
  for engine in dynamodb-local elasticmq; do
    mvn --batch-mode --quiet --strict-checksums -Dstyle.color=never --file "$pom" \
      --activate-profiles "$engine" dependency:copy-dependencies \
      "-DoutputDirectory=$fetched/$engine" </dev/null >"$fetched/log" 2>&1 || {
      cat "$fetched/log" >&2
      echo "Maven cannot fetch $engine: its log is above" >&2
      exit 2
    }
  done
  rm "$fetched/log"
  # One step, so that a run beside this one sees all or nothing; the first one wins.
  [ -d "$jars" ] || mv "$fetched" "$jars"
  rm -rf "$fetched"
fi

# DynamoDB Local listens on every address and cannot be told otherwise: where the system lets us,
# the run gets a network of its own, in which there is nothing but loopback.
alone=
for unshare in "unshare --map-root-user --net" "unshare --net"; do
  if $unshare .venv/bin/python scripts/loopback.py true 2>/dev/null; then
    alone="$unshare .venv/bin/python scripts/loopback.py"
    break
  fi
done
[ -n "$alone" ] || echo "no network namespace here: DynamoDB Local will listen on every address" >&2

export TENANTRY_JARS="$jars"
# shellcheck disable=SC2086 # a command and its arguments
exec $alone .venv/bin/python -m pytest tests/contract -m engines "$@"
