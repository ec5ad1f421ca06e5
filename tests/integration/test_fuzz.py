"""A coverage-guided fuzzer, from the corpus of attacks, for a while."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from support.corpus import CORPUS, files, header_of

FUZZ = CORPUS.parent / "fuzz"
SECONDS = 20

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(
        find_spec("atheris") is None,
        reason="atheris has wheels for Linux on x86-64 and Python before 3.13 only",
    ),
]


@pytest.mark.parametrize(
    ("target", "kinds"),
    [
        ("json", ["json", "envelopes"]),
        ("envelopes", ["envelopes", "json"]),
        ("headers", ["tokens"]),
    ],
    ids=["json", "envelopes", "headers"],
)
def test_a_fuzzer_finds_nothing(target: str, kinds: list[str], tmp_path: Path) -> None:
    """For 20 s: kept unchanged or refused by a documented error, whatever the bytes."""
    seeds, finds = tmp_path / "seeds", tmp_path / "finds"
    seeds.mkdir()
    finds.mkdir()
    for kind in kinds:
        for path in files(kind):
            seed = path.read_bytes() if kind != "tokens" else header_of(path.read_bytes())
            (seeds / f"{kind}-{path.parent.name}-{path.name}").write_bytes(seed)

    fuzzer = subprocess.run(
        [
            sys.executable,
            str(FUZZ / "fuzz_json.py"),
            target,
            f"-max_total_time={SECONDS}",
            "-seed=1",
            "-max_len=600",  # the corpus holds what is long; the fuzzer is faster on what is short
            "-timeout=10",
            "-rss_limit_mb=2048",
            f"-dict={FUZZ / 'json.dict'}",
            f"-artifact_prefix={finds}/",
            str(seeds),
        ],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        timeout=100,
    )

    output = fuzzer.stdout.decode("utf-8", "replace")
    found = [path.read_bytes() for path in finds.iterdir()]
    assert (fuzzer.returncode, found) == (0, []), output[-4_000:]
    runs = re.search(r"Done (\d+) runs", output)
    assert runs is not None, output[-4_000:]
    assert int(runs[1]) >= 1_000, output[-4_000:]
