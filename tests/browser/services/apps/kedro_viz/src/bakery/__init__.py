"""A Kedro project of one pipeline."""
