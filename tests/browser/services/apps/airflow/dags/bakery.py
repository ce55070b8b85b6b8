"""A DAG of one task."""

from airflow.sdk import dag, task


@dag
def bakery() -> None:
    @task
    def bake() -> int:
        return 42

    bake()


bakery()
