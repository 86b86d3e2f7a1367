"""The source of a module with handlers that are wrong in one way each; `Good` is not."""

from tests.support.toy import SOURCE

SOURCE_OF_WRONG = (
    SOURCE
    + '''
import random

DRAWN = random.Random()
WRITTEN = []


class Good(Toy):
    raw_folder = "toy"
    layout = "items.txt"

    def __init__(self, config, base_data_path):
        for name, value in config.items():
            if isinstance(value, dict):
                raise ConfigError(f"{name}: {value} is not allowed")
        super().__init__(config, base_data_path)


class Random(Good):
    def write_shard(self, items, path, content_key, progress=None):
        self.config = {**self.config, "prefix": str(DRAWN.random())[:6].ljust(6)}
        return super().write_shard(items, path, content_key, progress)


class Counting(Good):
    """The same in each process, and another for the next item."""
    def write_shard(self, items, path, content_key, progress=None):
        WRITTEN.append(path)
        self.config = {**self.config, "prefix": "first" if len(WRITTEN) == 1 else "later"}
        return super().write_shard(items, path, content_key, progress)


class Unannounced(Good):
    def feature_spec(self):
        told = super().feature_spec()
        del told["features"]["featuresDict"]["features"]["number"]
        return told


class NoFeatures(Good):
    def feature_spec(self):
        return ["number", "text"]


class Unsorted(Good):
    def plan_items(self, content_key):
        return iter(sorted(super().plan_items(content_key), key=lambda item: hash(item["key"])))


class Repeating(Good):
    def plan_items(self, content_key):
        yield from super().plan_items(content_key)
        yield from super().plan_items(content_key)


class PlansText(Good):
    def write_plan(self, content_key, folder):
        with open(os.path.join(folder, "train.jsonl"), "w") as file:
            file.write("no json\\n")
        return {"train": {"items": 1, "records": 1}}


class PlansLess(Good):
    def write_plan(self, content_key, folder):
        with open(os.path.join(folder, "train.jsonl"), "w") as file:
            file.write('{"key": "0 a", "split": "train", "records": 1}\\n')
        return {"train": {"items": 3, "records": 3}}


class Empty(Good):
    def plan_items(self, content_key):
        return iter(())


class NeedsConfig(Good):
    def __init__(self, config, base_data_path):
        if "repeat" not in config:
            raise ConfigError("repeat has to be given")
        super().__init__(config, base_data_path)


class Lenient(Good):
    def __init__(self, config, base_data_path):
        known = {k: v for k, v in config.items() if k in self.config_options()}
        super().__init__(known, base_data_path)


class Nameless(Good):
    def __init__(self, config, base_data_path):
        try:
            super().__init__(config, base_data_path)
        except ConfigError:
            raise ConfigError("something is wrong") from None


class Crashing(Toy):
    raw_folder = "toy"


class Drifting(Good):
    def resolved_config(self):
        return {**self.config, "repeat": min(10, self.config["repeat"] + 1)}


class Lacking(Good):
    def resolved_config(self):
        return {k: v for k, v in self.config.items() if k != "prefix"}


class NotJson(Good):
    def resolved_config(self):
        return {**self.config, "prefix": {"a", "b"}}


class Dying(Good):
    def write_shard(self, items, path, content_key, progress=None):
        os.kill(os.getpid(), 9)


class Raising(Good):
    def write_shard(self, items, path, content_key, progress=None):
        raise RuntimeError("in the middle")


class Boasting(Good):
    def write_shard(self, items, path, content_key, progress=None):
        told = super().write_shard(items, path, content_key, progress)
        return {**told, "records": told["records"] + 1}


class NoRecords(Good):
    def write_shard(self, items, path, content_key, progress=None):
        bad = [{"key": "0 bad " + item["key"], "split": "train"} for item in items]
        told = super().write_shard(bad, path, content_key, progress)
        return {**told, "skipped": [{"key": i["key"], "reason": "dull"} for i in items]}


class Untidy(Good):
    def write_shard(self, items, path, content_key, progress=None):
        with open(os.path.join(self.base, "cache.tmp"), "w") as file:
            file.write("mine")
        try:
            return super().write_shard(items, path, content_key, progress)
        finally:
            os.utime(os.path.join(self.base, "cache.tmp"), (0, time.time()))


class Classic:
    raw_folder = "toy"

    def __init__(self, config, base_data_path):
        self.config = config

    @staticmethod
    def config_options():
        return {"count": 3}

    def texts(self):
        return [b"a", b"b", b"c"]

    def as_tfrecord(self):
        with open("out.tfrecord", "wb") as file:
            for number, text in enumerate(self.texts()):
                file.write(record(example(text, number)))
        return ["out.tfrecord"]

    def tf_records_mapper(self, files): raise NotImplementedError


class ClassicRandom(Classic):
    def texts(self):
        return [str(DRAWN.random()).encode()]


class ClassicNowhere(Classic):
    def as_tfrecord(self):
        return ["nowhere.tfrecord"]


class ClassicOther(Classic):
    def as_tfrecord(self):
        super().as_tfrecord()
        with open("out.tfrecord", "r+b") as file:
            file.write(b"XXXX")
        return ["out.tfrecord"]


class ClassicEmpty(Classic):
    def texts(self):
        return []


class NoHandler:
    pass
'''
)
