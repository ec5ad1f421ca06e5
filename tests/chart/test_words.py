"""Names that YAML reads as something else than text: `true` is an id, `0123` a node pool.

Fixed: they stood bare in labels, names, namespaces and variables, so that a tenant `null` or a
node pool `1e3` rendered objects that the API server refuses or, worse, others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

import pytest
import yaml

from chart import shapes
from chart.render import (
    ADVANCED,
    BASIC,
    POOL,
    PREMIUM,
    changed,
    example,
    moving,
    texts,
    values,
    who,
)
from chart.test_shapes import name_of
from chart.yaml_readers import READERS

#: Each is, for one reader of YAML at least, no text.
WORDS: Final = (
    *("true", "false", "null", "~", "yes", "no", "off", "on", "y", "n"),
    *("0123", "012345670123", "1e3", "12345678", "0x10", "0o17", "0b11", "1_000", ".5", ".55"),
    *(".inf", "2001-01-01", "1:30:00", "---"),
)
#: What each kind of text looks like that no reader takes for anything else, and that is nowhere
#: else in what renders. The first that fits is taken; some keys have numbers only.
PLAIN: Final = (
    *("zqzqz", "pool-zqzqz", "premium-zqzqz", "plan-zqzqz", "eu-zqzqz-1", "zqzqz.example"),
    *("https://zqzqz.example/x", "/zqzqz", "arn:aws:iam::000000000000:role/zqzqz"),
    *("203.0.113.77/32", "987654321098", f"sha256:{'9' * 63}f"),
)
#: Values that render all there is, and have each key in one of them at least.
MOVE: Final = moving(PREMIUM, "copying", "advanced", "pool-1")
PLACES: Final[dict[str, dict[str, Any]]] = {
    "everything": example("everything"),
    "pool": {**example("everything"), "instance": dict(POOL)},
    "basic": values(BASIC),
    "advanced": {**example("gateway"), "instance": dict(ADVANCED)},
    "move": {
        "instance": MOVE["instance"],
        "facts": {
            **MOVE["facts"],
            "routes": {"kind": "httproute", "byHeader": True},
            "addons": {"keda": False, "externalDns": True},
            "telemetry": {"endpoint": "http://otel.example:4318"},
            "local": {"awsEndpointUrl": "http://10.1.2.3:4566", "kubeconfig": "/kubeconfig"},
        },
    },
}


def fits(node: shapes.Node, word: str) -> bool:
    """Whether the schema takes a word here."""
    found = shapes.shape(node) or {"pattern": ""}
    return bool(
        re.search(found["pattern"], word)
        and node.get("minLength", 0) <= len(word) <= node.get("maxLength", len(word))
        and not ("reserved" in found and re.search(found["reserved"], word))
    )


def free() -> Iterator[tuple[str, str, list[str]]]:
    """Every key whose text is free, a plain word for it, and the words that it may be."""
    for path, node in shapes.texts():
        plain = [word for word in PLAIN if fits(node, word)]
        if plain:
            yield path, plain[0], [word for word in WORDS if fits(node, word)]


KEYS: Final = {path: (plain, words) for path, plain, words in free()}
WITH_WORDS: Final = [path for path, (_, words) in KEYS.items() if words]


def put(given: dict[str, Any], path: str, word: str) -> dict[str, Any]:
    """The same values with a word at a key."""
    key, place = name_of(path), path.rpartition(".")[2]
    value: Any = word
    if place == "{}":
        value = {word: "x"}
    elif place == "[]":
        value = {"key": word} if key.endswith(("tags", "labels")) else [word]
        if key == "facts.tests.neighbours":
            value.append("pool-other")
    return changed(given, key, value)


def standing(place: str) -> list[list[str]]:
    """The keys that stand in these values, in parts that may have one word.

    An id is apart, which may be no namespace of facts, and so are a map's keys from its values.
    """
    instance: dict[str, Any] = PLACES[place]["instance"]
    kind = instance.get("kind", "tenant")

    def stands(path: str) -> bool:
        inside: Any = {"instance": instance}
        for key in name_of(path).split("."):
            inside = inside.get(key) if isinstance(inside, dict) else None
        return not path.startswith("instance") or inside is not None

    rest = [path for path in KEYS if path.partition("@")[0] != "instance.id" and stands(path)]
    keys_of_maps = [path for path in rest if path.endswith("{}")]
    return [
        [f"instance.id@{kind}"],
        keys_of_maps,
        [path for path in rest if path not in keys_of_maps],
    ]


@cache
def written(place: str, paths: tuple[str, ...], word: str | None) -> dict[str, str]:
    """Each template's text with a word at these keys; with each key's plain word without one."""
    given = PLACES[place]
    for path in paths:
        given = put(given, path, word or KEYS[path][0])
    return texts(given)


def read(reader: Any, found: dict[str, str]) -> list[Any]:
    """The objects, and in them the tenant's file, which is text that is YAML again."""
    objects = [
        each
        for name, text in sorted(found.items())
        if not name.endswith("NOTES.txt")
        for each in yaml.load_all(text, reader)
        if each is not None
    ]
    for each in objects:
        if "instance.yaml" in each.get("data", {}):
            each["data"]["instance.yaml"] = yaml.load(each["data"]["instance.yaml"], reader)
    return objects


