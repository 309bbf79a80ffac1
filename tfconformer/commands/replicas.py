"""The option of commands that train: the number of replicas in a process."""

from __future__ import annotations

import click

REPLICAS = click.option(
    "--replicas",
    type=click.IntRange(1, 64),
    help="Share each batch among so many GPUs, or logical CPUs; by default all GPUs, or one CPU. With the environment "
    "variable TF_CONFIG the process is one worker of several.",
)
