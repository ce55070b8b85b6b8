"""Kedro looks for this; its defaults will do."""