@cache
def read_plain(place: str, paths: tuple[str, ...], reader: Any) -> list[Any]:
    """The objects with each key's plain word; they are shared, so nobody changes them."""
    return read(reader, written(place, paths, None))


def swapped(found: Any, plain: str, word: str) -> Any:
    """The same with another word in each text and key; what is no text stays."""
    if isinstance(found, str):
        return found.replace(plain, word)
    if isinstance(found, list):
        return [swapped(each, plain, word) for each in found]
    if isinstance(found, dict):
        return {
            swapped(key, plain, word): swapped(each, plain, word) for key, each in found.items()
        }
    return found


def no_text(objects: list[Any]) -> list[str]:
    """Keys and values of labels, annotations, environments and data that are no text."""
    maps: list[tuple[str, Any]] = []

    def look(inside: Any, path: str) -> None:
        if isinstance(inside, dict):
            for key, each in inside.items():
                if key in {"labels", "annotations", "matchLabels", "nodeSelector", "data"}:
                    maps.append((f"{path}.{key}", each))
                if key == "env":
                    maps.append(
                        (f"{path}.env", {one["name"]: one.get("value", "") for one in each})
                    )
                look(each, f"{path}.{key}")
        elif isinstance(inside, list):
            for number, each in enumerate(inside):
                look(each, f"{path}[{number}]")

    for each in objects:
        look(each, who(each))
    return [
        f"{path}: {key!r}: {value!r}"
        for path, found in maps
        for key, value in found.items()
        if key != "instance.yaml" and not (isinstance(key, str) and isinstance(value, str))
    ]


def test_no_key_that_is_text_was_left_out() -> None:
    """All but lists of words stand somewhere; ids, nodes and namespaces may be such words."""
    others = [path for path, node in shapes.texts() if path not in KEYS and "enum" not in node]

    assert ["facts.module.approvePlan"] == others
    assert KEYS.keys() == {path for place in PLACES for keys in standing(place) for path in keys}
    assert {
        "instance.id@tenant",
        "facts.environment",
        "facts.account",
        "facts.cluster",
        "facts.registryTable",
        "facts.identity.audience",
        "facts.routes.className",
        "facts.routes.gatewayNamespace",
        "facts.nodePools.premium",
        "facts.monitoring.labels.{}",
        "facts.monitoring.labels.[]",
        "facts.telemetry.namespace",
        "facts.module.source",
        "facts.module.tags.{}",
        "facts.module.tags.[]",
        "facts.tests.neighbours.[]",
        "images.runner.repository",
    } <= set(WITH_WORDS)


@pytest.mark.parametrize("reader", READERS)
def test_each_reader_takes_its_words_for_something_else(reader: Any) -> None:
    """Else the tests below would say nothing; and it takes plain ones for text."""
    read_as = {word: yaml.load(f"- {word}", reader)[0] for word in WORDS if word != "---"}
    theirs = {
        "Yaml11": {"true", "null", "~", "yes", "off", "0123", "0x10", "2001-01-01", "1:30:00"},
        "Kubernetes": {"true", "null", "~", "yes", "off", "y", "n", "1e3", "0b11", "1_000", ".5"},
        "Core": {"true", "null", "~", "0123", "1e3", "0x10", "0o17", ".5", ".inf"},
    }[reader.__name__]

    assert theirs <= {word for word, found in read_as.items() if word != found}
    assert list(PLAIN[:9]) == yaml.load("\n".join(f"- {word}" for word in PLAIN[:9]), reader)


@pytest.mark.parametrize("place", PLACES)
def test_no_value_is_written_bare(place: str) -> None:
    """Wherever a value ends in YAML it is in quotes, whichever words it may be today."""
    bare = [
        f"{name}:{token.start_mark.line + 1}: {token.value}"
        for paths in standing(place)
        for name, text in written(place, tuple(paths), None).items()
        if not name.endswith("NOTES.txt")
        for token in yaml.scan(text, yaml.CSafeLoader)
        if isinstance(token, yaml.ScalarToken)
        and token.plain
        and any(KEYS[path][0] in token.value for path in paths)
    ]

    assert [] == bare


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("word", WORDS)
def test_a_word_that_yaml_reads_otherwise_is_text(place: str, word: str) -> None:
    """What renders with it is what renders with plain ones, but for the word, to each reader."""
    for keys in standing(place):
        paths = tuple(path for path in keys if word in KEYS[path][1])
        for reader in READERS if paths else ():
            wanted = read_plain(place, paths, reader)
            for plain in {KEYS[path][0] for path in paths}:
                wanted = swapped(wanted, plain, word)
            found = read(reader, written(place, paths, word))
            assert wanted == found, (reader.__name__, paths)
            assert [] == no_text(found)
