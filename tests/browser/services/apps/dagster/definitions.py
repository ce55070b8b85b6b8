"""A Dagster code location of two assets."""

import dagster


@dagster.asset
def dough() -> int:
    return 3


@dagster.asset
def loaf(dough: int) -> int:
    return dough + 1


defs = dagster.Definitions(assets=[dough, loaf])
