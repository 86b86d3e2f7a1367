"""A handler package with no dependency at all: records of one text and one number.

Its source items are the lines of `<raw>/items.txt`. What a line says can make trouble on purpose:
`bad …` is skipped, `crash …` raises, `die …` kills the process, `sleep N …` takes N seconds.
`gate PATH` keeps its shard waiting until there is such a file, `hold PATH` the plan.
"""

from __future__ import annotations

from pathlib import Path

from tests.support.wheels import make_wheel

SOURCE = '''
"""A toy handler: shard protocol 1 by hand, with the standard library alone."""
import hashlib, json, os, struct, time

def _table():
    for n in range(256):
        for _ in range(8):
            n = (n >> 1) ^ 0x82F63B78 if n & 1 else n >> 1
        yield n

TABLE = list(_table())

def masked_crc(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF

def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128); n >>= 7
    return bytes(out + bytes([n]))

def field(number, body):
    return varint(number << 3 | 2) + varint(len(body)) + body

def example(text, number):
    def feature(name, kind, body):
        return field(1, field(1, name) + field(2, field(kind, body)))
    return field(1, feature(b"number", 3, field(1, varint(number))) + feature(b"text", 1, field(1, text)))

def record(payload):
    head = struct.pack("<Q", len(payload))
    return head + struct.pack("<I", masked_crc(head)) + payload + struct.pack("<I", masked_crc(payload))

def wait_for(path):
    while not os.path.exists(path):
        time.sleep(0.01)

class BadItem(Exception):
    datamill_reason = "bad_data"

class ConfigError(Exception):
    datamill_reason = "invalid_config"

class Toy:
    shard_protocol = 1
    records_per_shard = 4

    def __init__(self, config, base_data_path):
        self.config = {**self.config_options(), **config}
        for name in config:
            if name not in self.config_options():
                raise ConfigError(f"{name} is not an option of toy; it knows: repeat, prefix, max_bad_share")
        if not 1 <= self.config["repeat"] <= 10:
            raise ConfigError(f"repeat: {self.config['repeat']} is not allowed: an integer from 1 to 10")
        self.base = base_data_path

    @staticmethod
    def config_options():
        return {"repeat": 1, "prefix": "", "max_bad_share": 0.01, "max_items": None}

    def resolved_config(self):
        return self.config

    def feature_spec(self):
        module = "tensorflow_datasets.core.features"
        scalar = {"pythonClassName": module + ".scalar.Scalar", "tensor": {"shape": {}, "dtype": "int64", "encoding": "none"}}
        text = {"pythonClassName": module + ".text_feature.Text", "text": {}}
        return {"features": {"pythonClassName": module + ".features_dict.FeaturesDict",
                             "featuresDict": {"features": {"number": scalar, "text": text}}}, "labels": {}}

    def plan_items(self, content_key):
        with open(os.path.join(self.base, "items.txt")) as file:
            lines = file.read().splitlines()
        for line in lines:
            if line.startswith("hold "):
                wait_for(line.split()[1])
        keys = [f"{n:05d} {line}" for n, line in enumerate(lines)]
        keys.sort(key=lambda key: hashlib.sha256((content_key + key).encode()).digest())
        for key in keys[: self.config["max_items"]]:
            yield {"key": key, "split": "train", "records": self.config["repeat"]}

    def write_shard(self, items, path, content_key, progress=None):
        digest, size, records, skipped = hashlib.sha256(), 0, 0, []
        print("writing", len(items), "items")
        with open(path, "wb") as file:
            for item in items:
                number, line = item["key"].split(" ", 1)
                word, _, rest = line.partition(" ")
                if word == "bad":
                    skipped.append({"key": item["key"], "reason": "the line says so"}); continue
                if word == "crash":
                    raise RuntimeError("the line says crash")
                if word == "die":
                    os.kill(os.getpid(), 9)
                if word == "sleep":
                    time.sleep(float(rest.split()[0]))
                if word == "gate":
                    wait_for(rest)
                for _ in range(self.config["repeat"]):
                    data = record(example((self.config["prefix"] + line).encode(), int(number)))
                    file.write(data); digest.update(data); size += len(data); records += 1
                    if progress: progress(records)
            file.flush(); os.fsync(file.fileno())
        return {"records": records, "bytes": size, "sha256": digest.hexdigest(), "skipped": skipped}

    def as_tfrecord(self): raise NotImplementedError
    def tf_records_mapper(self, files): raise NotImplementedError
'''


def make_toy(
    folder: Path, version: str = "1.0.0", requires: tuple[str, ...] = (), source: str = SOURCE
) -> Path:
    """Write the toy's wheel into a folder of wheels."""
    return make_wheel(
        folder,
        "toy-handlers",
        version,
        {"toy_handlers.py": source},
        {"toy": "toy_handlers:Toy"},
        requires,
    )


def write_items(raw_root: Path, lines: list[str], dataset: str = "toy") -> Path:
    """Write raw data for the toy; return its file."""
    file = raw_root / dataset / "items.txt"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{line}\n" for line in lines))
    return file
