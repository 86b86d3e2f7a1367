import hashlib
import json
from types import MappingProxyType

import numpy as np
import pytest

from dataset_handlers.sdk.errors import HandlerError
from dataset_handlers.sdk.plan import OrderedItems, random_numbers, sorted_places, split_of
from dataset_handlers.sdk.source import SourceItem

ITEMS = [SourceItem(f"{'ants' if n < 300 else 'bees'}/{n:03d}.jpg", {}) for n in range(600)]


def ordered(items, content_key):
    return list(OrderedItems(items, content_key))


def keys(items: list[SourceItem]) -> list[str]:
    return [item.key for item in items]


def test_the_order_of_listing_does_not_matter():
    assert ordered(ITEMS, "key") == ordered(reversed(ITEMS), "key")


def test_another_content_key_is_another_order():
    one = ordered(ITEMS, "one")
    assert keys(one) != keys(ordered(ITEMS, "other"))
    assert sorted(keys(one)) == sorted(keys(ITEMS))


def test_every_shard_is_a_fair_sample():
    items = ordered(ITEMS, "key")
    for start in range(0, len(items), 200):
        ants = sum(item.key.startswith("ants") for item in items[start : start + 200])
        assert 75 < ants < 125  # 100 expected; five standard deviations are 29


def test_a_key_that_comes_twice_is_the_handlers_mistake():
    with pytest.raises(HandlerError, match="gave the key a twice"):
        ordered([SourceItem("a", {}), SourceItem("b", {}), SourceItem("a", {})], "key")


def test_items_come_back_as_they_were():
    items = [
        SourceItem("caf\xe9/\N{CAT FACE}.jpg", {"image": "a b"}, {"box": [1, 2.5, None], "é": {}}),
        SourceItem.bad("x", "its name"),
    ]
    assert sorted(keys(ordered(items, "key"))) == sorted(keys(items))
    assert all(item in items for item in ordered(items, "key"))
    assert len(OrderedItems(items, "key")) == 2


ODD_METAS = [
    {},
    {"b": "1", "a": "2"},
    {"a": 1, "b": "2"},
    {"a": 1.0, "b": True, "c": None, "d": [{"z": "1", "a": "2"}]},
    {1: "a"},
    {'quote"': "back\\slash\n\x7f\u2028\ud83d\ude80", "é": "\N{CAT FACE}\udcff"},
    {"files": "a", "key": "b", "meta": "c"},
]


@pytest.mark.parametrize("meta", ODD_METAS)
def test_a_line_is_what_json_makes_of_an_item(meta):
    item = SourceItem("caf\xe9 \udcff", {"mask": 'b"', "image": "\N{CAT FACE}"}, meta)
    [(split, [line])] = OrderedItems([item], "key").open_lines(None)
    said = {"key": item.key, "files": item.files, "meta": item.meta}
    assert (split, line + b"}") == ("train", json.dumps(said, sort_keys=True).encode())


def test_a_line_says_what_the_item_was_when_it_came():
    def reused():
        meta = {}
        for number in range(3):
            meta["number"] = str(number)
            yield SourceItem(str(number), {}, meta)

    assert all(item.meta["number"] == item.key for item in ordered(reused(), "key"))


def test_lines_come_in_the_order_of_their_hashes_by_split():
    places = OrderedItems(ITEMS, "key", lambda item: split_of(item.key, 0, 0.3))
    lines = {"train": [], "validation": []}
    for split, some in places.open_lines(500):
        lines[split] += [json.loads(line + b"}")["key"] for line in some]
    hashes = {item.key: hashlib.sha256(f"order\0key\0{item.key}".encode()) for item in ITEMS}
    first = sorted(hashes, key=lambda key: hashes[key].digest())[:500]
    for split, found in lines.items():
        assert found == [key for key in first if split_of(key, 0, 0.3) == split]


def test_digests_that_begin_alike_are_sorted_by_all_their_bytes():
    dice = np.random.Generator(np.random.PCG64(1))
    digests = [dice.integers(0, 2, 32, np.uint8).tobytes() for _ in range(300)]
    digests += [bytes(24) + dice.bytes(8) for _ in range(300)]
    found = [digests[place] for place in sorted_places(bytearray().join(digests)).tolist()]
    assert found == sorted(digests)


@pytest.mark.parametrize(
    "meta",
    [{"x": float("nan")}, {"x": {1, 2}}, {"x": object()}, {1: "a", "b": "c"}, MappingProxyType({})],
)
def test_what_json_can_not_hold_is_the_handlers_mistake(meta):
    with pytest.raises(HandlerError, match="gave a with what JSON can't hold"):
        OrderedItems([SourceItem("a", {}, meta)], "key")


def test_splits_have_their_share():
    splits = [split_of(item.key, 0, 0.2) for item in ITEMS]
    assert splits.count("validation") == pytest.approx(120, abs=40)
    assert splits.count("train") + splits.count("validation") == 600


def test_a_larger_share_only_adds_items():
    small = {item.key for item in ITEMS if split_of(item.key, 0, 0.1) == "validation"}
    large = {item.key for item in ITEMS if split_of(item.key, 0, 0.3) == "validation"}
    assert small < large


def test_the_seed_picks_others():
    splits = [[split_of(item.key, seed, 0.5) for item in ITEMS] for seed in (0, 1)]
    assert splits[0] != splits[1]


def test_no_share_is_no_validation():
    assert {split_of(item.key, 0, 0.0) for item in ITEMS} == {"train"}


def test_random_numbers_are_those_of_content_key_item_and_variation():
    def numbers(*arguments):
        return random_numbers(*arguments).random(4).tolist()

    assert numbers("key", "a", 0) == numbers("key", "a", 0)
    others = [numbers("key", "a", 1), numbers("key", "b", 0), numbers("yek", "a", 0)]
    assert all(other != numbers("key", "a", 0) for other in others)
    assert isinstance(random_numbers("key", "a", 0).bit_generator, np.random.PCG64)


def test_words_do_not_run_together():
    one, other = random_numbers("key", "a1", 1), random_numbers("key", "a", 11)
    assert one.random() != other.random()


def test_order_split_and_numbers_stay_what_they_are():
    # A change here gives every dataset other bytes: it has to be a new major version.
    assert keys(ordered(ITEMS[:5], "key")) == [
        "ants/004.jpg",
        "ants/001.jpg",
        "ants/000.jpg",
        "ants/002.jpg",
        "ants/003.jpg",
    ]
    assert split_of("ants/001.jpg", 0, 0.5) == "validation"
    assert random_numbers("key", "ants/001.jpg", 3).random() == 0.3698873179311504
