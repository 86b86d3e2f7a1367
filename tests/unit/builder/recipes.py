"""A recipe, for parts that need one."""

from __future__ import annotations

from datamill_builder.recipe import Recipe

LOCK = "# cpython-311 linux x86_64\nnumpy==2.4.6 \\\n    --hash=sha256:00\npillow==13.0.0\n"


def recipe(**config: object) -> Recipe:
    return Recipe(
        dataset_name="toy",
        config=config,
        mode="sharded",
        records_per_shard=4,
        raw="toy",
        raw_version="e" * 64,
        handler="toy",
        package="toy-handlers",
        package_version="1.0.0",
        entry_point="toy:Toy",
        wheel="toy_handlers-1.0.0-py3-none-any.whl",
        wheel_sha256="d" * 64,
        origin="a wheel in /secret/folder on a host",
        lock=LOCK,
    )
