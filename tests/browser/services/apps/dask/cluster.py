"""A Dask cluster of one worker, that always has something to do."""

from __future__ import annotations

import time

from dask.distributed import Client, LocalCluster

if __name__ == "__main__":
    cluster = LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:15047"
    )
    client = Client(cluster)
    kept = client.submit(sum, [1, 2, 3], key="kept-sum")
    while True:
        client.submit(time.sleep, 0.1, pure=False).result()
        time.sleep(1)
